package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/await"
)

// vmVerb is what the commands share that ask something for one VM. Whichever host it is on, the decider that leads answers.
type vmVerb struct {
	g   *globals
	bus busFlags
	asking
	waiting
	verb  bus.VMVerb
	query bus.Query
}

// command completes a command that takes the name of a VM.
func (c *vmVerb) command(cmd *cobra.Command) *cobra.Command {
	cmd.Use = string(c.verb) + " VM"
	cmd.Args = exactArgs(1)
	cmd.RunE = checked(c.validate, c.run)
	cmd.Flags().StringVar(&c.query.Group, "group", "", "its group (default: whichever has a VM of that name)")
	c.addReason(cmd)
	c.addWait(cmd, waitAtMost)
	c.bus.connect(cmd)
	return cmd
}

func (c *vmVerb) validate(args []string) error {
	if err := c.check(); err != nil {
		return err
	}
	c.query.VM = args[0]
	if err := c.query.Check(); err != nil {
		return usageError{err}
	}
	if c.query.Group == "" {
		return nil
	}
	return checkGroup(c.query.Group)
}

// run asks, and prints what becomes of it.
func (c *vmVerb) run(cmd *cobra.Command) error {
	c.sign(&c.query)
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	answer, err := ask[bus.VMAnswer](cmd.Context(), conn, string(c.verb), c.query)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s: %s\n", answer.VM, outcomeText(answer), answer.Sentence)
	return c.until(cmd, conn, answer.Group, c.done(answer)...)
}

// done is what is waited for with --wait: that the VM is gone, or is where it is to be, and that another serves where it takes
// its place.
func (c *vmVerb) done(a bus.VMAnswer) []await.Condition {
	gone := await.Gone{VM: a.VM, UUID: a.UUID}
	switch c.verb {
	case bus.VMRemove:
		if !c.query.KeepSize {
			return []await.Condition{gone}
		}
		return []await.Condition{gone, await.Stable{}}
	case bus.VMReplace, bus.VMDrain, bus.VMUnhealthy, bus.VMDetach:
		return []await.Condition{gone, await.Stable{}}
	case bus.VMStandby:
		return []await.Condition{await.Phase{VM: a.VM, Phase: bus.PhaseStandby}, await.Stable{}}
	case bus.VMExitStandby, bus.VMAttach:
		return []await.Condition{await.Phase{VM: a.VM, Phase: bus.PhaseReady}}
	}
	return []await.Condition{await.Stable{}}
}

// outcomeText is what became of a request, in a word or two.
func outcomeText(a bus.VMAnswer) string {
	verb := string(a.Verb)
	if a.Verb == bus.VMExitStandby {
		verb = bus.VerbResume // as the command is called
	}
	switch a.Outcome {
	case bus.OutcomeBegun:
		return verb
	case bus.OutcomeQueued:
		return verb + " is queued"
	case bus.OutcomeNoOp:
		return "nothing to do"
	case bus.OutcomeRefused: // which is an error
	}
	return string(a.Outcome)
}
