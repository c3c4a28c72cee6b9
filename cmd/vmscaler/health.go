package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// healthCmd is the command health.
type healthCmd struct {
	g     *globals
	bus   busFlags
	stage string // "": all

	output printer.Output
}

func healthCommand(g *globals) *cobra.Command {
	c := &healthCmd{g: g}
	cmd := &cobra.Command{
		Use:   "health [STAGE]",
		Short: "Say whether the stages, or one of them, are well",
		Long: long(`
Say whether the stages, or one of them, are well. It listens for their signs of life, which come every three seconds, and
exits with 0, or says what is wrong and exits with 1, or with 5 where no vmscaler runs. STAGE is one of ` +
			strings.Join(healthStages(), ", ") + "."),
		Example: "  vmscaler health\n  vmscaler health actuator -o json",
		Args:    func(_ *cobra.Command, args []string) error { return c.validate(args) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.connect(cmd)
	c.output.Add(cmd.Flags(), printer.Values())
	return cmd
}

// healthStages are the stages that give signs of life.
func healthStages() []string {
	return slices.DeleteFunc(app.Stages(), func(s string) bool { return s == app.StageDashboard })
}

func (c *healthCmd) validate(args []string) error {
	stages := healthStages()
	if len(args) > 1 || len(args) == 1 && !slices.Contains(stages, args[0]) {
		return usageError{fmt.Errorf("want `vmscaler health [STAGE]` with one of %s, found %q%s", strings.Join(stages, ", "), args,
			nearest.Hint(strings.Join(args, " "), stages))}
	}
	if len(args) == 1 {
		c.stage = args[0]
	}
	return nil
}

func (c *healthCmd) run(cmd *cobra.Command) error {
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleDashboard)
	if err != nil {
		return err
	}
	defer conn.Close()
	wanted := c.wanted(conn.Embedded())
	heard, err := listen(cmd.Context(), conn, wanted)
	if err != nil {
		return err
	}
	url, _ := conn.Connected()
	return c.print(cmd.OutOrStdout(), url, wanted, heard)
}

// wanted are the stages that are listened for. Of a server that is not ours it is enough that it answers.
func (c *healthCmd) wanted(embedded bool) []string {
	wanted := healthStages()
	if c.stage != "" {
		wanted = []string{c.stage}
	}
	if !embedded {
		wanted = slices.DeleteFunc(wanted, func(s string) bool { return s == app.StageBus })
	}
	return wanted
}

// print prints how the stages are that are well. Its error says what is wrong with the others.
func (c *healthCmd) print(out io.Writer, url string, wanted []string, heard map[string]bus.Health) error {
	well, sick := evaluateHealth(wanted, heard)
	if !c.output.ForPeople() {
		report := healthReport{OK: len(sick) == 0, Stages: []bus.Health{}, Problems: append([]string{}, sick...)}
		for _, key := range slices.Sorted(maps.Keys(heard)) {
			if slices.Contains(wanted, heard[key].Stage) {
				report.Stages = append(report.Stages, heard[key])
			}
		}
		if err := printer.Value(out, &c.output, report); err != nil {
			return err
		}
		well = nil
	}
	if len(well) > 0 {
		fmt.Fprintln(out, strings.Join(well, "\n"))
	}
	switch {
	case len(sick) > 0:
		return errors.New(strings.Join(sick, "\n"))
	case len(well) == 0 && c.output.ForPeople():
		fmt.Fprintf(out, "bus: %s answers\n", url)
	}
	return nil
}

// healthReport is how the stages are, for programs.
type healthReport struct {
	OK       bool         `json:"ok"`
	Stages   []bus.Health `json:"stages"`   // those that were heard
	Problems []string     `json:"problems"` // what is wrong, in words
}

// listen collects the stages' signs of life until each of those wanted has given one and is well, but not longer than
// a live one may take.
func listen(ctx context.Context, conn *client.Conn, wanted []string) (map[string]bus.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, bus.HealthInterval+2*time.Second)
	defer cancel()
	signs := make(chan bus.Health, 64)
	if err := client.SubscribeNewest(conn, bus.AllHealth, signs); err != nil {
		return nil, err
	}
	heard := map[string]bus.Health{} // by stage and instance
	for {
		if _, sick := evaluateHealth(wanted, heard); len(sick) == 0 {
			return heard, nil
		}
		select {
		case h := <-signs:
			if _, known := heard[h.Stage+" "+h.Instance]; known || len(heard) < bus.MaxStages {
				heard[h.Stage+" "+h.Instance] = h
			}
		case <-ctx.Done():
			return heard, nil
		}
	}
}

// evaluateHealth says in a line for each instance how the wanted stages are: those that are well, and what is wrong.
func evaluateHealth(wanted []string, heard map[string]bus.Health) (well, sick []string) {
	for _, stage := range wanted {
		there := false
		for _, key := range slices.Sorted(maps.Keys(heard)) {
			h := heard[key]
			if h.Stage != stage {
				continue
			}
			there = true
			if h.OK {
				text := fmt.Sprintf("%s: %s ok, since %s", stage, bus.Line(h.Instance), h.Since.Local().Format(time.DateTime))
				if h.Message != "" {
					text += ": " + bus.Line(h.Message)
				}
				well = append(well, text)
			} else {
				sick = append(sick, fmt.Sprintf("%s: %s: %s", stage, bus.Line(h.Instance), bus.Line(h.Message)))
			}
		}
		if !there {
			sick = append(sick, stage+": no sign of life")
		}
	}
	return well, sick
}
