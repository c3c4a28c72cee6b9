package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// templateListCmd is the command template list.
type templateListCmd struct {
	g      *globals
	output string
}

func templateListCommand(g *globals) *cobra.Command {
	c := &templateListCmd{g: g}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the templates of the storage pool, and how many clones each has",
		Example: "  vmscaler template list\n  vmscaler template list -o json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(c.output); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", "text or json")
	return cmd
}

func (c *templateListCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		views, _, err := templateViews(hv, to.Pool, "")
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), views, time.Now())
	})
}

func (c *templateListCmd) print(out io.Writer, views []templateView, now time.Time) error {
	if c.output == "json" {
		return printJSON(out, views)
	}
	if len(views) == 0 {
		fmt.Fprintln(out, asCalled("there are no templates; `vmscaler template build` makes the demo one, "+
			"`vmscaler template import` one of an image"))
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tSIZE\tUSED\tFORMAT\tCLONES\tAGE")
	for _, v := range views {
		size, used, format := bytesText(v.CapacityBytes), bytesText(v.UsedBytes), v.Format
		switch v.State {
		case templateBroken:
			size, used, format = "-", "-", v.State
		case templateIncomplete, templateGoing:
			format = v.State
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", v.Name, size, used, format, len(v.Clones), ageText(v.Changed, now))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the templates: %w", err)
	}
	for _, v := range views {
		switch v.State {
		case templateBroken:
			fmt.Fprintf(out, "%s: %s; %s\n", v.Name, bus.Line(v.Problem), bus.Line(v.Remedy))
		case templateIncomplete:
			fmt.Fprintln(out, asCalled(fmt.Sprintf(
				"%s: it is being uploaded; only if that was cut off, import it again, or `vmscaler template rm %s`", v.Name, v.Name)))
		case templateGoing:
			fmt.Fprintln(out, asCalled(fmt.Sprintf(
				"%s: it is being removed; only if that was cut off, `vmscaler template rm %s` ends it", v.Name, v.Name)))
		}
	}
	return nil
}

// printJSON prints a value as indented JSON.
func printJSON(out io.Writer, value any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
