package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/scenario"
)

// demoGroup is a name that no group of a user has by chance, as the demo removes its VMs.
const demoGroup = "vmscaler-demo"

// demoCmd is the command demo.
type demoCmd struct {
	g        *globals
	patience time.Duration
}

func demoCommand(g *globals) *cobra.Command {
	c := &demoCmd{g: g}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a whole story on real VMs: load, growth to exactly three, idle, back to one",
		Long: `Play a whole story on real VMs and narrate it: a group with thresholds 40 and 15, one worker in its first VM, growth to
exactly three VMs, load off, back to one. It cleans up after itself, and fails if a step does not happen.`,
		Example: "  vmscaler demo\n  vmscaler demo --patience 10m",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	cmd.Flags().DurationVar(&c.patience, "patience", 3*time.Minute, "how long one step may take")
	return cmd
}

func (c *demoCmd) validate() error {
	if c.patience < time.Second {
		return usageError{fmt.Errorf("--patience: found %s, want 1s or more", c.patience)}
	}
	return nil
}

func (c *demoCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	return c.g.demo(cmd.Context(), demoConfig(cfg), c.patience)
}

// demoConfig is a config for the demonstration's own group, on a bus of its own.
func demoConfig(cfg config.Config) config.Config {
	cfg.Groups = []bus.Group{scenario.Group(demoGroup)}
	cfg.BusURL, cfg.BusListen, cfg.BusCert, cfg.BusKey = "", "127.0.0.1:0", "", ""
	cfg.BusCluster = config.BusCluster{}
	return cfg
}

// demoRun is one demonstration.
type demoRun struct {
	cfg      config.Config
	patience time.Duration
	hv       *libvirtHost
	lock     *host.Lock
	log      zerolog.Logger
	say      func(format string, args ...any)
}

func (g *globals) demo(ctx context.Context, cfg config.Config, patience time.Duration) (err error) {
	start := time.Now()
	d := &demoRun{cfg: cfg, patience: patience, say: func(format string, args ...any) {
		fmt.Printf("%6.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}}
	if d.log, err = g.logger(os.Stderr, false); err != nil {
		return err
	}
	if d.hv, err = g.reach(ctx, cfg.LibvirtURI, os.Stderr, true); err != nil {
		return err
	}
	defer d.hv.close()
	d.say("libvirt: %s", d.hv.choice)
	if d.lock, err = acquire(d.hv, "vmscaler demo", "", ""); err != nil {
		return err
	}
	defer d.lock.Release()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	defer func() {
		if downErr := d.cleanUp(ctx); downErr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", downErr))
		} else if err == nil {
			d.say("Done: everything happened as it should, and nothing is left behind.")
		}
	}()
	return d.play(ctx)
}

// prepare sets the host up, and removes what an interrupted demonstration left.
func (d *demoRun) prepare(ctx context.Context) error {
	acc, err := prepare(d.hv, d.cfg, true)
	if err != nil {
		return err
	}
	if err := setUp(ctx, d.hv, d.cfg, os.Stdout); err != nil {
		return err
	}
	if acc.Reason != "" {
		d.say("VMs are emulated, many times slower than with KVM: %s", acc.Reason)
	}
	return removeDemo(ctx, d.hv.conn, d.say)
}

// cleanUp also follows an interruption, so it has a time of its own.
func (d *demoRun) cleanUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	// Over a connection of its own: a libvirtd that was started again has closed the other.
	again, err := d.hv.dialer.Dial(ctx, d.hv.choice.URI)
	if err != nil {
		return err
	}
	defer func() { _, _ = again.Close() }()
	return removeDemo(ctx, again, d.say)
}

// play runs the stages, and the scenario on them.
func (d *demoRun) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan string, 1)
	stages := make(chan error, 1)
	go func() {
		stages <- app.Run(ctx, app.Options{
			Config: d.cfg, Version: version, Libvirt: stagesLibvirt(d.hv), Log: d.log.Level(max(d.log.GetLevel(), zerolog.WarnLevel)),
			Stages: slices.DeleteFunc(app.Stages(), func(s string) bool { return s == app.StageDashboard }),
			Claim:  func(conn *libvirt.Connect) error { return claim(d.lock, conn, d.hv.choice.URI) },
			Ready:  func(url string) { ready <- url },
		})
	}()
	var url string
	select {
	case url = <-ready:
	case err := <-stages:
		return err
	}
	_ = d.lock.Describe(holder(d.hv, "vmscaler demo", url, ""))
	d.say("%s", asCalled("Watch it from another terminal: `vmscaler dashboard`"))
	err := playDemo(ctx, d.hv, url, d.patience, d.say)
	cancel()
	return errors.Join(err, <-stages)
}

func playDemo(ctx context.Context, hv *libvirtHost, url string, patience time.Duration, say func(string, ...any)) error {
	conn, err := client.Dial(client.Remote{URL: url}, "demo", zerolog.Nop())
	if err != nil {
		return err
	}
	defer conn.Close()
	return scenario.Run(ctx, scenario.Config{
		Conn: conn, Group: demoGroup, Say: say, Patience: patience,
		Load: func(ctx context.Context, name string) error {
			inv, err := vm.ReadInventory(hv.conn)
			if err != nil {
				return err
			}
			vms, err := inv.FindVMs(name)
			if err != nil {
				return err
			}
			return vm.Stress(ctx, hv.conn, vms, vm.Load{Workers: 1, Percent: 100, Duration: time.Hour}, func(string) {})
		},
	})
}

// removeDemo removes what a demo has, or an interrupted one left.
func removeDemo(ctx context.Context, conn *libvirt.Connect, say func(string, ...any)) error {
	inv, err := vm.ReadInventory(conn)
	if err != nil {
		return err
	}
	return vm.Down(ctx, conn, inv.Group(demoGroup), 10*time.Second, func(e bus.Event) {
		if e.Event == bus.EventRemoved {
			say("%s is removed.", e.VM)
		}
	})
}
