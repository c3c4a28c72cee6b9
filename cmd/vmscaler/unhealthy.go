package main

import (
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

func unhealthyCommand(g *globals) *cobra.Command {
	c := &vmVerb{g: g, verb: bus.VMUnhealthy}
	return c.command(&cobra.Command{
		Short: "Mark one VM as unhealthy, so that it is replaced as one that does not serve",
		Long: long(`
Mark one VM as unhealthy. It is replaced as one whose checks fail: another serves first where max has room,
repair.at_once at a time, and while repair is paused the mark waits. A load balancer or a monitoring system may do the
same over the bus, with the role monitor: docs/vms.md.`),
		Example: "  vmscaler unhealthy web-2 --reason 'answers 502'",
	})
}
