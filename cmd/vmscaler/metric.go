package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

func metricCommand(g *globals) *cobra.Command {
	var busF busFlags
	cmd := &cobra.Command{
		Use:   "metric GROUP NAME VALUE",
		Short: "Publish a number of a whole group, such as its requests per second, for a policy with signal: metric",
		Long: `Publish a number of a whole group, such as its requests per second or the length of its queue, for a policy with
"signal: metric". It holds for two minutes, so publish it again before, from cron or from whatever measures it. A program
publishes the same message by itself: docs/messages.md, Metric. The role is metric.`,
		Example: "  vmscaler metric web requests 118.5",
		Args:    exactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := bus.CheckGroupName(args[0]); err != nil {
				return usageError{fmt.Errorf("group: %w", err)}
			}
			value, err := strconv.ParseFloat(args[2], 64)
			if err != nil || value < 0 || math.IsInf(value, 0) || math.IsNaN(value) {
				return usageError{fmt.Errorf("value: found %q, want a number of 0 or more", args[2])}
			}
			conn, err := g.joinAs(cmd, busF, bus.RoleMetric)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := conn.Publish(&bus.Metric{V: bus.Version, Group: args[0], Name: args[1], Value: &value}); err != nil {
				return err
			}
			return conn.Flush()
		},
	}
	busF.add(cmd, "bus-listen")
	return cmd
}
