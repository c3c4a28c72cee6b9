package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// loadCmd is the command load.
type loadCmd struct {
	g                *globals
	workers, percent int
	duration         time.Duration
}

func loadCommand(g *globals) *cobra.Command {
	c := &loadCmd{g: g}
	cmd := &cobra.Command{
		Use:   "load VM|GROUP",
		Short: "Run stress-ng inside VMs, through their guest agents",
		Long: `Run stress-ng inside one VM, or in the VMs of a group that are ready at this moment, through their guest agents.
Ctrl-C stops it. It ends by itself after --for, also when this command is killed.`,
		Example: "  vmscaler load autoscale-1 --for 60s\n  vmscaler load autoscale --cpu 1 --for 2m",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd, args[0])
		},
	}
	addContext(cmd)
	cmd.Flags().IntVar(&c.workers, "cpu", 1, "CPU workers in each VM; 0 is one per vCPU")
	cmd.Flags().IntVar(&c.percent, "percent", 100, "how busy each worker is")
	cmd.Flags().DurationVar(&c.duration, "for", time.Minute, "how long")
	return cmd
}

func (c *loadCmd) validate() error {
	switch {
	case c.workers < 0:
		return usageError{fmt.Errorf("--cpu: found %d, want 0 (one per vCPU) or more", c.workers)}
	case c.percent < 1 || c.percent > 100:
		return usageError{fmt.Errorf("--percent: found %d, want 1 to 100", c.percent)}
	case c.duration < time.Second || c.duration > 24*time.Hour:
		return usageError{fmt.Errorf("--for: found %s, want 1s to 24h", c.duration)}
	}
	return nil
}

func (c *loadCmd) run(cmd *cobra.Command, name string) error {
	hv, found, err := c.g.findVMs(cmd, name)
	if err != nil {
		return err
	}
	defer hv.close()
	serving := slices.DeleteFunc(slices.Clone(found), func(v vm.VM) bool {
		return v.State != bus.StateRunning || !v.Meta.Phase.Serves()
	})
	if len(serving) == 0 {
		return refused("%s: no VM is ready: of %d found the first is %s, phase %s",
			name, len(found), found[0].State, found[0].Meta.Phase)
	}
	load := vm.Load{Workers: c.workers, Percent: c.percent, Duration: c.duration}
	return vm.Stress(cmd.Context(), hv.conn, serving, load, func(vm string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: stress-ng runs for %s (Ctrl-C stops it)\n", vm, c.duration)
	})
}
