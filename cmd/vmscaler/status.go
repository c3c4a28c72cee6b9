package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard"
)

// statusCmd is the command status.
type statusCmd struct {
	g      *globals
	bus    busFlags
	group  string // "": all
	output string
}

func statusCommand(g *globals) *cobra.Command {
	c := &statusCmd{g: g}
	cmd := &cobra.Command{
		Use:   "status [GROUP]",
		Short: "Print what the groups have at this moment and what is done about it",
		Long: long(`
Print what the groups, or one of them, have at this moment and what is done about it: VMs, average CPU, what is paused and by
whom, and how the stages are. The decider answers. On the bus's machine it needs no credentials; from elsewhere those of
the role tap do.`),
		Example: "  vmscaler status\n  vmscaler status web -o json",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
	c.bus.add(cmd, "bus-listen")
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", "text or json")
	return cmd
}

func (c *statusCmd) validate(args []string) error {
	if err := checkOutput(c.output); err != nil || len(args) == 0 {
		return err
	}
	c.group = args[0]
	return checkGroup(c.group)
}

func (c *statusCmd) run(cmd *cobra.Command) error {
	status, err := askAs[bus.Status](c.g, cmd, c.bus, bus.RoleTap, bus.VerbStatus, bus.Query{Group: c.group})
	if err != nil {
		return err
	}
	return c.print(cmd.OutOrStdout(), status)
}

func (c *statusCmd) print(out io.Writer, status bus.Status) (err error) {
	if c.output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(status)
	} else {
		_, err = fmt.Fprintln(out, asCalled(strings.Join(dashboard.StatusLines(status, time.Local), "\n")))
	}
	if err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	return nil
}
