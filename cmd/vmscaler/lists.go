package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// listCmd is a command that lists what a status has, of all groups or of one.
type listCmd[T any] struct {
	g      *globals
	bus    busFlags
	group  string // "": all
	output printer.Output
	of     func(bus.Status) printer.List[T]
	none   string // what there is not, where the list is empty
}

// command completes a command that lists something.
func (c *listCmd[T]) command(cmd *cobra.Command) *cobra.Command {
	cmd.Args = argsBetween(0, 1)
	if !strings.Contains(cmd.Use, "[GROUP]") {
		cmd.Args = exactArgs(0)
	}
	cmd.RunE = checked(c.validate, c.run)
	c.bus.connect(cmd)
	c.output.Add(cmd.Flags(), printer.Lists())
	return cmd
}

func (c *listCmd[T]) validate(args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.group = args[0]
	return checkGroup(c.group)
}

func (c *listCmd[T]) run(cmd *cobra.Command) error {
	status, err := askAs[bus.Status](c.g, cmd, c.bus, bus.RoleTap, bus.VerbStatus, bus.Query{Group: c.group})
	if err != nil {
		return err
	}
	list := c.of(status)
	if len(list.Rows) == 0 && c.output.ForPeople() {
		fmt.Fprintln(cmd.ErrOrStderr(), "there are no "+c.none)
	}
	return list.Print(cmd.OutOrStdout(), &c.output)
}

func groupsCommand(g *globals) *cobra.Command {
	c := listCmd[bus.GroupStatus]{g: g, of: listGroups, none: "groups"}
	return c.command(&cobra.Command{
		Use:     "groups",
		Short:   "List the groups, a line each",
		Example: "  vmscaler groups\n  vmscaler groups -o name",
	})
}

func vmsCommand(g *globals) *cobra.Command {
	c := listCmd[groupVM]{g: g, of: listVMs, none: "VMs"}
	return c.command(&cobra.Command{
		Use:   "vms [GROUP]",
		Short: "List the VMs of all groups, or of one, a line each",
		Example: "  vmscaler vms\n  vmscaler vms web -o wide\n" +
			"  vmscaler vms web -o json | jq -r '.[] | select(.phase == \"ready\") | .name'",
	})
}

func hostListCommand(g *globals) *cobra.Command {
	c := listCmd[hostStatus]{g: g, of: listHosts, none: "hosts that have been heard of"}
	return c.command(&cobra.Command{
		Use:     "list",
		Short:   "List the hosts, with their room and how old their last sample is",
		Example: "  vmscaler host list\n  vmscaler host list -o json",
	})
}

// column is one of a table that is there in a narrow one too.
func column[T any](head string, of func(T) string) printer.Column[T] {
	return printer.Column[T]{Head: head, Of: of}
}

// wideColumn is one of a wide table alone.
func wideColumn[T any](head string, of func(T) string) printer.Column[T] {
	return printer.Column[T]{Head: head, Of: of, Wide: true}
}

func listGroups(s bus.Status) printer.List[bus.GroupStatus] {
	type group = bus.GroupStatus
	// in is what a decision has, where there is one.
	in := func(of func(d *bus.Decision) string) func(group) string {
		return func(g group) string {
			if g.Decision == nil {
				return "-"
			}
			return of(g.Decision)
		}
	}
	return printer.List[group]{
		Rows: s.Groups,
		Name: func(g group) string { return g.Group },
		Columns: []printer.Column[group]{
			column("GROUP", func(g group) string { return g.Group }),
			column("DESIRED", in(func(d *bus.Decision) string {
				if !d.HasSample {
					return "unknown"
				}
				return fmt.Sprint(d.Desired)
			})),
			column("READY", in(func(d *bus.Decision) string { return fmt.Sprint(d.Inputs.Ready + d.Inputs.Warming) })),
			column("PENDING", in(func(d *bus.Decision) string { return fmt.Sprint(d.Inputs.Launching) })),
			column("MIN", in(func(d *bus.Decision) string { return fmt.Sprint(d.Inputs.Min) })),
			column("MAX", in(func(d *bus.Decision) string { return fmt.Sprint(d.Inputs.Max) })),
			column("CPU", in(func(d *bus.Decision) string { return percentText(d.Inputs.AveragePercent) })),
			column("PAUSED", in(func(d *bus.Decision) string {
				var paused []string
				for _, scope := range d.Controls.Paused {
					paused = append(paused, string(scope))
				}
				if d.Controls.DryRun {
					paused = append(paused, "dry run")
				}
				return cmp.Or(strings.Join(paused, ","), "-")
			})),
			wideColumn("WARM", in(func(d *bus.Decision) string { return fmt.Sprint(d.Inputs.Warm) })),
			wideColumn("RULE", in(func(d *bus.Decision) string { return cmp.Or(string(d.Rule), "-") })),
			wideColumn("GUARD", in(func(d *bus.Decision) string { return cmp.Or(string(d.Guard), "-") })),
			wideColumn("WHY", in(func(d *bus.Decision) string { return d.Sentence })),
		},
	}
}

