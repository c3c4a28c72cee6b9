package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/actuator/orphan"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// downCmd is the command down.
type downCmd struct {
	g   *globals
	bus busFlags // whose state folder has the records of what was made
	asking
	group   string
	yes     bool
	timeout time.Duration
}

func downCommand(g *globals) *cobra.Command {
	c := &downCmd{g: g}
	cmd := &cobra.Command{
		Use:   "down GROUP",
		Short: "Remove a group's VMs and their disks",
		Long: `Remove a group's VMs and their disks, after asking. It works straight on libvirt, with no config and no bus, and
refuses while a vmscaler acts on the same libvirt that has the group in its config: one that has not leaves its VMs alone. ` +
			"What the group's deletion_protection keeps is refused too; that is noted at the VMs. " +
			"Templates stay, and so do disks with keep: always, which `vmscaler volume` lists and deletes. " +
			"Who has removed a VM, and why, is kept in the state folder of the vmscaler that acts there, else in the usual " +
			"one, and published with the VM's end when vmscaler is started next.",
		Example: "  vmscaler down web --reason 'moved to kvm2'\n  vmscaler down web --yes",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.group = args[0]
			return c.run(cmd)
		},
	}
	addContext(cmd)
	c.bus.addOnly(cmd, "state-dir")
	c.addReason(cmd)
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&c.timeout, "shutdown-timeout", 20*time.Second,
		"how long a guest may take to shut down before it is destroyed")
	return cmd
}

func (c *downCmd) run(cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	cfg, _, err := c.g.addressConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if _, err := c.bus.apply(&cfg); err != nil {
		return err
	}
	there, err := c.g.forContext(cmd)
	if err != nil {
		return err
	}
	hv, err := there.reach(cmd.Context(), cfg.LibvirtURI, cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	defer hv.close()
	release, beside, err := c.lock(out, hv)
	if err != nil {
		return err
	}
	defer release()
	inv, err := vm.ReadInventory(hv.conn)
	if err != nil {
		return err
	}
	vms := inv.Group(c.group)
	if len(vms) == 0 {
		return c.nothing(out, hv.choice, inv.Groups(), cfg.Groups)
	}
	var names []string
	for _, one := range vms {
		names = append(names, one.Name)
	}
	fmt.Fprintf(out, "group %s at %s: %s, with disk\n", c.group, hv.choice.URI, strings.Join(names, ", "))
	if err := c.allowed(vms, cfg.Groups, asksOn(cmd)); err != nil {
		return err
	}
	if !c.yes {
		ok, err := confirm(cmd, "Remove them?")
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("not confirmed, nothing was removed")
		}
	}
	return errors.Join(c.remove(cmd, hv, vms, app.RecordDir(stateBeside(cfg, beside))), c.tellKept(cmd, hv, vms))
}

// tellKept names the disks that outlive the group's VMs.
func (c *downCmd) tellKept(cmd *cobra.Command, hv *libvirtHost, vms []vm.VM) error {
	told := map[string]bool{} // pools
	for _, one := range vms {
		if told[one.Meta.Pool] || len(one.Meta.Kept) == 0 {
			continue
		}
		told[one.Meta.Pool] = true
		kept, err := hv.kept(cmd.Context(), one.Meta.Pool)
		if err != nil {
			return fmt.Errorf("which disks are kept is not known: %w", err)
		}
		for _, k := range kept {
			if k.Group == c.group && !k.Foreign {
				fmt.Fprintln(cmd.OutOrStdout(), asCalled(
					fmt.Sprintf("kept: disk %d of %s; `vmscaler volume rm %s` deletes it", k.Disk, k.VM, k.Name)))
			}
		}
	}
	return nil
}

// remove removes the VMs, and notes in their records in a folder who has done it. Where there is no record of one, as of a VM of
// another machine, the history will not have that, which is said.
func (c *downCmd) remove(cmd *cobra.Command, hv *libvirtHost, vms []vm.VM, dir string) error {
	records := orphan.NewRecords(dir, hv.uri, "", "", zerolog.Nop())
	uuids := map[string]string{}
	for _, one := range vms {
		uuids[one.Name] = one.UUID
	}
	var mu sync.Mutex
	return vm.Down(cmd.Context(), hv.conn, vms, c.timeout, func(e bus.Event) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(cmd.OutOrStdout(), "%-12s %-9s %.1f s\n", e.VM, e.Event, float64(e.ElapsedMS)/1000)
		if e.Event != bus.EventRemoved {
			return
		}
		err := records.End(uuids[e.VM], orphan.Ended{At: time.Now().UTC(), By: whoAsks(), Reason: string(c.reason)})
		if note := unrecorded(c.group, e.VM, dir, err); note != "" {
			fmt.Fprintln(cmd.ErrOrStderr(), note)
		}
	})
}

