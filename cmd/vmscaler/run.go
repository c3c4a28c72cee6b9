package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/dashboard"
)

// busFlags are the flags of commands that use a bus.
type busFlags struct {
	listen, url string
}

func (b *busFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&b.listen, "bus-listen", "", "address of the embedded NATS server (default "+bus.DefaultListen+")")
	cmd.Flags().StringVar(&b.url, "nats-url", "", "join this NATS server instead of starting one")
}

func (b *busFlags) apply(cfg *config.Config) error {
	switch {
	case b.listen != "" && b.url != "":
		return usageError{errors.New("--bus-listen and --nats-url exclude each other: the one starts a server, the other joins one")}
	case b.listen != "":
		if err := bus.CheckListen(b.listen); err != nil {
			return usageError{fmt.Errorf("--bus-listen: %w", err)}
		}
		cfg.BusListen, cfg.BusURL = b.listen, ""
	case b.url != "":
		cfg.BusListen, cfg.BusURL = "", b.url
	}
	return nil
}

func runCommand(g *globals) *cobra.Command {
	var busF busFlags
	var noDashboard, setup bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run everything in this process: bus, collector, decider, actuator and dashboard",
		Long: `Run everything in this process: the embedded NATS server, collector, decider, actuator and dashboard.

Ctrl-C stops it and leaves the VMs running; the next run takes them over. A second Ctrl-C ends it at once.
To remove a group's VMs use ` + "`vmscaler down GROUP`.",
		Example: "  vmscaler run\n  vmscaler run -c vmscaler.yaml --no-dashboard",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig(cmd.ErrOrStderr())
			if err != nil {
				return g.withHostProblems(cmd.Context(), cfg, err, setup)
			}
			if err := busF.apply(&cfg); err != nil {
				return err
			}
			plain := noDashboard || dashboard.WantsPlain(os.Stdout, os.Getenv)
			return g.run(cmd.Context(), cfg, plain, setup)
		},
	}
	busF.add(cmd)
	cmd.Flags().BoolVar(&setup, "setup", false, "first do what `vmscaler setup` does")
	cmd.Flags().BoolVar(&noDashboard, "no-dashboard", false, "print one plain line per event and per change (the default without a terminal)")
	return cmd
}

// run is `vmscaler run` after its command line.
func (g *globals) run(ctx context.Context, cfg config.Config, plain, setup bool) error {
	stderr := os.Stderr
	style := dashboard.StyleFromEnv(os.Getenv)
	log, err := g.logger(stderr, false)
	if err != nil {
		return err
	}
	hv, err := g.reach(ctx, cfg.LibvirtURI, stderr, true)
	if err != nil {
		return err
	}
	defer hv.close()
	fmt.Fprintf(stderr, "libvirt: %s\n", hv.choice)
	lock, err := acquire(hv, "vmscaler run", cfg.BusURL)
	if err != nil {
		return err
	}
	defer lock.Release()
	acc, err := prepare(hv, cfg, setup)
	if err != nil {
		return err
	}
	if setup {
		if err := setUp(ctx, hv, cfg, stderr); err != nil {
			return err
		}
	}
	if acc.Reason != "" {
		fmt.Fprintf(stderr, "VMs are emulated, many times slower than with KVM: %s\n", acc.Reason)
	} else {
		fmt.Fprintln(stderr, "VMs run with KVM")
	}

	footer := ""
	if plain {
		// Events are printed as lines; the log would repeat them.
		log = log.Level(max(log.GetLevel(), zerolog.WarnLevel))
	} else {
		file, err := openLog()
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if log, err = g.logger(file, false); err != nil {
			return err
		}
		footer = "log " + file.Name()
		release, err := dashboard.Guard(os.Stdout)
		if err != nil {
			return err
		}
		defer release()
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	err = app.Run(ctx, app.Options{
		Config: cfg, Version: version, Dial: hv.dialer.To(hv.choice.URI), Local: actuator.IsLocal(hv.uri), Log: log,
		Dashboard: func(busURL string) dashboard.Config {
			dc := dashboard.Config{Out: os.Stdout, In: os.Stdin, Plain: plain, Style: style, Title: "vmscaler " + hv.choice.URI, Quit: quit}
			dc.Footer = "bus " + busURL
			if footer != "" {
				dc.Footer += "   " + footer
			}
			return dc
		},
		Ready: func(busURL string) {
			_ = lock.Describe(holder(hv, "vmscaler run", busURL))
			if plain {
				fmt.Fprintf(stderr, "bus: %s (watch it with: nats sub 'vmscaler.>')\n", busURL)
			}
		},
	})
	if err == nil {
		group := "GROUP"
		if len(cfg.Groups) == 1 {
			group = cfg.Groups[0].Name
		}
		fmt.Fprintf(stderr, "stopped; the VMs keep running\n  to list them:   virsh -c %s list\n  to remove them: vmscaler down %s --uri %s\n",
			hv.choice.URI, group, hv.choice.URI)
	}
	return err
}

func holder(hv *libvirtHost, command, busURL string) actuator.Holder {
	return actuator.Holder{PID: os.Getpid(), Command: command, URI: hv.uri, BusURL: busURL, Since: time.Now()}
}

// acquire takes the lock that one process per libvirt URI holds.
func acquire(hv *libvirtHost, command, busURL string) (*actuator.Lock, error) {
	lock, err := actuator.Acquire(holder(hv, command, busURL))
	var locked *actuator.LockedError
	if errors.As(err, &locked) {
		remedy := "stop it first, with Ctrl-C or `kill " + fmt.Sprint(locked.Holder.PID) + "`"
		if locked.Holder.PID == 0 {
			remedy = "stop it first"
		}
		if url := locked.Holder.BusURL; url != "" {
			remedy += ", or watch it with `vmscaler dashboard --nats-url " + url + "`"
		}
		return nil, fmt.Errorf("%w: %s", err, remedy)
	}
	return lock, err
}

// prepare fills in the networks, refuses what the host does not have and will not get by setting up, and says how
// its VMs run.
func prepare(hv *libvirtHost, cfg config.Config, willSetUp bool) (actuator.Acceleration, error) {
	host.FillNetworks(cfg.Groups, hv.uri)
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
