package main

import (
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

func removeCommand(g *globals) *cobra.Command {
	c := &vmVerb{g: g, verb: bus.VMRemove}
	cmd := c.command(&cobra.Command{
		Short: "Take one VM away; the group has one less, or with --keep-size another in its place",
		Long: long(`
Take one VM away now: its remove hook runs and its guest is shut down, without the time of the group's drain. The group wants one
VM less from now on, until its policy, schedule or you say otherwise; that is refused where it would have fewer than its min.
With --keep-size another takes its place. A protected VM goes, too: it is protected from scaling in, and not from you.`),
		Example: "  vmscaler remove web-2\n  vmscaler remove web-2 --keep-size --reason 'broken since the upgrade'",
	})
	cmd.Flags().BoolVar(&c.query.KeepSize, "keep-size", false, "another takes its place")
	return cmd
}
