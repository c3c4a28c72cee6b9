package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/dashboard"
)

func pauseCommand(g *globals) *cobra.Command {
	return scopesCommand(g, bus.VerbPause, &cobra.Command{
		Short: "Stop scaling out, scaling in or replacing VMs of a group, until it is resumed",
		Long: long(`
Stop scaling a group out, scaling it in, or replacing its VMs that died; without a scope all three. What is paused already
stays paused, also when vmscaler is started again; ` +
			"`vmscaler resume`" + ` takes it back. The rules go on deciding, and it is shown
what they would do.`),
		Example: "  vmscaler pause web\n  vmscaler pause web in repair",
	})
}

func resumeCommand(g *globals) *cobra.Command {
	return scopesCommand(g, bus.VerbResume, &cobra.Command{
		Short:   "Take back what was paused of a group",
		Long:    "Take back what was paused of a group; without a scope all of it.",
		Example: "  vmscaler resume web\n  vmscaler resume web repair",
	})
}

// scopesCommand completes a command that wants a group and some scopes.
func scopesCommand(g *globals, verb string, cmd *cobra.Command) *cobra.Command {
	var busF busFlags
	var names []string
	for _, s := range bus.Scopes() {
		names = append(names, string(s))
	}
	cmd.Use = verb + " GROUP [" + strings.Join(names, "|") + "]..."
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("want `vmscaler %s`, found no argument", cmd.Use)}
		}
		for _, name := range args[1:] {
			if !slices.Contains(names, name) {
				return usageError{fmt.Errorf("scope: found %q, want one of %s%s", name, strings.Join(names, ", "), nearest.Hint(name, names))}
			}
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q := bus.Query{Group: args[0]}
		for _, name := range args[1:] {
			q.Scopes = append(q.Scopes, bus.Scope(name))
		}
		return g.control(cmd, busF, verb, q)
	}
	busF.add(cmd, "bus-listen")
	return cmd
}

func dryRunCommand(g *globals) *cobra.Command {
	var busF busFlags
	var off bool
	cmd := &cobra.Command{
		Use:   "dry-run GROUP",
		Short: "Decide and show everything of a group, and do nothing, until it is taken back with --off",
		Long: long(`
Decide and show everything of a group, and make and remove no VM: what would have been done are events. It holds until it is
taken back with --off, also when vmscaler is started again. A group with "dry_run: true" in its config stays as it is.`),
		Example: "  vmscaler dry-run web\n  vmscaler dry-run web --off",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.control(cmd, busF, bus.VerbDryRun, bus.Query{Group: args[0], On: !off})
		},
	}
	busF.add(cmd, "bus-listen")
	cmd.Flags().BoolVar(&off, "off", false, "act again")
	return cmd
}

func scaleCommand(g *globals) *cobra.Command {
	var busF busFlags
	var release bool
	cmd := &cobra.Command{
		Use:   "scale GROUP [N]",
		Short: "Give a group a number of VMs, until it is released to its policy again",
		Long: `Give a group a number of VMs, within its min and max, whatever its policy wants. It holds until it is released with
--release, also when vmscaler is started again. VMs that die are replaced, and what is paused stays paused.`,
		Example: "  vmscaler scale web 4\n  vmscaler scale web --release",
		Args: func(_ *cobra.Command, args []string) error {
			if want := map[bool]int{false: 2, true: 1}[release]; len(args) != want {
				return usageError{fmt.Errorf("want `vmscaler scale GROUP N` or `vmscaler scale GROUP --release`, found %q", args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q := bus.Query{Group: args[0]}
			if !release {
				n, err := strconv.Atoi(args[1])
				if err != nil || n < 0 {
					return usageError{fmt.Errorf("number of VMs: found %q, want a whole number from 0", args[1])}
				}
				q.Desired = &n
			}
			return g.control(cmd, busF, bus.VerbScale, q)
		},
	}
	busF.add(cmd, "bus-listen")
	cmd.Flags().BoolVar(&release, "release", false, "leave it to the policy again")
	return cmd
}

// control changes what a person has told a group, and prints what holds then.
func (g *globals) control(cmd *cobra.Command, busF busFlags, verb string, q bus.Query) error {
	if err := checkGroup(q.Group); err != nil {
		return err
	}
	q.By = whoAsks()
	conn, err := g.joinAs(cmd, busF, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
	defer cancel()
	controls, err := client.Ask[bus.Controls](ctx, conn, verb, q)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no decider has answered within %s: only the one that leads does, and an election takes some seconds; "+
			"`vmscaler status` shows what holds", answerWithin)
	case err != nil:
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s\n", q.Group, dashboard.ControlsText(controls, time.Local))
	return nil
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
