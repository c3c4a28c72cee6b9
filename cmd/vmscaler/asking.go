package main

import (
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

// asking is what a command that changes something says of who wants it, and why. It is kept in the history.
type asking struct{ reason reasonText }

// addReason adds the flag for the reason.
func (a *asking) addReason(cmd *cobra.Command) {
	cmd.Flags().Var(&a.reason, "reason", "why, for the history: one line of at most 300 bytes")
}

// sign puts who asks, and why, into a request.
func (a *asking) sign(q *bus.Query) { q.By, q.Reason = whoAsks(), string(a.reason) }

// reasonText is the value of a flag that takes a reason.
type reasonText string

func (r *reasonText) String() string { return string(*r) }
func (r *reasonText) Type() string   { return "text" }

func (r *reasonText) Set(text string) error {
	if err := bus.CheckReason(text); err != nil {
		return err //nolint:wrapcheck // the library names the flag
	}
	*r = reasonText(text)
	return nil
}
