package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// metricCmd is the command metric.
type metricCmd struct {
	g      *globals
	bus    busFlags
	metric bus.Metric
}

func metricCommand(g *globals) *cobra.Command {
	c := &metricCmd{g: g}
	cmd := &cobra.Command{
		Use:   "metric GROUP NAME VALUE",
		Short: "Publish a number of a whole group, such as its requests per second, for a policy with signal: metric",
		Long: `Publish a number of a whole group, such as its requests per second or the length of its queue, for a policy with
"signal: metric". It holds for the policy's metric_max_age, two minutes unless the config says otherwise, so publish it
again before, from cron or from whatever measures it. A number that is not known is not published: without one the group
holds. A program publishes the same message by itself: docs/messages.md, Metric. The role is metric.

A group that does not exist, and a metric that the group does not follow, are errors, where the role tap may ask for them.`,
		Example: "  vmscaler metric web requests 118.5",
		Args:    exactArgs(3),
		RunE:    checked(c.validate, c.run),
	}
	// A negative number looks like a flag.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var none *pflag.NotExistError
		if errors.As(err, &none) && none.GetSpecifiedShortnames() != "" {
			if text := "-" + none.GetSpecifiedShortnames(); isNumber(text) {
				return usageError{fmt.Errorf("value: found %s, want 0 to %g", text, float64(bus.MaxMetric))}
			}
		}
		return flagError(cmd, err)
	})
	c.bus.connect(cmd)
	return cmd
}

func (c *metricCmd) validate(args []string) (err error) {
	if c.metric, err = metricOf(args); err != nil {
		return usageError{err}
	}
	return nil
}

// run publishes the metric, unless it is known that the group does not follow it.
func (c *metricCmd) run(cmd *cobra.Command) error {
	log, err := c.g.logger(os.Stderr, false)
	if err != nil {
		return err
	}
	r, err := c.g.find(cmd, c.bus)
	if err != nil {
		return err
	}
	conn, err := r.join(cmd.Context(), bus.RoleMetric, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	known := r.checkMetric(cmd.Context(), c.metric)
	if known != nil && !errors.Is(known, errNotAsked) {
		return known
	}
	if err := conn.Publish(&c.metric); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s is %g\n", c.metric.Group, c.metric.Name, *c.metric.Value)
	if known != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "whether group %s follows it is not known, as %v\n", c.metric.Group, known)
	}
	return nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// metricOf is the message that the arguments GROUP NAME VALUE name.
func metricOf(args []string) (bus.Metric, error) {
	m := bus.Metric{V: bus.Version, Group: args[0], Name: args[1]}
	if err := bus.CheckGroupName(m.Group); err != nil {
		return m, fmt.Errorf("group: %w", err)
	}
	if err := bus.CheckMetricName(m.Name); err != nil {
		return m, fmt.Errorf("name: %w", err)
	}
	value, err := strconv.ParseFloat(args[2], 64)
	if err != nil || strings.ContainsAny(args[2], "_xX") {
		return m, fmt.Errorf("value: found %q, want a number from 0 to %g", args[2], float64(bus.MaxMetric))
	}
	if err := bus.CheckMetricValue(value); err != nil {
		return m, fmt.Errorf("value: %w", err)
	}
	m.Value = &value
	return m, nil
}

// errNotAsked is why nobody could be asked whether a group follows a metric, such as without the rights of a tap.
var errNotAsked = errors.New("no decider could be asked")

// checkMetric asks the decider whether a group follows a metric.
func (r running) checkMetric(ctx context.Context, m bus.Metric) error {
	//nolint:contextcheck // it looks up a name of this machine, with a deadline of its own
	conn, err := app.JoinNow(string(bus.RoleTap), r.remote(bus.RoleTap), zerolog.Nop())
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := ask[bus.Status](ctx, conn, bus.VerbStatus, bus.Query{Group: m.Group})
	var refused *bus.RefusedError
	var nobody *client.NobodyError
	switch {
	case errors.As(err, &refused), errors.As(err, &nobody): // there is no such group, or no decider to receive it
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	for _, group := range status.Groups {
		if group.Group == m.Group && group.Decision != nil {
			return followed(m, group.Decision.Inputs)
		}
	}
	return nil // it is not evaluated yet
}

// followed reports what is wrong with a metric for a group that follows another one, or none.
func followed(m bus.Metric, in bus.Inputs) error {
	follows := slices.Sorted(maps.Keys(in.Metrics))
	if in.Metric != "" {
		follows = append(follows, in.Metric)
	}
	switch {
	case slices.Contains(follows, m.Name):
		return nil
	case len(follows) == 0:
		return unknown("group %s follows no metric: its policy has no type: target with signal: metric; nothing was published",
			m.Group)
	}
	return unknown("group %s follows the metric %s, not %q; nothing was published%s", m.Group, bus.List(follows), m.Name,
		nearest.Hint(m.Name, follows))
}
