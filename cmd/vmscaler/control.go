package main

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/await"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/dashboard"
)

// control is what the commands share that change the controls of a group. Each makes a query of its arguments.
type control struct {
	g   *globals
	bus busFlags
	asking
	waiting
	verb  string
	query bus.Query
	goal  func(bus.Controls) []await.Condition // what is waited for with --wait; nil: there is nothing to wait for
}

// command completes a command whose arguments validate makes the query of.
func (c *control) command(cmd *cobra.Command, validate func(args []string) error) *cobra.Command {
	cmd.RunE = checked(func(args []string) error {
		if err := c.check(); err != nil {
			return err
		}
		return validate(args)
	}, c.run)
	if c.goal != nil {
		c.addWait(cmd, waitAtMost)
	}
	c.bus.connect(cmd)
	c.addReason(cmd)
	return cmd
}

// run asks the decider that leads, and prints what holds then.
func (c *control) run(cmd *cobra.Command) error {
	c.sign(&c.query)
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	controls, err := ask[bus.Controls](cmd.Context(), conn, c.verb, c.query)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s\n", c.query.Group,
		cmp.Or(dashboard.ControlsText(controls, time.Local), bus.NothingByHand))
	if c.goal == nil {
		return nil
	}
	return c.until(cmd, conn, c.query.Group, c.goal(controls)...)
}

// settled is that a group was evaluated with what a person has changed, and is what it wants to be.
func settled(c bus.Controls) (all []await.Condition) {
	if c.Since != nil {
		all = append(all, await.DecidedAfter{Time: *c.Since})
	}
	return append(all, await.Stable{})
}

// scaled is settled, with the number that was asked for: what is paused may keep the group from it.
func scaled(c bus.Controls) []await.Condition {
	all := settled(c)
	if c.Desired != nil {
		all = slices.Insert(all, len(all)-1, await.Condition(await.Desired{VMs: *c.Desired}))
	}
	return all
}

// scopesCmd is the command pause, and resume of a group.
type scopesCmd struct{ control }

func pauseCommand(g *globals) *cobra.Command {
	return scopesCommand(g, bus.VerbPause, &cobra.Command{
		Short: "Stop scaling or replacing VMs of a group, or its health, hooks or schedule, until it is resumed",
		Long: long(`
Stop scaling a group out (out) or in (in), or replacing its VMs that died or do not serve (repair); replacing those alone
that an agent or a check calls sick (health); waiting for hooks (hooks); or what its schedule does (schedule). Without a
scope all of it. What is paused already
stays paused, also when vmscaler is started again; ` +
			"`vmscaler resume`" + ` takes it back. The rules go on deciding, and it is shown
what they would do.`),
		Example: "  vmscaler pause web\n  vmscaler pause web in repair\n  vmscaler pause web schedule",
	})
}

func scopesCommand(g *globals, verb string, cmd *cobra.Command) *cobra.Command {
	c := &scopesCmd{control{g: g, verb: verb}}
	cmd.Use = verb + " GROUP [" + strings.Join(scopeNames(), "|") + "]..."
	cmd.Args = scopesArgs
	return c.command(cmd, c.validate)
}

// scopesArgs are a name and scopes.
func scopesArgs(cmd *cobra.Command, args []string) error {
	if err := argsBetween(1, -1)(cmd, args); err != nil {
		return err
	}
	return checkScopes(args[1:])
}

func scopeNames() (names []string) {
	for _, s := range bus.Scopes() {
		names = append(names, string(s))
	}
	return names
}

func checkScopes(found []string) error {
	names := scopeNames()
	for _, name := range found {
		if !slices.Contains(names, name) {
			return usageError{fmt.Errorf("scope: found %q, want one of %s%s", name, strings.Join(names, ", "), nearest.Hint(name, names))}
		}
	}
	return nil
}

func (c *scopesCmd) validate(args []string) error {
	c.query.Group = args[0]
	for _, name := range args[1:] {
		c.query.Scopes = append(c.query.Scopes, bus.Scope(name))
	}
	if err := checkScopes(args[1:]); err != nil {
		return err
	}
	return checkGroup(c.query.Group)
}

// dryRunCmd is the command dry-run.
type dryRunCmd struct {
	control
	off bool
}

func dryRunCommand(g *globals) *cobra.Command {
	c := &dryRunCmd{control: control{g: g, verb: bus.VerbDryRun}}
	cmd := &cobra.Command{
		Use:   "dry-run GROUP",
		Short: "Decide and show everything of a group, and do nothing, until it is taken back with --off",
		Long: long(`
Decide and show everything of a group, and make and remove no VM: what would have been done are events. It holds until it is
taken back with --off, also when vmscaler is started again. A group with "dry_run: true" in its config stays as it is.`),
		Example: "  vmscaler dry-run web\n  vmscaler dry-run web --off",
		Args:    exactArgs(1),
	}
	cmd.Flags().BoolVar(&c.off, "off", false, "act again")
	return c.command(cmd, c.validate)
}

func (c *dryRunCmd) validate(args []string) error {
	c.query = bus.Query{Group: args[0], On: !c.off}
	return checkGroup(c.query.Group)
}

// scaleCmd is the command scale.
type scaleCmd struct {
	control
	release bool
}

func scaleCommand(g *globals) *cobra.Command {
	c := &scaleCmd{control: control{g: g, verb: bus.VerbScale, goal: scaled}}
	cmd := &cobra.Command{
		Use:   "scale GROUP [N]",
		Short: "Give a group a number of VMs, until it is released to its policy again",
		Long: `Give a group a number of VMs, within its min and max, whatever its policy wants. It holds until it is released with
--release, also when vmscaler is started again. VMs that die are replaced, and what is paused stays paused.`,
		Example: "  vmscaler scale web 4 --wait\n  vmscaler scale web --release",
	}
	cmd.Args = func(_ *cobra.Command, args []string) error { return c.checkArgs(args) }
	cmd.Flags().BoolVar(&c.release, "release", false, "leave it to the policy again")
	return c.command(cmd, c.validate)
}

func (c *scaleCmd) checkArgs(args []string) error {
	if want := map[bool]int{false: 2, true: 1}[c.release]; len(args) != want {
		return wantUsage("`vmscaler scale GROUP N` or `vmscaler scale GROUP --release`", args)
	}
	return nil
}

func (c *scaleCmd) validate(args []string) error {
	c.query.Group = args[0]
	if !c.release {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 0 {
			return usageError{fmt.Errorf("number of VMs: found %q, want a whole number from 0", args[1])}
		}
		c.query.Desired = &n
	}
	return checkGroup(c.query.Group)
}

// whoAsks is user@host, as far as this machine says.
func whoAsks() string {
	name := fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
