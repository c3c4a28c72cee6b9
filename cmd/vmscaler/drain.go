package main

import (
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

func drainCommand(g *globals) *cobra.Command {
	c := &vmVerb{g: g, verb: bus.VMDrain}
	return c.command(&cobra.Command{
		Short: "Take one VM out of service now, and away after the group's drain; another takes its place",
		Long: long(`
Take one VM out of service now: its remove hook runs, it has the time of the group's drain, and then its guest is shut down.
Another is made meanwhile. Unlike ` + "`vmscaler replace`" + ` it does not serve until the other does, and unlike
` + "`vmscaler remove`" + ` it has its drain. That is not called off, whatever the group comes to need.`),
		Example: "  vmscaler drain web-2\n  vmscaler drain web-2 --reason 'memory leak'",
	})
}
