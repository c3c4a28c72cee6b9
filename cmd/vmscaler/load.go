package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

func loadCommand(g *globals) *cobra.Command {
	var workers, percent int
	var duration time.Duration
	cmd := &cobra.Command{
		Use:   "load VM|GROUP",
		Short: "Run stress-ng inside VMs, through their guest agents",
		Long: `Run stress-ng inside one VM, or in the VMs of a group that are ready at this moment, through their guest agents.
Ctrl-C stops it. It ends by itself after --for, also when this command is killed.`,
		Example: "  vmscaler load autoscale-1 --for 60s\n  vmscaler load autoscale --cpu 1 --for 2m",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if workers < 0 {
				return usageError{fmt.Errorf("--cpu: found %d, want 0 (one per vCPU) or more", workers)}
			}
			if percent < 1 || percent > 100 {
				return usageError{fmt.Errorf("--percent: found %d, want 1 to 100", percent)}
			}
			if duration < time.Second || duration > 24*time.Hour {
				return usageError{fmt.Errorf("--for: found %s, want 1s to 24h", duration)}
			}
			uri, err := g.fileURI(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			hv, err := g.reach(cmd.Context(), uri, cmd.ErrOrStderr(), false)
			if err != nil {
				return err
			}
			defer hv.close()
			inv, err := vm.ReadInventory(hv.conn)
			if err != nil {
				return err
			}
			found, err := inv.FindVMs(args[0])
			if err != nil {
				return err
			}
			var vms []vm.VM
			for _, vm := range found {
				if vm.State == bus.StateRunning && vm.Meta.Phase.Serves() {
					vms = append(vms, vm)
				}
			}
			if len(vms) == 0 {
				return fmt.Errorf("%s: no VM is ready: of %d found the first is %s, phase %s", args[0], len(found), found[0].State,
					found[0].Meta.Phase)
			}
			return vm.Stress(cmd.Context(), hv.conn, vms, workers, percent, duration, func(vm string) {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: stress-ng runs for %s (Ctrl-C stops it)\n", vm, duration)
			})
		},
	}
	cmd.Flags().IntVar(&workers, "cpu", 1, "CPU workers in each VM; 0 is one per vCPU")
	cmd.Flags().IntVar(&percent, "percent", 100, "how busy each worker is")
	cmd.Flags().DurationVar(&duration, "for", time.Minute, "how long")
	return cmd
}
