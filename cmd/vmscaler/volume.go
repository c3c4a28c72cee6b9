package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

func volumeCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "volume",
		Short: "List or delete disks that outlive their VMs",
		Long: long(`
List or delete disks that outlive their VMs: those of a group's disks with keep: replace or keep: always. They are in the storage
pool of the VMs' disks on this libvirt.`),
	}
	cmd.AddCommand(volumeListCommand(g), volumeRmCommand(g))
	return cmd
}

// hostID is the identity by which the host's kept disks are named.
func (h *libvirtHost) hostID() (bus.HostID, error) {
	id, err := host.Identify(h.conn, h.choice.URI)
	return bus.HostID(id.ID), err
}

// kept are the volumes of a pool that outlive their VMs.
func (h *libvirtHost) kept(ctx context.Context, pool string) ([]vm.KeptVolume, error) {
	id, err := h.hostID()
	if err != nil {
		return nil, err
	}
	return vm.ListKept(ctx, h.conn, pool, id)
}

// volumeView is how a kept volume is shown.
type volumeView struct {
	Name          string `json:"name"`
	Group         string `json:"group"`
	VM            string `json:"vm"`
	Disk          int    `json:"disk"`
	CapacityBytes uint64 `json:"capacity_bytes"`
	UsedBytes     uint64 `json:"used_bytes"`
	User          string `json:"user,omitempty"`         // what needs it now
	AnotherHost   bool   `json:"another_host,omitempty"` // it is of another host with the same pool
}

// volumeListCmd is the command volume list.
type volumeListCmd struct {
	g      *globals
	output printer.Output
}

func volumeListCommand(g *globals) *cobra.Command {
	c := &volumeListCmd{g: g}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the disks that outlive their VMs, and what uses each",
		Example: "  vmscaler volume list\n  vmscaler volume list -o json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.g.withConfig(cmd, func(hv *libvirtHost, cfg config.Config) error {
				all, err := hv.kept(cmd.Context(), cfg.Disks())
				if err != nil {
					return err
				}
				return c.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), all)
			})
		},
	}
	c.output.Add(cmd.Flags(), printer.Lists())
	return cmd
}

func (c *volumeListCmd) print(out, stderr io.Writer, all []vm.KeptVolume) error {
	views := []volumeView{}
	for _, k := range all {
		views = append(views, volumeView{k.Name, k.Group, k.VM, k.Disk, k.Bytes, k.Used, k.User, k.Foreign})
	}
	if err := listVolumes(views).Print(out, &c.output); err != nil || !c.output.ForPeople() {
		return err
	}
	if len(views) == 0 {
		fmt.Fprintln(stderr, "no disk is kept")
	}
	return nil
}

func listVolumes(views []volumeView) printer.List[volumeView] {
	return printer.List[volumeView]{
		Rows: views,
		Name: func(v volumeView) string { return v.Name },
		Columns: []printer.Column[volumeView]{
			{Head: "NAME", Of: func(v volumeView) string { return v.Name }},
			{Head: "VM", Of: func(v volumeView) string { return v.VM }},
			{Head: "DISK", Of: func(v volumeView) string { return fmt.Sprint(v.Disk) }},
			{Head: "SIZE", Of: func(v volumeView) string { return bytesText(v.CapacityBytes) }},
			{Head: "USED", Of: func(v volumeView) string { return bytesText(v.UsedBytes) }},
			{Head: "BY", Of: func(v volumeView) string {
				switch {
				case v.User != "":
					return v.User
				case v.AnotherHost:
					return "another host"
				}
				return "-"
			}},
		},
	}
}

// volumeRmCmd is the command volume rm.
type volumeRmCmd struct {
	g   *globals
	yes bool
}

func volumeRmCommand(g *globals) *cobra.Command {
	c := &volumeRmCmd{g: g}
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Delete a disk that outlives its VM, with all that is on it",
		Long: long(`
Delete a disk that outlives its VM, with all that is on it, after asking. One that a VM, any other domain or a volume needs
stays, and the command fails, as for one of another host that has the same pool. It refuses while a vmscaler acts on the same
libvirt that has the disk's group in its config, as that may make a VM with it at any moment: stop that meanwhile, or take the
group out of its config with ` +
			"`vmscaler apply`" + `; the VMs go on.`),
		Example: "  vmscaler volume rm web-3.3f2a9c1e.keep1.qcow2\n  vmscaler volume rm web-3.3f2a9c1e.keep1.qcow2 --yes",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.g.withConfig(cmd, func(hv *libvirtHost, cfg config.Config) error {
				return c.run(cmd, hv, cfg.Disks(), args[0])
			})
		},
	}
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *volumeRmCmd) run(cmd *cobra.Command, hv *libvirtHost, pool, name string) error {
	all, err := hv.kept(cmd.Context(), pool)
	if err != nil {
		return err
	}
	k, err := chooseKept(all, name)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	release, _, err := (&downCmd{g: c.g, group: k.Group}).lock(out, hv)
	if err != nil {
		return err
	}
	defer release()
	fmt.Fprintf(out, "volume %s: disk %d of %s, %s used\n", k.Name, k.Disk, k.VM, bytesText(k.Used))
	if !c.yes {
		ok, err := confirm(cmd, "Delete it, with all that is on it?")
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("not confirmed, nothing was deleted")
		}
	}
	id, err := hv.hostID()
	if err != nil {
		return err
	}
	if err := vm.DeleteKept(cmd.Context(), hv.conn, pool, k.Name, id); err != nil {
		return err
	}
	fmt.Fprintf(out, "deleted %s\n", k.Name)
	return nil
}

// chooseKept is the volume of a name. The error says that there is none, or what needs it.
func chooseKept(all []vm.KeptVolume, name string) (vm.KeptVolume, error) {
	names := make([]string, len(all))
	for i, k := range all {
		names[i] = k.Name
	}
	switch i := slices.Index(names, name); {
	case i < 0:
		return vm.KeptVolume{}, unknown("found no kept disk %s%s", name, nearest.Hint(name, names))
	case all[i].Foreign:
		return vm.KeptVolume{}, refused("volume %s is another host's, and a VM may run with it there: nothing was deleted; "+
			"`vmscaler volume rm` on that host deletes it", name)
	case all[i].User != "":
		return vm.KeptVolume{}, refused("volume %s is needed by %s: nothing was deleted", name, all[i].User)
	default:
		return all[i], nil
	}
}
