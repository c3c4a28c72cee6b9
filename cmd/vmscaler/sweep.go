package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/orphan"
	"github.com/vmscaler/vmscaler/actuator/trial"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// sweepCmd is the command sweep.
type sweepCmd struct {
	g      *globals
	bus    busFlags
	dryRun bool
	yes    bool
	grace  time.Duration
}

func sweepCommand(g *globals) *cobra.Command {
	c := &sweepCmd{g: g}
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Delete disks whose VM somebody undefined, if vmscaler made them",
		Long: `List what is there without its counterpart, and delete, after asking, the disks whose VM was undefined by hand. A disk is
deleted only by a record of this machine's vmscaler that it made that very file; whatever else looks like one of its disks
is listed and left. VMs that a killed ` + "`vmscaler template check`" + ` (or install, or prebuild) has left are removed, too. ` +
			"`vmscaler run`" + ` does the same by itself, five minutes after it finds one. This works straight on libvirt,
with no bus, and refuses to delete while another vmscaler acts on the same libvirt.`,
		Example: "  vmscaler sweep --dry-run\n  vmscaler sweep --grace 0s --yes",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	c.flags(cmd)
	return cmd
}

func (c *sweepCmd) flags(cmd *cobra.Command) {
	c.bus.addOnly(cmd, "state-dir")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "only list")
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	cmd.Flags().DurationVar(&c.grace, "grace", orphan.DefaultGrace,
		"how old an orphan is before it is deleted, by its record and by its last change")
}

func (c *sweepCmd) validate() error {
	if c.grace < 0 {
		return usageError{fmt.Errorf("--grace: found %s, want 0s or more", c.grace)}
	}
	return nil
}

func (c *sweepCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.busConfig(cmd, c.bus)
	if err != nil {
		return err
	}
	log, err := c.g.logger(cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	hv, err := c.g.reach(cmd.Context(), cfg.LibvirtURI, cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	defer hv.close()
	if !c.dryRun {
		lock, err := acquire(hv, "vmscaler sweep", "", stateDir(cfg))
		if err != nil {
			return err
		}
		defer lock.Release()
	}
	if err := c.sweepTrials(cmd, hv, cfg.Disks()); err != nil {
		return err
	}
	id, err := host.Identify(hv.conn, hv.choice.URI)
	if err != nil {
		return err
	}
	records := orphan.NewRecords(app.RecordDir(stateDir(cfg)), hv.uri, bus.HostID(id.ID), id.Name, log)
	sweeper, err := orphan.NewSweeper(hv.conn, records, vm.Pools{Templates: cfg.Pool, Disks: cfg.Disks()})
	if err != nil {
		return err
	}
	return c.sweep(cmd.OutOrStdout(), sweeper, hv.choice.URI, func(question string) (bool, error) { return confirm(cmd, question) })
}

// sweepTrials lists the throw-away VMs that killed commands have left, and removes them if it is to and the answer is yes.
// While one of these commands runs nobody knows what is left.
func (c *sweepCmd) sweepTrials(cmd *cobra.Command, hv *libvirtHost, pool string) error {
	out := cmd.OutOrStdout()
	lock, err := acquireTrials(hv, "vmscaler sweep")
	var locked *host.LockedError
	if errors.As(err, &locked) {
		fmt.Fprintf(out, "%s runs, and its throw-away VMs are left alone\n", locked.Holder.Command)
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	left, err := trial.Leftovers(hv.conn, pool)
	if err != nil || len(left) == 0 {
		return err
	}
	var names []string
	for _, one := range left {
		names = append(names, one.Name)
	}
	fmt.Fprintf(out, "throw-away VMs that a killed command has left: %s\n", strings.Join(names, ", "))
	if c.dryRun {
		return nil
	}
	if !c.yes {
		if ok, err := confirm(cmd, "Remove them?"); err != nil || !ok {
			return err
		}
	}
	removed, err := trial.Sweep(cmd.Context(), hv.conn, pool)
	if len(removed) > 0 {
		fmt.Fprintf(out, "removed %s\n", strings.Join(removed, ", "))
	}
	return err
}

// orphanSweeper finds and deletes orphans.
type orphanSweeper interface {
	List(grace time.Duration) ([]orphan.Orphan, error)
	Delete(o orphan.Orphan) (deleted bool, err error)
}

// sweep lists the orphans at a URI, and deletes those that may go if it is to and the answer is yes.
func (c *sweepCmd) sweep(out io.Writer, s orphanSweeper, uri string, ask func(question string) (bool, error)) error {
	all, err := s.List(c.grace)
	if err != nil {
		return err
	}
	mine := listOrphans(out, all, time.Now())
	switch {
	case len(all) == 0:
		fmt.Fprintf(out, "nothing is without its counterpart at %s\n", uri)
		return nil
	case c.dryRun || len(mine) == 0:
		fmt.Fprintf(out, "%d to be deleted\n", len(mine))
		return nil
	case !c.yes:
		ok, err := ask(fmt.Sprintf("Delete %d?", len(mine)))
		if err != nil {
			return err
		}
		if !ok {
			return errors.New("not confirmed, nothing was deleted")
		}
	}
	var problems []error
	for _, o := range mine {
		deleted, err := s.Delete(o)
		problems = append(problems, err)
		if deleted {
			fmt.Fprintf(out, "deleted %s\n", o.Path)
		}
	}
	return errors.Join(problems...)
}

// listOrphans prints a table, and returns those that may be deleted.
func listOrphans(out io.Writer, all []orphan.Orphan, now time.Time) (mine []orphan.Orphan) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer func() { _ = table.Flush() }()
	if len(all) > 0 {
		fmt.Fprintln(table, "WHAT\tVM\tMiB\tAGE\tPATH\tVERDICT")
	}
	for _, o := range all {
		age, why := "-", o.Why
		if !o.Since.IsZero() {
			age = now.Sub(o.Since).Truncate(time.Second).String()
		}
		switch o.Action {
		case orphan.Delete:
			mine = append(mine, o)
		case orphan.Forget:
			why = "its VM and disks are gone; `vmscaler run` publishes that when it is started next, and drops this record"
		case orphan.Keep, orphan.Wait:
		}
		fmt.Fprintf(table, "%s\t%s\t%.1f\t%s\t%s\t%s: %s\n", o.What, o.VM, float64(o.Size)/(1<<20), age, o.Path, o.Action,
			asCalled(why))
	}
	return mine
}
