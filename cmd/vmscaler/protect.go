package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

func protectCommand(g *globals) *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use:   "protect VM",
		Short: "Keep a VM from being chosen for scaling in, until it is taken back with --off",
		Long: long(`
Keep a VM from being chosen for scaling in, until it is taken back with --off. The mark is in the domain's metadata, so it
outlives vmscaler, and this works straight on libvirt, with no config and no bus. A VM that dies is replaced all the
same, and ` + "`vmscaler down`" + ` removes it.`),
		Example: "  vmscaler protect web-1\n  vmscaler protect web-1 --off",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
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
			vms, err := inv.FindVMs(args[0])
			if err != nil {
				return err
			}
			if vm := vms[0]; vm.Name != args[0] {
				names := make([]string, len(vms))
				for i := range vms {
					names[i] = vms[i].Name
				}
				return usageError{fmt.Errorf("VM: found the group %s, want one of its VMs: %s", args[0], strings.Join(names, ", "))}
			}
			if err := vm.Protect(hv.conn, vms[0], !off); err != nil {
				return err
			}
			says := "protected"
			if off {
				says = "not protected any more"
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", args[0], says)
			return nil
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "it may be chosen again")
	return cmd
}