// unrecorded is what to say where the end of a VM could not be noted in its record in a folder; "" is nothing. Of throw-away VMs
// there never is one, nor a history.
func unrecorded(group, name, dir string, err error) string {
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist) && bus.IsThrowAway(group):
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("%s: %s has no record of it, so the history will not say who has removed it", name, dir)
	}
	return fmt.Sprintf("%s: the history will not say who has removed it: %s", name, err)
}

// allowed refuses what the group's deletion protection keeps, by its VMs' metadata, which holds without a config, and by the
// config where that says more, as before its first run. terminal is that somebody can be asked.
func (c *downCmd) allowed(vms []vm.VM, groups []bus.Group, terminal bool) error {
	var level bus.DeletionProtection
	for _, one := range vms {
		level = level.Stricter(one.Deletion)
	}
	for _, g := range groups {
		if g.Name == c.group {
			level = level.Stricter(g.DeletionProtection)
		}
	}
	switch level {
	case bus.DeletionAllowed:
		return nil
	case bus.DeletionPreventForce:
		switch {
		case !terminal:
			return refused("group %s has deletion_protection: %s, so a person must be asked, and there is no terminal to ask on: nothing "+
				"was removed; run this on a terminal, without --yes", c.group, level)
		case c.yes:
			return refused("group %s has deletion_protection: %s, so --yes is refused and nothing was removed: without it you are asked",
				c.group, level)
		}
		return nil
	case bus.DeletionPreventAll:
	}
	return refused(
		"group %s has deletion_protection: %s, so nothing was removed: set it to none in the config, and have that hold "+
			"with `vmscaler apply -f FILE`, which takes it back from the VMs; then repeat this",
		c.group,
		level,
	)
}

// stateBeside is the state folder with the records of VMs: the one that is named, else that of the process that acts on libvirt.
func stateBeside(cfg config.Config, acts host.Holder) string {
	return cmp.Or(cfg.StateDir, acts.StateDir, defaultStateDir())
}

// lock takes the lock of libvirt. It is not needed while one has it that leaves the group alone, which is beside then.
func (c *downCmd) lock(out io.Writer, hv *libvirtHost) (release func(), beside host.Holder, err error) {
	lock, err := acquire(hv, "vmscaler down", "", "")
	var locked *host.LockedError
	switch {
	case err == nil:
		return lock.Release, host.Holder{}, nil
	case errors.As(err, &locked) && leavesAlone(locked.Holder, c.group):
		fmt.Fprintf(out, "%s acts on %s, and leaves group %s alone: it has %s\n",
			locked.Holder.Command, hv.choice.URI, c.group, bus.List(locked.Holder.Groups))
		return func() {}, locked.Holder, nil
	}
	return nil, host.Holder{}, inTheWay(err, c.group)
}

// inTheWay adds to the refusal of a lock how a process that goes on can be had to leave a group alone.
func inTheWay(err error, group string) error {
	if locked := (*host.LockedError)(nil); !errors.As(err, &locked) {
		return err
	}
	return fmt.Errorf("%w; or take group %s out of its config, have that hold with `vmscaler apply -f FILE`, and repeat this",
		err, group)
}

// nothing reports that the group has no VMs. It is an error where that is not sure, and where the config has no such group
// either, whose name may be misspelled. there are the groups that have VMs.
func (c *downCmd) nothing(out io.Writer, choice host.Choice, there []string, configured []bus.Group) error {
	fmt.Fprintf(out, "group %s has no VMs at %s; nothing to remove\n", c.group, choice)
	if len(there) > 0 {
		fmt.Fprintf(out, "groups with VMs there: %s\n", strings.Join(there, ", "))
	}
	if choice.Unasked != nil {
		return fmt.Errorf("whether group %s has VMs at %s is not known: %w", c.group, host.SystemURI, choice.Unasked)
	}
	names := slices.Clone(there)
	for _, g := range configured {
		if g.Name == c.group {
			return nil
		}
		names = append(names, g.Name)
	}
	return unknown("found no group %s: it has no VMs, and the config has no such group%s", c.group, nearest.Hint(c.group, names))
}

// leavesAlone reports whether the process that acts has named its groups, and this one is not among them.
func leavesAlone(h host.Holder, group string) bool {
	return len(h.Groups) > 0 && !slices.Contains(h.Groups, group)
}

// asksOn reports whether there is a terminal to ask a person on.
func asksOn(cmd *cobra.Command) bool {
	f, is := cmd.InOrStdin().(*os.File)
	return is && term.IsTerminal(int(f.Fd()))
}

// confirm asks on the terminal; without one it is an error.
func confirm(cmd *cobra.Command, question string) (bool, error) {
	if !asksOn(cmd) {
		return false, usageError{errors.New("no terminal to ask on: use --yes")}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && answer == "" {
		return false, nil // end of input is a no
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}
