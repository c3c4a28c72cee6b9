package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

// wakeCmd is the command wake.
type wakeCmd struct {
	g   *globals
	bus busFlags
	asking
	query   bus.Query
	wait    bool
	timeout time.Duration // of wait
}

func wakeCommand(g *globals) *cobra.Command {
	c := &wakeCmd{g: g}
	cmd := &cobra.Command{
		Use:   "wake GROUP",
		Short: "Give a group that has no VM one, for a while",
		Long: long(`
Give a group that has no VM one, and say what becomes of it. It keeps one at least for its wake_for, and its policy goes on
from there; asking again lasts as long again. A group that is awake stays so at least as long. What is paused or scaled to 0
by hand stays so, which is an error here. The role is wake; a program sends the same request: docs/zero.md.`),
		Example: "  vmscaler wake web\n  vmscaler wake web --wait --timeout 5m",
		Args:    exactArgs(1),
		RunE:    checked(c.validate, c.run),
	}
	cmd.Flags().BoolVar(&c.wait, "wait", false, "until a VM of it serves")
	cmd.Flags().DurationVar(&c.timeout, "timeout", 5*time.Minute, "for how long --wait waits")
	c.addReason(cmd)
	c.bus.connect(cmd)
	return cmd
}

func (c *wakeCmd) validate(args []string) error {
	if c.wait && c.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout: found %s, want more than 0", c.timeout)}
	}
	c.query.Group = args[0]
	return checkGroup(c.query.Group)
}

// askAgainAfter is the time between two requests of one who waits. Each also keeps the group awake.
const askAgainAfter = time.Second

// run asks the decider that leads, until a VM serves where that is wanted.
func (c *wakeCmd) run(cmd *cobra.Command) error {
	c.sign(&c.query)
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleWake)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx := cmd.Context()
	if c.wait {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	again := time.NewTicker(askAgainAfter)
	defer again.Stop()
	said := ""
	for {
		answer, err := ask[bus.Wake](ctx, conn, bus.VerbWake, c.query)
		if err != nil {
			return err
		}
		if answer.Sentence != said {
			said = answer.Sentence
			fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s\n", c.query.Group, said)
		}
		switch answer.State {
		case bus.WakeReady:
			return nil
		case bus.WakeStarting:
			if !c.wait {
				return nil
			}
		case bus.WakeHeld:
			if !c.wait {
				return withCode(exitRefused, fmt.Errorf("group %s is not woken: %s", c.query.Group, answer.Sentence))
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			if cmd.Context().Err() != nil {
				return context.Cause(ctx)
			}
			return withCode(exitTimeout, fmt.Errorf("group %s has no VM that serves after %s: %s", c.query.Group, c.timeout, said))
		}
	}
}
