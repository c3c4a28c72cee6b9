package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// scheduleCmd is the command schedule.
type scheduleCmd struct {
	g        *globals
	bus      busFlags
	group    string // "": all
	upcoming int
	output   printer.Output
}

func scheduleCommand(g *globals) *cobra.Command {
	c := &scheduleCmd{g: g}
	cmd := &cobra.Command{
		Use:   "schedule [GROUP]",
		Short: "Show the min and max that the schedules set at present, and what comes next; add actions to them",
		Long: long(`
Show the min and max that the schedules of the config set at present, what was paused or set by hand over them, and what comes
next. Without -c it reads the file of the vmscaler that runs here, and says on stderr which one that is. Where none runs, what
was set by hand is not known, and it says so, too. The actions of the config are changed there; others are added, and
removed again, while it runs.`),
		Example: "  vmscaler schedule\n  vmscaler schedule web --upcoming 20 -o json",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
	c.bus.connect(cmd)
	c.output.Add(cmd.Flags(), printer.Values())
	cmd.AddCommand(scheduleAddCommand(g), scheduleRmCommand(g))
	cmd.Flags().IntVar(&c.upcoming, "upcoming", 5, "how many of the next actions to show of each group")
	return cmd
}

func (c *scheduleCmd) validate(args []string) error {
	switch {
	case c.upcoming < 0 || c.upcoming > 1000:
		return usageError{fmt.Errorf("--upcoming: found %d, want 0 to 1000", c.upcoming)}
	case len(args) == 0:
		return nil
	}
	c.group = args[0]
	return checkGroup(c.group)
}

func (c *scheduleCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.runningConfig(cmd, c.bus)
	if err != nil {
		return err
	}
	status, err := askAs[bus.Status](c.g, cmd, c.bus, bus.RoleTap, bus.VerbStatus, bus.Query{})
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "what is paused or set by hand is not known: %s\n", err)
	}
	var rows []scheduleRow
	found := false
	for _, group := range cfg.Groups {
		if c.group != "" && c.group != group.Name {
			continue
		}
		found = true
		of, err := scheduleRows(group, heldControls(status, group.Name), time.Now(), c.upcoming)
		if err != nil {
			return err
		}
		rows = append(rows, over(of, group, status)...)
	}
	if !found {
		return noGroup("the config", c.group, groupNames(cfg.Groups))
	}
	if !c.output.ForPeople() {
		return printer.Value(cmd.OutOrStdout(), &c.output, rows)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, row)
	}
	return w.Flush()
}

// scheduleRow is what a group's schedule sets now, or one of its actions.
type scheduleRow struct {
	Group   string     `json:"group"`
	Kind    string     `json:"kind"` // now, over, last or next
	Time    time.Time  `json:"time"`
	Min     *int       `json:"min,omitempty"`
	Max     *int       `json:"max,omitempty"`
	Desired *int       `json:"desired,omitempty"`
	Until   string     `json:"until,omitempty"`
	Skipped *time.Time `json:"skipped,omitempty"` // the time of the day for which it is, which does not exist on this day
	Added   string     `json:"added,omitempty"`   // the name of one that a person has added; By and Reason are of it
	Paused  bool       `json:"paused,omitempty"`  // of what is over it: what the schedule sets is not done
	By      string     `json:"by,omitempty"`      // of what is over it: who said so, and why; Time is since when
	Reason  string     `json:"reason,omitempty"`
	note    string
}

// The kinds of a row.
const (
	rowNow  = "now"
	rowOver = "over" // a person has paused or set it: the schedule does not change that
	rowLast = "last"
	rowNext = "next"
)

// String is the row in a table, in the zone of its action.
func (r scheduleRow) String() string {
	at := r.Time.Format("Mon 2006-01-02 15:04 MST")
	switch r.Kind {
	case rowNow:
		at = rowNow
	case rowLast:
		at = rowLast + " " + at
	case rowOver:
		at = rowOver + " since " + at
	}
	what := bus.ScheduledAction{Min: r.Min, Max: r.Max, Desired: r.Desired}.Sets()
	if r.Until != "" {
		what += "; until " + r.Until
	}
	if r.Skipped != nil {
		what += fmt.Sprintf("; for %s, which does not exist on this day", r.Skipped.Format("15:04"))
	}
	return r.Group + "\t" + at + "\t" + what + r.note
}

