package main

import (
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

func replaceCommand(g *globals) *cobra.Command {
	c := &vmVerb{g: g, verb: bus.VMReplace}
	return c.command(&cobra.Command{
		Short: "Put another VM in the place of one, and then take that away",
		Long: long(`
Put another VM in the place of one. The other serves before this one drains and goes, as far as the group's max has room for
both; at max this one goes first, repair.at_once at a time. A VM that is not ready yet is replaced once it is. A protected
VM is replaced, too: it is protected from scaling in, and not from you.`),
		Example: "  vmscaler replace web-2\n  vmscaler replace web-2 --reason 'its disk is slow'",
	})
}
