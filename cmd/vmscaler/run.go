package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/hypervisor"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/dashboard"
)

func runCommand(g *globals) *cobra.Command {
	var busF busFlags
	o := runOptions{command: "vmscaler run"}
	var noDashboard, dryRun bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run everything in this process: bus, collector, decider, actuator and dashboard",
		Long: `Run everything in this process: the embedded NATS server, collector, decider, actuator and dashboard. With --nats-url
the bus is that server, and with --stages only some of the stages run here.

Ctrl-C stops it and leaves the VMs running; the next run takes them over. A second Ctrl-C ends it at once.
To remove a group's VMs use ` + "`vmscaler down GROUP`.",
		Example: "  vmscaler run\n  vmscaler run -c vmscaler.yaml --no-dashboard\n  vmscaler run --stages collector,actuator --nats-url nats://10.0.0.5:4222 --nats-creds vmscaler.creds",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig(cmd.ErrOrStderr())
			if err != nil {
				return g.withHostProblems(cmd.Context(), cfg, err, o.setup)
			}
			if _, err := busF.apply(&cfg); err != nil {
				return err
			}
			if o.stages, err = chooseStages(o.stages, cfg); err != nil {
				return err
			}
			if dryRun {
				fmt.Fprintln(cmd.ErrOrStderr(), "dry run: everything is decided and shown, and no VM is made or removed")
				for i := range cfg.Groups {
					cfg.Groups[i].DryRun = true
				}
			}
			o.wantsLog = cmd.Flags().Changed("log-level")
			o.plain = noDashboard || dashboard.WantsPlain(os.Stdout, os.Getenv)
			return g.run(cmd.Context(), cfg, o)
		},
	}
	busF.add(cmd)
	cmd.Flags().StringSliceVar(&o.stages, "stages", nil, "the stages to run here: "+strings.Join(app.Stages(), ", ")+" (default all)")
	cmd.Flags().BoolVar(&o.setup, "setup", false, "first do what the command setup does")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "decide and show everything, and make and remove no VM, as with \"dry_run: true\" in all groups")
	cmd.Flags().BoolVar(&noDashboard, "no-dashboard", false, "print one plain line per event and per change (the default without a terminal)")
	return cmd
}

// chooseStages are the stages of a run, of those that --stages names.
func chooseStages(named []string, cfg config.Config) ([]string, error) {
	for _, name := range named {
		if !slices.Contains(app.Stages(), name) {
			return nil, usageError{fmt.Errorf("--stages: found %q, want some of %s%s", name, strings.Join(app.Stages(), ", "), nearest.Hint(name, app.Stages()))}
		}
	}
	switch {
	case len(named) == 0 && cfg.BusURL != "":
		return slices.DeleteFunc(app.Stages(), func(s string) bool { return s == app.StageBus }), nil
	case len(named) == 0:
		return app.Stages(), nil
	case cfg.BusURL != "" && slices.Contains(named, app.StageBus):
		return nil, usageError{fmt.Errorf("--stages: found bus together with the bus %s to join, want one of them", cfg.BusURL)}
	}
	return named, nil
}

// runOptions say which stages run, and how.
type runOptions struct {
	command string // as the user calls it
	stages  []string
	plain   bool // a dashboard prints lines
	setup   bool
	// wantsLog is that the user asks for the log's level, also beside the lines of a plain dashboard.
	wantsLog bool
}

func (o runOptions) has(stages ...string) bool {
	return slices.ContainsFunc(stages, func(s string) bool { return slices.Contains(o.stages, s) })
}

