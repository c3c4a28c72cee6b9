package main

import (
	"fmt"
	"strings"
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
	group    string // "": all
	upcoming int
	output   printer.Output
}

func scheduleCommand(g *globals) *cobra.Command {
	c := &scheduleCmd{g: g}
	cmd := &cobra.Command{
		Use:     "schedule [GROUP]",
		Short:   "Show the min and max that the schedules of the config set at present, and what comes next",
		Example: "  vmscaler schedule\n  vmscaler schedule web --upcoming 20 -o json",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
	c.output.Add(cmd.Flags(), printer.Values())
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
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	var rows []scheduleRow
	found := false
	for _, group := range cfg.Groups {
		if c.group != "" && c.group != group.Name {
			continue
		}
		found = true
		of, err := scheduleRows(group, time.Now(), c.upcoming)
		if err != nil {
			return err
		}
		rows = append(rows, of...)
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
	Kind    string     `json:"kind"` // now, last or next
	Time    time.Time  `json:"time"`
	Min     *int       `json:"min,omitempty"`
	Max     *int       `json:"max,omitempty"`
	Desired *int       `json:"desired,omitempty"`
	Until   string     `json:"until,omitempty"`
	Skipped *time.Time `json:"skipped,omitempty"` // the time of the day for which it is, which does not exist on this day
	note    string
}

// The kinds of a row.
const (
	rowNow  = "now"
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
	}
	what := sets(bus.ScheduledAction{Min: r.Min, Max: r.Max, Desired: r.Desired})
	if r.Until != "" {
		what += "; until " + r.Until
	}
	if r.Skipped != nil {
		what += fmt.Sprintf("; for %s, which does not exist on this day", r.Skipped.Format("15:04"))
	}
	return r.Group + "\t" + at + "\t" + what + r.note
}

func scheduleRows(g bus.Group, now time.Time, n int) ([]scheduleRow, error) {
	if len(g.Schedule) == 0 {
		return []scheduleRow{{
			Group: g.Name, Kind: rowNow, Time: now, Min: &g.Min, Max: &g.Max, note: "; it has no schedule",
		}}, nil
	}
	timetable, err := schedule.New(g.Schedule)
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

// sets is what an action sets, in words.
func sets(a bus.ScheduledAction) string {
	var parts []string
	for _, f := range []struct {
		name string
		n    *int
	}{{"min", a.Min}, {"max", a.Max}, {"desired", a.Desired}} {
		if f.n != nil {
			parts = append(parts, fmt.Sprintf("%s %d", f.name, *f.n))
		}
	}
	return strings.Join(parts, ", ")
}
