package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
)

// templateListCmd is the command template list.
type templateListCmd struct{ g *globals }

func templateListCommand(g *globals) *cobra.Command {
	c := &templateListCmd{g: g}
	return &cobra.Command{
		Use:   "list",
		Short: "List the templates of the storage pool",
		Args:  exactArgs(0),
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
}

func (c *templateListCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		infos, err := template.List(hv.conn, to.Pool)
		if err != nil {
			return err
		}
		c.print(cmd.OutOrStdout(), infos)
		return nil
	})
}

func (c *templateListCmd) print(out io.Writer, infos []template.Info) {
	for _, i := range infos {
		if i.Broken != nil {
			fmt.Fprintf(out, "%-20s broken: %s; %s\n", i.Name, i.Broken, i.Remedy)
			continue
		}
		fmt.Fprintf(out, "%-20s %6d MiB disk %6d MiB used  %s\n", i.Name, i.Capacity>>20, i.Allocation>>20, i.Path)
	}
}
