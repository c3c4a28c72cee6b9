package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// attachWithin is how long the actuator's answer is waited for: it has 30 s.
const attachWithin = 35 * time.Second

// attachCmd is the command attach.
type attachCmd struct{ vmVerb }

func attachCommand(g *globals) *cobra.Command {
	c := &attachCmd{vmVerb{g: g, verb: bus.VMAttach}}
	cmd := c.command(&cobra.Command{
		Short: "Make a running domain of yours a VM of its group, such as one that was detached",
		Long: long(`
Make a running domain of yours a VM of the group by whose name it is called, such as one that was detached. Its disks must
be as those of the group's VMs: the first a clone of the group's template, in the pool of the VMs' disks, called
NAME.12345678.qcow2 with the first 8 digits of the domain's UUID; others only if vmscaler made them. Then it is ready when a
new VM would be, and its launch hook lets it go on; one that does not come to serve within boot_timeout is yours again.
The group wants one VM more from then on; with --keep-size it keeps its size, and another VM may go for it. From then on it
is a VM like the others: scaling in, repair and refresh remove it with its disks.`),
		Example: "  vmscaler attach web-2\n  vmscaler attach web-7 --keep-size --reason 'looked at, it is well' --wait",
	})
	cmd.Use = "attach DOMAIN"
	cmd.RunE = checked(c.validate, c.run)
	cmd.Flags().BoolVar(&c.query.KeepSize, "keep-size", false, "the group keeps its size")
	cmd.Flags().StringVar(&c.query.Host, "host", "", "the host of the domain, where several have one of this name")
	return cmd
}

// run asks the decider for a place in the group, and says what the actuator then found of the domain.
func (c *attachCmd) run(cmd *cobra.Command) error {
	c.sign(&c.query)
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	events := make(chan bus.Event, 64)
	if err := client.Subscribe(conn, bus.AllEvents, events); err != nil {
		return err
	}
	answer, err := ask[bus.VMAnswer](cmd.Context(), conn, string(c.verb), c.query)
	if err != nil {
		return err
	}
	if answer.Outcome == bus.OutcomeBegun {
		if answer.Sentence, err = attached(cmd.Context(), answer, events); err != nil {
			return err
		}
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s: %s\n", answer.VM, outcomeText(answer), answer.Sentence)
	return c.until(cmd, conn, answer.Group, c.done(answer)...)
}

// attached waits for what the actuator says of a domain.
func attached(ctx context.Context, a bus.VMAnswer, events <-chan bus.Event) (sentence string, err error) {
	ctx, cancel := context.WithTimeout(ctx, attachWithin)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				err := fmt.Errorf("%s: the actuator of host %s has not said within %s whether it is attached", a.VM, a.Host, attachWithin)
				return "", withCode(exitTimeout, err)
			}
			return "", context.Cause(ctx)
		case e := <-events:
			switch {
			case e.Group != a.Group || e.VM != a.VM:
			case e.Event == bus.EventAttached:
				return e.Sentence, nil
			case e.Event == bus.EventRefused:
				return "", &bus.RefusedError{Code: bus.RefusedState, Text: fmt.Sprintf("%s: %s: %s", a.VM, e.Sentence, e.Error)}
			}
		}
	}
}