// heldControls are what a person has said of a group, as far as its decider has said it.
func heldControls(s bus.Status, group string) bus.Controls {
	i := slices.IndexFunc(s.Groups, func(of bus.GroupStatus) bool { return of.Group == group && of.Decision != nil })
	if i < 0 {
		return bus.Controls{}
	}
	return s.Groups[i].Decision.Controls
}

// scheduleRows are what a group's schedule sets now, with what a person has added to it, and its actions.
func scheduleRows(g bus.Group, c bus.Controls, now time.Time, n int) ([]scheduleRow, error) {
	actions, added := c.Over(g.Schedule), c.AddedNames()
	if len(actions) == 0 {
		return []scheduleRow{{
			Group: g.Name, Kind: rowNow, Time: now, Min: &g.Min, Max: &g.Max, note: "; it has no schedule",
		}}, nil
	}
	timetable, err := schedule.New(actions)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", g.Name, err)
	}
	least, most, _ := timetable.InForce(g, now, now)
	rows := []scheduleRow{{Group: g.Name, Kind: rowNow, Time: now, Min: &least, Max: &most}}
	add := func(kind string, m schedule.Moment) {
		row := scheduleRow{Group: g.Name, Kind: kind, Time: m.Time, Min: m.Action.Min, Max: m.Action.Max, Desired: m.Action.Desired}
		if kind == rowNext {
			row.Until, row.Skipped = m.Action.Until, known(m.Skipped)
		}
		if i := m.Index - len(g.Schedule); i >= 0 {
			said := c.Schedule[added[i]].Said
			row.Added, row.By, row.Reason = added[i], said.By, said.Reason
			row.note = "; " + added[i] + ", added " + bus.Attribution(said.By, said.Reason)
		}
		rows = append(rows, row)
	}
	for _, m := range timetable.Over(now) {
		add(rowLast, m)
	}
	for _, m := range timetable.Upcoming(now, n) {
		add(rowNext, m)
	}
	return rows, nil
}

// over adds to a group's rows what a person has paused or set over its schedule, and has the first say what holds, as far as the
// decider has said it.
func over(rows []scheduleRow, g bus.Group, s bus.Status) []scheduleRow {
	i := slices.IndexFunc(s.Groups, func(of bus.GroupStatus) bool { return of.Group == g.Name && of.Decision != nil })
	if i < 0 {
		return rows
	}
	d := s.Groups[i].Decision
	now, rest := rows[0], rows[1:]
	now.Min, now.Max = inForce(g, d.Controls, now.Time)
	if d.SpecHash != g.Hash() {
		now.note += "; the vmscaler that runs has another config of the group"
	}
	all := []scheduleRow{now}
	add := func(kind bus.Control, row scheduleRow) {
		said := d.Controls.SaidOf(kind)
		row.Group, row.Kind, row.Time, row.By, row.Reason = g.Name, rowOver, said.Since.Local(), said.By, said.Reason
		row.note += ", " + bus.Attribution(row.By, row.Reason)
		all = append(all, row)
	}
	if d.Controls.IsPaused(bus.ScopeSchedule) {
		add(bus.ControlPaused, scheduleRow{Paused: true, note: "paused: min and max stay, and what comes due is skipped"})
	}
	if d.Controls.Desired != nil {
		add(bus.ControlDesired, scheduleRow{Desired: d.Controls.Desired})
	}
	least, most := number(d.Controls.Set["min"]), number(d.Controls.Set["max"])
	if least != nil || most != nil {
		add(bus.ControlSet, scheduleRow{Min: least, Max: most})
	}
	return append(all, rest...)
}

// inForce is the min and max that hold: what a person has set in place of what the schedule has, and of one that is paused what
// it had then.
func inForce(g bus.Group, c bus.Controls, now time.Time) (least, most *int) {
	if c.IsPaused(bus.ScopeSchedule) && c.ScheduleAt != nil {
		now = *c.ScheduleAt
	}
	low, high := g.Min, g.Max
	if timetable, err := schedule.New(c.Over(g.Schedule)); err == nil { // else its rows said so
		low, high, _ = timetable.InForce(g, now, now)
	}
	least, most = cmp.Or(number(c.Set["min"]), &low), cmp.Or(number(c.Set["max"]), &high)
	return new(min(*least, *most)), most
}

// number is what a field was set to; nil: it was not.
func number(text string) *int {
	if n, err := strconv.Atoi(text); err == nil {
		return &n
	}
	return nil
}
