package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/rs/zerolog"
	"github.com/rs/zerolog/journald"
	"github.com/spf13/cobra"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// globals are the flags that every command has.
type globals struct {
	configPath, uri, logLevel string
}

// defaultConfig is read when it is there and no other file is named.
const defaultConfig = "vmscaler.yaml"

// configFile is the config's file that the user names, which must be there, and right; "" and false if none is named.
func (g *globals) configFile() (path string, named bool) {
	if path = g.configPath; path == "" {
		path = os.Getenv("VMSCALER_CONFIG")
	}
	if path != "" {
		return path, true
	}
	return "", false
}

// readConfig reads the config. One that nobody has named must be this user's.
func (g *globals) readConfig() (config.Config, []config.Warning, error) {
	path, named := g.configFile()
	if !named {
		return config.LoadUnnamed(defaultConfig, os.Geteuid())
	}
	cfg, warnings, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("config file %q does not exist (an example is in examples/vmscaler.yaml)", path)
	}
	return cfg, warnings, err
}

// loadConfig reads the config and prints its warnings.
func (g *globals) loadConfig(stderr io.Writer) (config.Config, error) {
	cfg, warnings, err := g.readConfig()
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	return cfg, err
}

// runningConfig reads the config for a command that compares with what runs, and says which file that is: the one that the user
// has named, or else that of the vmscaler on this machine whose bus the command asks, or else the usual one.
func (g *globals) runningConfig(cmd *cobra.Command, busF busFlags) (config.Config, error) {
	named := *g
	who := ""
	if _, is := g.configFile(); !is {
		if r, err := g.find(cmd, busF); err == nil {
			named.configPath, who = configOf(r)
		}
	}
	cfg, err := named.loadConfig(cmd.ErrOrStderr())
	if err == nil && cfg.Path != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "config file: %s%s\n", cfg.Path, who)
	}
	return cfg, err
}

// configOf is the config's file of the process that a command is for, and who that is; "" where it does not say.
func configOf(r running) (path, who string) {
	for _, h := range r.here.holders {
		if h.BusURL == r.url && h.Config != "" {
			return h.Config, fmt.Sprintf(", of %s (process %d)", h.Command, h.PID)
		}
	}
	return "", ""
}

// addressConfig is the config for commands that need nothing of it but where libvirt and the bus are. A file that is named
// on the command line must be right; every other one need not: what of it can be used is.
func (g *globals) addressConfig(stderr io.Writer) (cfg config.Config, named bool, err error) {
	_, named = g.configFile()
	cfg, warnings, err := g.readConfig()
	for _, w := range warnings {
		if w.Field == "" { // the file as a whole is not read
			fmt.Fprintf(stderr, "warning: %s\n", w)
		}
	}
	switch {
	case err == nil:
		return cfg, named, nil
	case g.configPath != "":
		return cfg, named, err
	}
	var problems config.Problems
	if errors.As(err, &problems) && slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Field == "libvirt.uri" }) {
		return cfg, named, err // another libvirt than the file means would be used
	}
	fmt.Fprintf(stderr, "warning: the config file is not right, only its address is used: %s\n", err)
	if problems == nil {
		cfg = config.Default()
	}
	return cfg, false, nil
}

// reader reads the config again as a command of stages started with it; overlay is what else that put over it, and may be nil.
func (g *globals) reader(
	busF busFlags, overlay func(*config.Config) error,
) func() (config.Config, []config.Warning, error) {
	return func() (config.Config, []config.Warning, error) {
		cfg, warnings, err := g.readConfig()
		if err == nil {
			_, err = busF.apply(&cfg)
		}
		if err == nil && overlay != nil {
			err = overlay(&cfg)
		}
		return cfg, warnings, err
	}
}

// fileURI is the libvirt URI of the config file, for commands that need nothing else of it.
func (g *globals) fileURI(stderr io.Writer) (string, error) {
	cfg, _, err := g.addressConfig(stderr)
	return cfg.LibvirtURI, err
}

// libvirtHost is a reached libvirt.
type libvirtHost struct {
	dialer *host.Dialer
	conn   *libvirt.Connect
	choice host.Choice
	uri    string // as libvirt itself says it, which other processes say too
}

// close closes the connection, or leaves it where libvirt does not answer.
func (h *libvirtHost) close() {
	done := make(chan struct{})
	go func() {
		_, _ = h.conn.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
	}
}

