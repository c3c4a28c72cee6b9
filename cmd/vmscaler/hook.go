package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// hookCmd is the command hook.
type hookCmd struct {
	g   *globals
	bus busFlags
	asking
	query bus.Query
}

func hookCommand(g *globals) *cobra.Command {
	c := &hookCmd{g: g}
	cmd := &cobra.Command{
		Use:   "hook " + strings.Join(hookActions(), "|") + " TOKEN",
		Short: "Answer the hook that a VM waits for",
		Long: long(`
Answer the hook that a VM waits for. TOKEN is in the event "waiting", which a group with "wait_for: bus" says, and in
"vmscaler hook list". With "continue" the VM goes on; with "abandon" a VM that was launched is removed and another one made,
and one that is to be removed goes all the same; a "heartbeat" makes it wait for the time-out once more, from now.`),
		Example: "  nats sub --raw 'vmscaler.lifecycle.*.*.waiting'\n  vmscaler hook continue K3VN4TQF2WJ6X7YBZL5AAAAAAA",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := exactArgs(2)(cmd, args); err != nil {
				return err
			}
			return c.validate(args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.connect(cmd)
	c.addReason(cmd)
	cmd.AddCommand(hookListCommand(g))
	return cmd
}

func hookListCommand(g *globals) *cobra.Command {
	c := listCmd[bus.PendingHook]{g: g, none: "hooks that a VM waits for"}
	c.of = func(s bus.Status) printer.List[bus.PendingHook] { return listHooks(s, c.group) }
	return c.command(&cobra.Command{
		Use:   "list [GROUP]",
		Short: "List the hooks that VMs wait for, with the tokens of those that are answered over the bus",
		Long: long(`
List the hooks that VMs wait for, with the tokens of those that are answered over the bus: those that end first before the
others, at most 20 of each host. VM names are what -o name prints.`),
		Example: "  vmscaler hook list\n  vmscaler hook list web -o json | jq -r '.[].token // empty'",
	})
}

// listHooks are the hooks that VMs of a group wait for, or of all groups where it is "".
func listHooks(s bus.Status, group string) printer.List[bus.PendingHook] {
	type hook = bus.PendingHook
	list := printer.List[hook]{
		Name: func(h hook) string { return h.VM },
		Columns: []printer.Column[hook]{
			column("VM", func(h hook) string { return h.VM }),
			column("GROUP", func(h hook) string { return h.Group }),
			column("HOOK", func(h hook) string { return bus.Hook{Name: h.Name}.Text(h.Hook) }),
			column("ANSWERS", func(h hook) string { return string(h.WaitFor) }),
			column("WAITS", func(h hook) string { return ageText(&h.Since, s.Time) }),
			column("UNTIL", func(h hook) string { return h.Until.Local().Format(time.DateTime) }),
			column("TOKEN", func(h hook) string { return cmp.Or(h.Token, "-") }),
		},
	}
	for _, stage := range s.Stages {
		if stage.Acts == nil {
			continue
		}
		for _, h := range stage.Acts.Hooks {
			if group == "" || group == h.Group {
				list.Rows = append(list.Rows, h)
			}
		}
	}
	slices.SortStableFunc(list.Rows, func(a, b hook) int { return a.Until.Compare(b.Until) })
	return list
}

func hookActions() []string {
	return []string{string(bus.HookContinue), string(bus.HookAbandon), string(bus.HookHeartbeat)}
}

func (c *hookCmd) validate(args []string) error {
	if actions := hookActions(); !slices.Contains(actions, args[0]) {
		return usageError{fmt.Errorf("found %q, want one of %s%s",
			args[0], strings.Join(actions, ", "), nearest.Hint(args[0], actions))}
	}
	if !isToken(args[1]) {
		return usageError{fmt.Errorf("token: found %.40q, want the 26 letters and digits of the event \"waiting\": "+
			"`vmscaler hook list` has it", args[1])}
	}
	c.query = bus.Query{Action: bus.HookAction(args[0]), Token: args[1]}
	return nil
}

// isToken reports whether a text has the form of a token, so that a wrong one need not be waited for.
func isToken(s string) bool {
	return len(s) == 26 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// run answers the hook, and prints what became of it.
func (c *hookCmd) run(cmd *cobra.Command) error {
	c.sign(&c.query)
	answer, err := askAs[bus.HookAnswer](c.g, cmd, c.bus, bus.RoleOperator, bus.VerbHook, c.query)
	if is[*client.SilentError](err) { // as who does not wait for it leaves it to the others
		return withCode(
			exitRefused,
			fmt.Errorf("no VM waits with the token %.40q (any more): it was answered already, its time-out has "+
				"passed, or vmscaler was started again and has told another token", c.query.Token),
		)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(
		cmd.OutOrStdout(),
		"%s: %s: %s%s\n",
		answer.VM,
		bus.Hook{Name: answer.Name}.Text(answer.Hook),
		answer.Action,
		untilText(answer.Deadline),
	)
	return nil
}

func untilText(deadline *time.Time) string {
	if deadline == nil {
		return ""
	}
	return ", waits until " + deadline.Local().Format(time.DateTime)
}
