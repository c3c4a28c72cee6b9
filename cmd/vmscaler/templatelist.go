package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// templateListCmd is the command template list.
type templateListCmd struct {
	g      *globals
	output printer.Output
}

func templateListCommand(g *globals) *cobra.Command {
	c := &templateListCmd{g: g}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the templates of the storage pool, and how many clones each has",
		Example: "  vmscaler template list\n  vmscaler template list -o json",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.output.Add(cmd.Flags(), printer.Lists())
	return cmd
}

func (c *templateListCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		views, _, err := templateViews(hv, to.Pool, "")
		if err != nil {
			return err
		}
		return c.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), views, time.Now())
	})
}

func (c *templateListCmd) print(out, stderr io.Writer, views []templateView, now time.Time) error {
	if err := listTemplates(views, now).Print(out, &c.output); err != nil || !c.output.ForPeople() {
		return err
	}
	if len(views) == 0 {
		fmt.Fprintln(stderr, asCalled("there are no templates; `vmscaler template build` makes the demo one, "+
			"`vmscaler template import` one of an image"))
	}
	for _, v := range views {
		switch v.State {
		case templateBroken:
			fmt.Fprintf(stderr, "%s: %s; %s\n", v.Name, bus.Line(v.Problem), bus.Line(v.Remedy))
		case templateIncomplete:
			fmt.Fprintln(stderr, asCalled(fmt.Sprintf(
				"%s: it is being uploaded; only if that was cut off, import it again, or `vmscaler template rm %s`", v.Name, v.Name)))
		case templateGoing:
			fmt.Fprintln(stderr, asCalled(fmt.Sprintf(
				"%s: it is being removed; only if that was cut off, `vmscaler template rm %s` ends it", v.Name, v.Name)))
		}
	}
	return nil
}

// listTemplates is how templates are listed. Those that cannot be used have their state in place of a format.
func listTemplates(views []templateView, now time.Time) printer.List[templateView] {
	type view = templateView
	known := func(of func(view) string) func(view) string {
		return func(v view) string {
			if v.State == templateBroken {
				return "-"
			}
			return of(v)
		}
	}
	return printer.List[view]{
		Rows: views,
		Name: func(v view) string { return v.Name },
		Columns: []printer.Column[view]{
			{Head: "NAME", Of: func(v view) string { return v.Name }},
			{Head: "SIZE", Of: known(func(v view) string { return bytesText(v.CapacityBytes) })},
			{Head: "USED", Of: known(func(v view) string { return bytesText(v.UsedBytes) })},
			{Head: "FORMAT", Of: func(v view) string {
				if v.State != templateReady {
					return v.State
				}
				return v.Format
			}},
			{Head: "CLONES", Of: func(v view) string { return fmt.Sprint(len(v.Clones)) }},
			{Head: "AGE", Of: func(v view) string { return ageText(v.Changed, now) }},
			{Head: "FIRMWARE", Wide: true, Of: func(v view) string { return cmp.Or(v.Firmware, "unknown") }},
			{Head: "SOURCE", Wide: true, Of: func(v view) string { return cmp.Or(v.Source, "unknown") }},
			{Head: "VOLUME", Wide: true, Of: func(v view) string { return v.Pool + "/" + v.Volume }},
		},
	}
}
