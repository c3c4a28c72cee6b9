package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

func scheduleCommand(g *globals) *cobra.Command {
	upcoming := 5
	cmd := &cobra.Command{
		Use:     "schedule [GROUP]",
		Short:   "Show the min and max that the schedules of the config set at present, and what comes next",
		Example: "  vmscaler schedule\n  vmscaler schedule web --upcoming 20",
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return usageError{fmt.Errorf("want `vmscaler schedule [GROUP]`, found %q", args)}
			case upcoming < 0 || upcoming > 1000:
				return usageError{fmt.Errorf("--upcoming: found %d, want 0 to 1000", upcoming)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := g.loadConfig(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			found := false
			for _, group := range cfg.Groups {
				if len(args) == 1 && args[0] != group.Name {
					continue
				}
				found = true
				lines, err := scheduleLines(group, time.Now(), upcoming)
				if err != nil {
					return err
				}
				for _, line := range lines {
					fmt.Fprintln(w, line)
				}
			}
			if !found {
				return fmt.Errorf("the config has no group %q", args[0])
			}
			return w.Flush()
		},
	}
	cmd.Flags().IntVar(&upcoming, "upcoming", upcoming, "how many of the next actions to show of each group")
	return cmd
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
	for _, m := range timetable.Upcoming(now, n) {
		what := ""
		for _, f := range []struct {
			name string
			n    int
		}{{"min", m.Action.Min}, {"max", m.Action.Max}, {"desired", m.Action.Desired}} {
			if f.n > 0 {
				what += fmt.Sprintf(", %s %d", f.name, f.n)
			}
		}
		if !m.Skipped.IsZero() {
			what += fmt.Sprintf("; for %s, which does not exist on this day", m.Skipped.Format("15:04"))
		}
		lines = append(lines, fmt.Sprintf("%s\t%s\t%s", g.Name, m.Time.Format("Mon 2006-01-02 15:04 MST"), what[2:]))
	}
	return lines, nil
}
