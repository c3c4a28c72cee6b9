package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// templateDiffCmd is the command template diff.
type templateDiffCmd struct {
	g    *globals
	a, b string
}

func templateDiffCommand(g *globals) *cobra.Command {
	c := &templateDiffCmd{g: g}
	return &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two templates: sizes, firmware, digest, partitions and file systems",
		Long: long(`
Compare two templates, and print what differs: sizes, format, firmware, digest, source, and the partition tables with the kind and
label of each file system, where their files can be read here. It does not look at the files in them. The exit code is 0
whether or not they differ.`),
		Example: "  vmscaler template diff web-2025 web-2026",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.a, c.b = args[0], args[1]
			if err := errors.Join(checkTemplate(c.a), checkTemplate(c.b)); err != nil {
				return usageError{err}
			}
			return c.run(cmd)
		},
	}
}

func (c *templateDiffCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		var sides [2][]trait
		for i, name := range []string{c.a, c.b} {
			info, err := template.Lookup(hv.conn, to.Pool, name)
			if err != nil {
				return err
			}
			if sides[i], err = traits(cmd.Context(), info); err != nil {
				return err
			}
		}
		printDiff(cmd.OutOrStdout(), c.a, c.b, diffTraits(sides[0], sides[1]))
		return nil
	})
}

// trait is one thing by which templates are compared.
type trait struct{ name, value string }

func traits(ctx context.Context, info template.Info) ([]trait, error) {
	all := []trait{
		{"disk", fmt.Sprintf("%d bytes", info.Capacity)},
		{"used", bytesText(info.Allocation)},
		{"format", info.Format},
		{"firmware", string(info.Firmware)},
		{"cloud-init", string(info.CloudInit)},
		{"sha256", info.SHA256},
		{"source", info.Source},
	}
	layout, err := template.ReadLayout(ctx, info.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // on another host, or another user's
		return append(all, trait{"partition table", ""}), nil
	case err != nil:
		return nil, err
	}
	all = append(all, trait{"partition table", layout.Table})
	for _, p := range layout.Partitions {
		all = append(all, trait{fmt.Sprintf("partition %d", p.Number), p.String()})
	}
	return all, nil
}

// difference is a trait that two templates have differently; unknown is "".
type difference struct{ name, a, b string }

// diffTraits are the differences, in the order of a, and then what b has beside it.
func diffTraits(a, b []trait) []difference {
	const none = "none"
	value := func(of []trait, name string) string {
		for _, t := range of {
			if t.name == name {
				return t.value
			}
		}
		return none
	}
	var found []difference
	for _, t := range a {
		if other := value(b, t.name); other != t.value {
			found = append(found, difference{t.name, t.value, other})
		}
	}
	for _, t := range b {
		if value(a, t.name) == none {
			found = append(found, difference{t.name, none, t.value})
		}
	}
	return found
}

func printDiff(out io.Writer, a, b string, found []difference) {
	if len(found) == 0 {
		fmt.Fprintf(out, "templates %s and %s: no difference was found\n", a, b)
		return
	}
	known := func(text string) string {
		if text == "" {
			return "unknown"
		}
		return bus.Line(text)
	}
	width := max(len(a), len(b))
	for _, d := range found {
		fmt.Fprintf(out, "%s\n  %-*s  %s\n  %-*s  %s\n", d.name, width, a, known(d.a), width, b, known(d.b))
	}
}
