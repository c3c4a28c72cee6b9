package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// forecastCmd is the command forecast.
type forecastCmd struct {
	g      *globals
	bus    busFlags
	query  bus.Query
	output printer.Output
}

func forecastCommand(g *globals) *cobra.Command {
	c := &forecastCmd{g: g}
	cmd := &cobra.Command{
		Use:   "forecast GROUP",
		Short: "Show what the policy predictive expects of a group's load, and the size that it would plan",
		Long: long(`
Show what the policy predictive of a group, or the one that is its shadow, expects of the load over the next hours, and the
size that it would plan for it, within the min and max that hold now. Load and margin are in VMs at full use. It is known so
far ahead only where the load has a period, such as a day, which it has seen twice; else for as long as a VM takes to boot.`),
		Example: "  vmscaler forecast web\n  vmscaler forecast web --hours 48 -o json | jq '.points[].desired'",
		Args:    exactArgs(1),
		RunE:    checked(c.validate, c.run),
	}
	cmd.Flags().IntVar(&c.query.Hours, "hours", 24, "how far")
	c.bus.connect(cmd)
	c.output.Add(cmd.Flags(), printer.Values())
	return cmd
}

func (c *forecastCmd) validate(args []string) error {
	if c.query.Hours < 1 || c.query.Hours > bus.MaxForecastHours {
		return usageError{fmt.Errorf("--hours: found %d, want 1 to %d", c.query.Hours, bus.MaxForecastHours)}
	}
	c.query.Group = args[0]
	return checkGroup(c.query.Group)
}

func (c *forecastCmd) run(cmd *cobra.Command) error {
	f, err := askAs[bus.Forecast](c.g, cmd, c.bus, bus.RoleTap, bus.VerbForecast, c.query)
	if err != nil {
		return err
	}
	if !c.output.ForPeople() {
		return printer.Value(cmd.OutOrStdout(), &c.output, f)
	}
	if f.Shadow {
		f.Sentence += "; it is a shadow, which changes nothing"
	}
	fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s\n", f.Group, f.Sentence)
	if len(f.Points) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FROM\tLOAD\tMARGIN\tDESIRED")
	for _, p := range f.Points {
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%d\n", p.Time.Local().Format(time.DateTime), p.Load, p.Margin, p.Desired)
	}
	return w.Flush()
}
