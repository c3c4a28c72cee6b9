package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// templateRmCmd is the command template rm.
type templateRmCmd struct {
	g    *globals
	name string
	yes  bool
}

func templateRmCommand(g *globals) *cobra.Command {
	c := &templateRmCmd{g: g}
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Delete a template that nothing is cloned from",
		Long: long(`
Delete a template, after asking. It stays, and the command fails, where anything needs its file: a VM, any other domain's disk,
a volume of any storage pool that is active, another template. It also ends an upload or a removal that was cut off.`),
		Example: "  vmscaler template rm web-2025\n  vmscaler template rm web-2025 --yes",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.name = args[0]
			if err := checkTemplate(c.name); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *templateRmCmd) run(cmd *cobra.Command) error {
	return c.g.withConfig(cmd, func(hv *libvirtHost, cfg config.Config) error {
		out := cmd.OutOrStdout()
		views, unseen, err := templateViews(hv, cfg.Pool, c.name)
		if err != nil {
			return err
		}
		v := views[0]
		if len(v.Clones) > 0 {
			return inUse(v, cfg.Groups)
		}
		fmt.Fprintf(out, "template %s: volume %s of storage pool %s, %s used\n", v.Name, v.Volume, v.Pool, bytesText(v.UsedBytes))
		if len(unseen) > 0 {
			fmt.Fprintf(out, "whether a volume needs it is not known of storage pools that are not active: %s\n", bus.List(unseen))
		}
		if groups := groupsOf(cfg.Groups, c.name); len(groups) > 0 {
			fmt.Fprintf(out, "it is what the config has for %s: they can make no VM then\n", bus.List(groups))
		}
		if !c.yes {
			ok, err := confirm(cmd, "Delete it?")
			if err != nil {
				return err
			}
			if !ok {
				return errors.New("not confirmed, nothing was deleted")
			}
		}
		err = template.Remove(cmd.Context(), hv.conn, cfg.Pool, c.name, func() ([]string, error) {
			inv, err := vm.ReadInventory(hv.conn)
			return beingMade(inv.Owned, c.name), err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "template %s is deleted\n", c.name)
		return nil
	})
}

// inUse reports what keeps a template. VMs of a group that the config does not have may be somebody else's.
func inUse(v templateView, configured []bus.Group) error {
	used := &template.InUseError{Name: v.Name}
	var groups []string
	for _, clone := range v.Clones {
		used.Users = append(used.Users, clone.who()+" by "+clone.Path)
		if clone.Group != "" && !slices.Contains(groups, clone.Group) {
			groups = append(groups, clone.Group)
		}
	}
	if len(groups) == 0 {
		return used
	}
	for _, group := range groups {
		if !slices.ContainsFunc(configured, func(g bus.Group) bool { return g.Name == group }) {
			return fmt.Errorf("%w: group %s is not in this config, so ask who has it", used, group)
		}
	}
	return fmt.Errorf("%w: let group %s have another template in the config, and a refresh replaces its VMs; or stop the vmscaler "+
		"that acts on the group, and `vmscaler down %s` removes them", used, groups[0], groups[0])
}

// groupsOf are the groups whose VMs are made from a template.
func groupsOf(groups []bus.Group, name string) []string {
	var names []string
	for _, g := range groups {
		if g.Template == name {
			names = append(names, "group "+g.Name)
		}
	}
	return names
}