// groupVM is a VM as it is listed.
type groupVM struct {
	Group  string     `json:"group"`
	Host   string     `json:"host"`
	HostID bus.HostID `json:"host_id"`
	bus.VM
	note string // whether it is made from something else than new VMs are
	asOf time.Time
}

// forwardsText are the ports of its host by which a VM is reached that has no address of its own, as 127.0.0.1:8081->80.
func forwardsText(forwards map[int]int) string {
	var all []string
	for _, guest := range slices.Sorted(maps.Keys(forwards)) {
		all = append(all, fmt.Sprintf("127.0.0.1:%d->%d", forwards[guest], guest))
	}
	return strings.Join(all, ",")
}

func listVMs(s bus.Status) printer.List[groupVM] {
	list := printer.List[groupVM]{
		Name: func(v groupVM) string { return v.Name },
		Columns: []printer.Column[groupVM]{
			column("VM", func(v groupVM) string { return v.Name }),
			column("GROUP", func(v groupVM) string { return v.Group }),
			column("PHASE", func(v groupVM) string { return string(v.Phase) }),
			column("STATE", func(v groupVM) string { return string(v.State) }),
			column("CPU", func(v groupVM) string { return percentText(v.CPUPercent) }),
			column("AGE", func(v groupVM) string { return ageText(known(v.Created), v.asOf) }),
			column("ADDRESS", func(v groupVM) string { return cmp.Or(v.Address, forwardsText(v.Forwards), "-") }),
			column("HOST", func(v groupVM) string { return v.Host }),
			wideColumn("VCPUS", func(v groupVM) string { return fmt.Sprint(v.VCPUs) }),
			wideColumn("MEMORY", func(v groupVM) string { return fmt.Sprintf("%d MiB", v.MemoryMiB) }),
			wideColumn("TEMPLATE", func(v groupVM) string { return cmp.Or(v.Template, "-") }),
			wideColumn("PROTECTED", func(v groupVM) string { return yesNo(v.Protected) }),
			wideColumn("NOTE", func(v groupVM) string { return cmp.Or(v.note, "-") }),
			wideColumn("UUID", func(v groupVM) string { return v.UUID }),
			wideColumn("ERROR", func(v groupVM) string { return cmp.Or(v.Error, "-") }),
		},
	}
	for _, g := range s.Groups {
		for _, sample := range g.Samples {
			for _, v := range sample.VMs {
				row := groupVM{Group: g.Group, Host: sample.Host, HostID: sample.HostID, VM: v, asOf: s.Time}
				if g.Decision != nil {
					row.note = model.Age(v, g.Decision.Machine)
				}
				list.Rows = append(list.Rows, row)
			}
		}
	}
	slices.SortStableFunc(list.Rows, func(a, b groupVM) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), model.CompareNames(a.Name, b.Name))
	})
	return list
}

// hostStatus is a host as it is listed.
type hostStatus struct {
	Name   string     `json:"name"`
	ID     bus.HostID `json:"id"`
	VMs    int        `json:"vms"` // of all groups
	Groups []string   `json:"groups"`
	// State is the most troubled of those in which it stands with its groups, Standings each that is not just up, by group.
	State     bus.HostState               `json:"state"`
	Standings map[string]bus.HostStanding `json:"standings,omitempty"`
	Load      bus.Host                    `json:"load"`
	Time      time.Time                   `json:"time"` // of its last sample
	// ClusterID is the cluster that its actuator belongs to, and Term the highest by which it has acted, as its disk has them.
	ClusterID string `json:"cluster_id,omitempty"`
	Term      int64  `json:"term,omitempty"`
	// Templates are those that the groups need, as the host has them, where its actuator says so.
	Templates []bus.HostTemplate `json:"templates,omitempty"`
	// ClockAheadS is by how many seconds its clock is ahead of the decider's, less than 0 where it is behind; nil: unknown.
	ClockAheadS *float64 `json:"clock_ahead_s,omitempty"`
	asOf        time.Time
}