// run runs stages, which is what all the commands of stages do after their command lines.
func (g *globals) run(ctx context.Context, cfg config.Config, o runOptions) error {
	stderr := harmless{os.Stderr}
	log, err := g.logger(stderr, false)
	if err != nil {
		return err
	}
	stages := app.Options{
		Config: cfg, Stages: o.stages, StateDir: stateDir(cfg), Remote: remote(cfg), Version: version, //nolint:contextcheck // looking a name up takes a second at most
		Waiting: func(why error) {
			fmt.Fprintf(stderr, "waiting for the bus: %s\n", asCalled(strings.TrimPrefix(why.Error(), "bus: ")))
		},
	}
	title := "vmscaler"
	var hv *libvirtHost
	if o.has(app.StageCollector, app.StageActuator) {
		if hv, err = g.reach(ctx, cfg.LibvirtURI, stderr, true); err != nil {
			return err
		}
		defer hv.close()
		fmt.Fprintf(stderr, "libvirt: %s\n", hv.choice)
		stages.Libvirt = stagesLibvirt(hv)
		title += " " + hv.choice.URI
	}
	describe := func(string) {}
	if o.has(app.StageActuator) {
		lock, err := acquire(hv, o.command, cfg.BusURL, stateDir(cfg), groupNames(cfg.Groups)...)
		if err != nil {
			return err
		}
		defer lock.Release()
		stages.Claim = func(conn *libvirt.Connect) error { return claim(lock, conn, hv.choice.URI) }
		describe = func(busURL string) {
			_ = lock.Describe(holder(hv, o.command, busURL, stateDir(cfg), groupNames(cfg.Groups)...))
		}
		if err := g.readyHost(ctx, hv, cfg, o.setup); err != nil {
			return err
		}
	}

	ctx, quit := context.WithCancel(ctx)
	defer quit()
	footer := ""
	var toReopen io.Closer // nil: it goes to stderr
	shows := o.has(app.StageDashboard)
	switch {
	case shows && o.plain:
		// Events are printed as lines; the log would repeat them.
		log = log.Level(dashboardLevel(log.GetLevel(), o.wantsLog))
	case shows:
		file, err := openLog(logPath(cfg, os.Geteuid()))
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if log, err = g.logger(file, false); err != nil {
			return err
		}
		toReopen = file
		footer = "   log " + file.path
		release, err := dashboard.StartWatchdog(os.Stdout)
		if err != nil {
			return err
		}
		defer release()
	}
	stages.Log = log
	hangups, unwatch := watchHangups()
	defer unwatch()
	go reopenOnHangup(hangups, toReopen, log)
	stages.Dashboard = func(busURL string) dashboard.Config {
		return dashboard.Config{
			Out: os.Stdout, In: os.Stdin, Plain: o.plain, Style: dashboard.StyleFromEnv(os.Getenv), Title: title,
			Footer: "bus " + busURL + footer, Quit: quit,
		}
	}
	stages.Ready = func(busURL string) {
		describe(busURL)
		if !shows || o.plain {
			hint := ""
			if o.has(app.StageBus) {
				hint = watchHint(busURL, cfg.BusTaps != config.No)
			}
			fmt.Fprintf(stderr, "bus: %s%s\n", busURL, hint)
		}
	}
	err = app.Run(ctx, stages)
	if err == nil && o.has(app.StageActuator) {
		group := "GROUP"
		if len(cfg.Groups) == 1 {
			group = cfg.Groups[0].Name
		}
		fmt.Fprintln(stderr, stopped(hv, group))
	}
	return err
}

// watchHint says how to listen to the bus of this process.
func watchHint(url string, taps bool) string {
	switch {
	case strings.HasPrefix(url, "tls:") || !taps:
		return asCalled(" (how to watch it says `vmscaler bus credentials tap`)")
	case url == "nats://"+bus.DefaultListen:
		return " (watch it with: nats sub 'vmscaler.>')"
	}
	return " (watch it with: nats sub -s " + url + " 'vmscaler.>')"
}

// stopped says what is left when the stages have ended.
func stopped(hv *libvirtHost, group string) string {
	owned := make(chan int, 1)
	go func() {
		inv, err := actuator.ReadInventory(hv.conn)
		if err != nil {
			inv.Owned = make([]actuator.VM, 1) // there may be some
		}
		owned <- len(inv.Owned)
	}()
	select {
	case n := <-owned:
		if n == 0 {
			return "stopped"
		}
	case <-time.After(2 * time.Second): // libvirt does not answer
	}
	return asCalled(fmt.Sprintf("stopped; the VMs keep running\n  to list them:   virsh -c %s list\n  to remove them: `vmscaler down %s --uri %s`",
		hv.choice.URI, group, hv.choice.URI))
}

// readyHost refuses a host that lacks what the config names, sets it up where that is wanted, and says how its VMs run.
func (g *globals) readyHost(ctx context.Context, hv *libvirtHost, cfg config.Config, setup bool) error {
	acc, err := prepare(hv, cfg, setup)
	if err != nil {
		return err
	}
	if setup {
		if err := setUp(ctx, hv, cfg, os.Stderr); err != nil {
			return err
		}
	}
	if acc.Reason != "" {
		fmt.Fprintf(os.Stderr, "VMs are emulated, many times slower than with KVM: %s\n", acc.Reason)
	} else {
		fmt.Fprintln(os.Stderr, "VMs run with KVM")
	}
	return nil
}

