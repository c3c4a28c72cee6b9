package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// scheduleCmd is the command schedule.
type scheduleCmd struct {
	g        *globals
	group    string // "": all
	upcoming int
}

func scheduleCommand(g *globals) *cobra.Command {
	c := &scheduleCmd{g: g}
	cmd := &cobra.Command{
		Use:     "schedule [GROUP]",
		Short:   "Show the min and max that the schedules of the config set at present, and what comes next",
		Example: "  vmscaler schedule\n  vmscaler schedule web --upcoming 20",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
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
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	found := false
	for _, group := range cfg.Groups {
		if c.group != "" && c.group != group.Name {
			continue
		}
		found = true
		lines, err := scheduleLines(group, time.Now(), c.upcoming)
		if err != nil {
			return err
		}
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
	}
	if !found {
		return noGroup("the config", c.group, groupNames(cfg.Groups))
	}
	return w.Flush()
}

func scheduleLines(g bus.Group, now time.Time, n int) ([]string, error) {
	if len(g.Schedule) == 0 {
		return []string{fmt.Sprintf("%s\tnow\tmin %d, max %d; it has no schedule", g.Name, g.Min, g.Max)}, nil
	}
	timetable, err := schedule.New(g.Schedule)
	if err != nil {
		return nil, fmt.Errorf("group %s: %w", g.Name, err)
	}
	least, most, _ := timetable.InForce(g, now, now)
	lines := []string{fmt.Sprintf("%s\tnow\tmin %d, max %d", g.Name, least, most)}
	for _, m := range timetable.Over(now) {
		lines = append(lines, fmt.Sprintf("%s\tlast %s\t%s", g.Name, m.Time.Format("Mon 2006-01-02 15:04 MST"), sets(m.Action)))
	}
	for _, m := range timetable.Upcoming(now, n) {
		what := sets(m.Action)
		if m.Action.Until != "" {
			what += "; until " + m.Action.Until
		}
		if !m.Skipped.IsZero() {
			what += fmt.Sprintf("; for %s, which does not exist on this day", m.Skipped.Format("15:04"))
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s", g.Name, m.Time.Format("Mon 2006-01-02 15:04 MST"), what))
	}
	return lines, nil
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