func listHosts(s bus.Status) printer.List[hostStatus] {
	list := printer.List[hostStatus]{
		Name: func(h hostStatus) string { return h.Name },
		Columns: []printer.Column[hostStatus]{
			column("HOST", func(h hostStatus) string { return h.Name }),
			column("STATE", func(h hostStatus) string { return string(h.State) }),
			column("VMS", func(h hostStatus) string { return fmt.Sprint(h.VMs) }),
			column("CPU", func(h hostStatus) string { return percentText(h.Load.CPUPercent) }),
			column("CORES", func(h hostStatus) string { return fmt.Sprint(h.Load.Cores) }),
			column("MEMORY", func(h hostStatus) string { return fmt.Sprintf("%d MiB", h.Load.MemoryMiB) }),
			column("FREE", func(h hostStatus) string { return mibText(h.Load.MemoryFreeMiB) }),
			column("POOL FREE", func(h hostStatus) string { return mibText(h.Load.PoolFreeMiB) }),
			column("SAMPLE", func(h hostStatus) string {
				if h.Time.IsZero() {
					return "none"
				}
				return ageText(&h.Time, h.asOf) + " old"
			}),
			wideColumn("DOMAIN", func(h hostStatus) string { return cmp.Or(h.Load.Domain, "-") }),
			wideColumn("GROUPS", func(h hostStatus) string { return strings.Join(h.Groups, ",") }),
			wideColumn("PROMISED", func(h hostStatus) string { return mibText(h.Load.MemoryPromisedMiB) }),
			wideColumn("CLOCK", hostStatus.clock),
			wideColumn("WHY", func(h hostStatus) string { return cmp.Or(h.why(), "-") }),
			wideColumn("ID", func(h hostStatus) string { return string(h.ID) }),
			wideColumn("CLUSTER", func(h hostStatus) string { return cmp.Or(h.ClusterID, "-") }),
		},
	}
	row := func(id bus.HostID) *hostStatus {
		i := slices.IndexFunc(list.Rows, func(h hostStatus) bool { return h.ID == id })
		if i < 0 {
			i = len(list.Rows)
			list.Rows = append(list.Rows, hostStatus{ID: id, State: bus.HostUp, asOf: s.Time})
		}
		return &list.Rows[i]
	}
	for _, g := range s.Groups {
		if g.Decision != nil {
			for id, standing := range g.Decision.Hosts {
				row(id).stands(g.Group, standing)
			}
		}
		for _, sample := range g.Samples {
			h := row(sample.HostID)
			h.VMs += len(sample.VMs)
			h.Groups = append(h.Groups, g.Group)
			if ahead, known := g.ClockAheadS[sample.HostID]; known {
				h.ClockAheadS = &ahead
			}
			if sample.Time.After(h.Time) {
				h.Name, h.Load, h.Time = sample.Host, sample.HostLoad, sample.Time
			}
		}
	}
	for _, stage := range s.Stages {
		i := slices.IndexFunc(list.Rows, func(h hostStatus) bool { return stage.Acts != nil && h.ID == stage.Acts.HostID })
		if i >= 0 {
			list.Rows[i].ClusterID, list.Rows[i].Term = stage.Acts.ClusterID, stage.Acts.Term
			list.Rows[i].Templates = stage.Acts.Templates
		}
	}
	slices.SortFunc(list.Rows, func(a, b hostStatus) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}

// stands notes where the host stands with a group.
func (h *hostStatus) stands(group string, s bus.HostStanding) {
	if h.Standings == nil {
		h.Standings = map[string]bus.HostStanding{}
	}
	h.Standings[group], h.Name = s, s.Host
	// In the order from good to bad; of the last ones the least done counts.
	order := []bus.HostState{
		bus.HostUp, bus.HostCordoned, bus.HostDrained, bus.HostDraining, bus.HostReturning, bus.HostSilent, bus.HostLost,
	}
	if slices.Index(order, s.State) > slices.Index(order, h.State) {
		h.State = s.State
	}
}

// clock is how far the host's clock is off, against that of the decider.
func (h hostStatus) clock() string {
	switch {
	case h.ClockAheadS == nil:
		return "unknown"
	case *h.ClockAheadS < 0:
		return fmt.Sprintf("%.1f s behind", -*h.ClockAheadS)
	}
	return fmt.Sprintf("%.1f s ahead", *h.ClockAheadS)
}

// why is what the groups say of the host, one after the other.
func (h hostStatus) why() string {
	var texts []string
	for _, group := range slices.Sorted(maps.Keys(h.Standings)) {
		if s := h.Standings[group]; s.Reason != "" {
			texts = append(texts, group+": "+s.Reason)
		}
	}
	return strings.Join(texts, "; ")
}

// percentText is a share with its unit; nil is unknown.
func percentText(p *float64) string {
	if p == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f %%", min(max(*p, 0), 9999))
}

// mibText is a size with its unit; nil is unknown.
func mibText(mib *int) string {
	if mib == nil {
		return "unknown"
	}
	return fmt.Sprintf("%d MiB", *mib)
}

func yesNo(is bool) string { return map[bool]string{true: "yes", false: "no"}[is] }

// known is a time, nil where it is not known.
func known(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	return &at
}
