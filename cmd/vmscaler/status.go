package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard"
)

// answerWithin is how long a decider may take to answer a request. It normally takes milliseconds.
const answerWithin = 5 * time.Second

func statusCommand(g *globals) *cobra.Command {
	var busF busFlags
	var output string
	cmd := &cobra.Command{
		Use:   "status [GROUP]",
		Short: "Print what the groups have at this moment and what is done about it",
		Long: long(`
Print what the groups, or one of them, have at this moment and what is done about it: VMs, average CPU, what is paused and by
whom, and how the stages are. The decider answers. On the bus's machine it needs no credentials; from elsewhere those of
the role tap do.`),
		Example: "  vmscaler status\n  vmscaler status web -o json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("want `vmscaler status [GROUP]`, found %q", args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("--output: found %q, want text or json", output)}
			}
			var q bus.Query
			if len(args) == 1 {
				q.Group = args[0]
				if err := bus.CheckGroupName(q.Group); err != nil {
					return usageError{fmt.Errorf("group: %w", err)}
				}
			}
			conn, err := g.joinAs(cmd, busF, bus.RoleTap)
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
			defer cancel()
			status, err := client.Ask[bus.Status](ctx, conn, bus.VerbStatus, q)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				return fmt.Errorf("no decider has answered within %s", answerWithin)
			case err != nil:
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(status)
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(dashboard.StatusLines(status, time.Local), "\n"))
			}
			if err != nil {
				return fmt.Errorf("print the status: %w", err)
			}
			return nil
		},
	}
	busF.add(cmd, "bus-listen")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}