// reach chooses the URI and connects. With wait it waits for a libvirtd that is down and says so.
func (g *globals) reach(ctx context.Context, fileURI string, stderr io.Writer, wait bool) (*libvirtHost, error) {
	dialer, err := host.NewDialer()
	if err != nil {
		return nil, err
	}
	if !wait {
		return g.reachBy(ctx, dialer, fileURI, nil)
	}
	return g.reachBy(ctx, dialer, fileURI, func(why error) { fmt.Fprintf(stderr, "waiting: %s\n", why) })
}

// reachBy is reach by a dialer, which calls waiting with what it waits for; nil waits for nothing.
func (g *globals) reachBy(ctx context.Context, dialer *host.Dialer, fileURI string, waiting func(error)) (*libvirtHost, error) {
	choice, err := dialer.Choose(ctx, host.Sources{Flag: g.uri, File: fileURI, Getenv: os.Getenv})
	if err != nil {
		return nil, err
	}
	h := &libvirtHost{dialer: dialer, choice: choice}
	if waiting != nil {
		h.conn, err = dialer.Wait(ctx, choice.URI, waiting)
	} else {
		h.conn, err = dialer.Dial(ctx, choice.URI)
	}
	if err != nil {
		return nil, err
	}
	if h.uri, err = host.CanonicalURI(h.conn, choice.URI); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// forContext is with the libvirt of the context that is chosen, for commands about its VMs.
func (g *globals) forContext(cmd *cobra.Command) (*globals, error) {
	chosen, err := g.context(cmd)
	if err != nil || g.uri != "" {
		return g, err
	}
	there := *g
	there.uri, err = chosen.libvirt()
	return &there, err
}

// findVMs connects to the libvirt of this machine, or of the context that is chosen, and finds the VM of that name there, or the
// VMs of that group. It needs no bus.
func (g *globals) findVMs(cmd *cobra.Command, name string) (*libvirtHost, []vm.VM, error) {
	uri, err := g.fileURI(cmd.ErrOrStderr())
	if err != nil {
		return nil, nil, err
	}
	there, err := g.forContext(cmd)
	if err != nil {
		return nil, nil, err
	}
	return there.findVMsOn(cmd.Context(), uri, cmd.ErrOrStderr(), name)
}

// findVMsOn is findVMs on the libvirt that flags or environment name, else this one.
func (g *globals) findVMsOn(ctx context.Context, uri string, stderr io.Writer, name string) (*libvirtHost, []vm.VM, error) {
	h, err := g.reach(ctx, uri, stderr, false)
	if err != nil {
		return nil, nil, err
	}
	inv, err := vm.ReadInventory(h.conn)
	if err != nil {
		h.close()
		return nil, nil, err
	}
	found, err := inv.FindVMs(name)
	var unknown *vm.UnknownError
	if errors.As(err, &unknown) {
		err = fmt.Errorf("%w%s", err, nearest.Hint(name, slices.Concat(unknown.Groups, unknown.VMs)))
	}
	if err != nil {
		h.close()
		return nil, nil, err
	}
	return h, found, nil
}

// findVM is findVMs for one VM.
func (g *globals) findVM(cmd *cobra.Command, name string) (*libvirtHost, vm.VM, error) {
	h, found, err := g.findVMs(cmd, name)
	if err != nil {
		return nil, vm.VM{}, err
	}
	if found[0].Name != name {
		h.close()
		return nil, vm.VM{}, notOneVM(name, found)
	}
	return h, found[0], nil
}

// runs refuses a VM that does not run at this moment.
func runs(v vm.VM) error {
	if v.State != bus.StateRunning {
		return refused("%s: found it %s, want it running", v.Name, v.State)
	}
	return nil
}

// logger logs to w in lines for people.
func (g *globals) logger(w io.Writer, color bool) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(g.logLevel)
	if err != nil || g.logLevel == "" {
		return zerolog.Nop(), usageError{fmt.Errorf("--log-level: found %q, want trace, debug, info, warn or error", g.logLevel)}
	}
	out := zerolog.ConsoleWriter{Out: w, NoColor: !color, TimeFormat: time.DateTime, FormatPrepare: harmlessMessage}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), nil
}

// stderrLogger logs to stderr: in lines for people, or, where the journal reads that, with fields for it.
func (g *globals) stderrLogger() (zerolog.Logger, error) {
	log, err := g.logger(harmless{os.Stderr}, false)
	if direct, journalErr := journal.StderrIsJournalStream(); err == nil && journalErr == nil && direct {
		return zerolog.New(journalLines{journald.NewJournalDWriter()}).Level(log.GetLevel()), nil
	}
	return log, err
}

// readable reports why a file cannot be read.
func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}
