package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// templateShowCmd is the command template show.
type templateShowCmd struct {
	g      *globals
	name   string
	output printer.Output
}

func templateShowCommand(g *globals) *cobra.Command {
	c := &templateShowCmd{g: g}
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show all that is known of a template, and who is cloned from it",
		Long: long(`
Show all that is known of a template: its disk, what starts it, where it came from, its digest, and the disks that need its
file. The boot time is the median of its clones that are there now, from their creation until they were ready.`),
		Example: "  vmscaler template show demo\n  vmscaler template show demo -o json",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.name = args[0]
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	c.output.Add(cmd.Flags(), printer.Values())
	return cmd
}

func (c *templateShowCmd) validate() error {
	return checkTemplate(c.name)
}

func (c *templateShowCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		views, unseen, err := templateViews(hv, to.Pool, c.name)
		if err != nil {
			return err
		}
		if !c.output.ForPeople() {
			return printer.Value(cmd.OutOrStdout(), &c.output, views[0])
		}
		printTemplate(cmd.OutOrStdout(), views[0], unseen, time.Now())
		return nil
	})
}

// printTemplate prints a template for people. unseen are the pools whose volumes are not known.
func printTemplate(out io.Writer, v templateView, unseen []string, now time.Time) {
	line := func(what, text string) { fmt.Fprintf(out, "%-10s %s\n", what, bus.Line(text)) }
	known := func(text string) string {
		if text == "" {
			return "unknown"
		}
		return text
	}
	line("name", v.Name)
	line("state", v.State)
	if v.Problem != "" {
		line("problem", v.Problem+"; "+v.Remedy)
	}
	line("volume", v.Volume+" of storage pool "+v.Pool)
	line("path", known(v.Path))
	if v.State != templateBroken {
		line("format", known(v.Format))
		line("size", bytesText(v.CapacityBytes)+", "+bytesText(v.UsedBytes)+" used")
	}
	line("changed", whenText(v.Changed, now))
	line("firmware", known(v.Firmware))
	line("cloud-init", known(v.CloudInit))
	line("sha256", known(v.SHA256))
	line("source", known(v.Source))
	if v.SourceSHA256 != "" { // else it was made here, of no file
		line("", "as "+known(v.SourceFormat)+", sha256 "+known(v.SourceSHA256))
	}
	line("imported", whenText(v.Imported, now))
	boot := "unknown"
	if v.BootMS != nil {
		boot = fmt.Sprintf("%.1f s, the median of %d", float64(*v.BootMS)/1000, v.BootVMs)
	}
	line("boot time", boot)
	line("clones", fmt.Sprint(len(v.Clones)))
	for _, c := range v.Clones {
		of := ""
		if c.Group != "" {
			of = " of group " + c.Group
		}
		line("", c.who()+of+": "+c.Path)
	}
	if len(unseen) > 0 {
		line("", "not looked into, as they are not active: storage pools "+bus.List(unseen))
	}
}

func whenText(at *time.Time, now time.Time) string {
	if at == nil {
		return "unknown"
	}
	return at.Local().Format(time.DateTime) + ", " + ageText(at, now) + " ago"
}