// stagesLibvirt is what the stages know of a libvirt.
func stagesLibvirt(hv *libvirtHost) app.Libvirt {
	return app.Libvirt{
		Dial: hv.dialer.To(hv.choice.URI),
		Identify: func(conn *libvirt.Connect) (bus.HostID, string, error) {
			id, err := hypervisor.Identify(conn, hv.choice.URI)
			return bus.HostID(id.ID), id.Name, err
		},
		URI: hv.uri, Local: actuator.IsLocal(hv.uri), Network: host.DefaultNetwork(hv.uri),
	}
}

func holder(hv *libvirtHost, command, busURL, stateDir string, groups ...string) actuator.Holder {
	if dir, err := filepath.Abs(stateDir); stateDir != "" && err == nil {
		stateDir = dir // others read it in folders of their own
	}
	return actuator.Holder{PID: os.Getpid(), Command: command, URI: hv.uri, BusURL: busURL, StateDir: stateDir, Groups: groups, Since: time.Now()}
}

func groupNames(groups []bus.Group) []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	return names
}

// acquire takes the lock that one process per libvirt holds.
func acquire(hv *libvirtHost, command, busURL, stateDir string, groups ...string) (*actuator.Lock, error) {
	target, err := lockTarget(hv.conn, hv.choice.URI)
	if err != nil {
		return nil, err
	}
	lock, err := actuator.Acquire(target, holder(hv, command, busURL, stateDir, groups...))
	return lock, withRemedy(err)
}

// claim makes the lock that of the libvirt that a new connection reaches.
func claim(lock *actuator.Lock, conn *libvirt.Connect, uri string) error {
	target, err := lockTarget(conn, uri)
	if err != nil {
		return err
	}
	return withRemedy(lock.Renew(target))
}

func lockTarget(conn *libvirt.Connect, uri string) (actuator.Target, error) {
	id, err := hypervisor.Identify(conn, uri)
	return actuator.Target{Names: id.Names(), SessionUID: id.SessionUID}, err
}

// withRemedy adds to the refusal of a lock what can be done.
func withRemedy(err error) error {
	var locked *actuator.LockedError
	if !errors.As(err, &locked) {
		return err
	}
	remedy := "stop it first, with Ctrl-C or `kill " + fmt.Sprint(locked.Holder.PID) + "`"
	switch locked.Holder.PID {
	case 0:
		remedy = "stop it first"
	case 1: // of a namespace of its own
		remedy = "stop its container first"
	}
	if url := locked.Holder.BusURL; url != "" {
		remedy += ", or watch it with `vmscaler dashboard --nats-url " + url + "`"
	}
	return fmt.Errorf("%w: %s", err, remedy)
}

// prepare refuses what the host does not have and will not get by setting up, and says how its VMs run.
func prepare(hv *libvirtHost, cfg config.Config, willSetUp bool) (actuator.Acceleration, error) {
	cfg.Groups = host.WithNetworks(cfg.Groups, hv.uri)
	problems, err := host.Problems(hv.conn, cfg, hv.choice.URI, willSetUp)
	if err != nil {
		return actuator.Acceleration{}, err
	}
	acc, err := actuator.ReadAcceleration(hv.conn, cfg.Acceleration)
	if err != nil {
		problems = append(problems, cfg.Problem("libvirt.acceleration", err.Error(), "auto or qemu"))
	}
	if len(problems) > 0 {
		return acc, problems
	}
	return acc, nil
}

// withHostProblems adds to the problems of a config file what the host lacks for the rest of it, so that the user
// learns of all at once. Where the host cannot be asked, it is the file's problems alone.
func (g *globals) withHostProblems(ctx context.Context, cfg config.Config, err error, willSetUp bool) error {
	var inFile, onHost config.Problems
	if !errors.As(err, &inFile) {
		return err
	}
	hv, reachErr := g.reach(ctx, cfg.LibvirtURI, io.Discard, false)
	if reachErr != nil {
		return err
	}
	defer hv.close()
	if _, hostErr := prepare(hv, cfg, willSetUp); !errors.As(hostErr, &onHost) {
		return err
	}
	return inFile.And(onHost)
}
