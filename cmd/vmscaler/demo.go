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
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/scenario"
)

// demoGroup is a name that no group of a user has by chance, as the demo removes its VMs.
const demoGroup = "vmscaler-demo"

func demoCommand(g *globals) *cobra.Command {
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play a whole story on real VMs: load, growth to exactly three, idle, back to one",
		Long: `Play a whole story on real VMs and narrate it: a group with thresholds 40 and 15, one worker in its first VM, growth to
exactly three VMs, load off, back to one. It cleans up after itself, and fails if a step does not happen.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			cfg.Groups = []bus.Group{scenario.Group(demoGroup)}
			cfg.BusURL, cfg.BusListen, cfg.BusCert, cfg.BusKey = "", "127.0.0.1:0", "", ""
			return g.demo(cmd.Context(), cfg, patience)
		},
	}
	cmd.Flags().DurationVar(&patience, "patience", 3*time.Minute, "how long one step may take")
	return cmd
}

func (g *globals) demo(ctx context.Context, cfg config.Config, patience time.Duration) (err error) {
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Printf("%6.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	log, err := g.logger(os.Stderr, false)
	if err != nil {
		return err
	}
	hv, err := g.reach(ctx, cfg.LibvirtURI, os.Stderr, true)
	if err != nil {
		return err
	}
	defer hv.close()
	say("libvirt: %s", hv.choice)
	lock, err := acquire(hv, "vmscaler demo", "", "")
	if err != nil {
		return err
	}
	defer lock.Release()
	acc, err := prepare(hv, cfg, true)
	if err != nil {
		return err
	}
	if err := setUp(ctx, hv, cfg, os.Stdout); err != nil {
		return err
	}
	if acc.Reason != "" {
		say("VMs are emulated, many times slower than with KVM: %s", acc.Reason)
	}
	if err := removeDemo(ctx, hv.conn, say); err != nil {
		return err
	}
	defer func() {
		// The clean-up also follows an interruption, so it has a time of its own.
		downCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		// Over a connection of its own: a libvirtd that was started anew has closed the other.
		again, downErr := hv.dialer.Dial(downCtx, hv.choice.URI)
		if downErr == nil {
			downErr = removeDemo(downCtx, again, say)
			_, _ = again.Close()
		}
		if downErr != nil {
			err = errors.Join(err, fmt.Errorf("clean up: %w", downErr))
		} else if err == nil {
			say("Done: everything happened as it should, and nothing is left behind.")
		}
	}()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan string, 1)
	stages := make(chan error, 1)
	go func() {
		stages <- app.Run(ctx, app.Options{
			Config: cfg, Version: version, Libvirt: stagesLibvirt(hv), Log: log.Level(max(log.GetLevel(), zerolog.WarnLevel)),
			Stages: slices.DeleteFunc(app.Stages(), func(s string) bool { return s == app.StageDashboard }),
			Claim:  func(conn *libvirt.Connect) error { return claim(lock, conn, hv.choice.URI) },
			Ready:  func(url string) { ready <- url },
		})
	}()
	var url string
	select {
	case url = <-ready:
	case err := <-stages:
		return err
	}
	_ = lock.Describe(holder(hv, "vmscaler demo", url, ""))
	say("%s", asCalled("Watch it from another terminal: `vmscaler dashboard`"))
	err = playDemo(ctx, hv, url, patience, say)
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
			return vm.Stress(ctx, hv.conn, vms, 1, 100, time.Hour, func(string) {})
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
