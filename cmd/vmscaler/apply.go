package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// How long the stages may take for a step: to check groups against their hosts, and to take them between two steps of their own.
const (
	prepareWithin = checkWithin + 10*time.Second
	commitWithin  = time.Minute
	dropWithin    = 2 * time.Second
)

// applyCmd is the command apply.
type applyCmd struct {
	g   *globals
	bus busFlags
	asking
	file string
	dry  bool
}

func applyCommand(g *globals) *cobra.Command {
	c := &applyCmd{g: g}
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Have the groups of a file hold in what runs, in all of its stages or in none, with no restart",
		Long: long(`
Have the groups of a file hold in what runs, with no restart, as SIGHUP does with the config file of each process: groups change,
join and leave. The VMs of one that leaves stay as they are. Each process checks the groups first, against its host as well; only
if all agree do they hold. What runs programs, opens files or chooses networks must be in each host's own config file already.

It lasts until the next start or SIGHUP, for which the config file says what holds: put it there, too.`),
		Example: "  vmscaler apply -f vmscaler.yaml --dry-run\n  vmscaler apply -f vmscaler.yaml --reason \"launch at 9\"",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVarP(&c.file, "file", "f", "", "the config file whose groups are to hold; what else it says is not used")
	f.BoolVar(&c.dry, "dry-run", false, "say what would change, and whether all agree, and change nothing")
	c.bus.connect(cmd)
	c.addReason(cmd)
	return cmd
}

func (c *applyCmd) run(cmd *cobra.Command) error {
	if c.file == "" {
		return usageError{errors.New("--file: found none, want the config file whose groups are to hold")}
	}
	cfg, warnings, err := config.Load(c.file)
	for _, w := range warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
	}
	if err != nil {
		return err
	}
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	stages, err := heardStages(cmd.Context(), conn)
	if err != nil {
		return err
	}
	var q bus.Query
	c.sign(&q)
	order := bus.Apply{V: bus.Version, ID: rand.Text(), Groups: cfg.Groups, By: q.By, Reason: q.Reason}
	return c.apply(cmd, conn, stages, order)
}

// heardStages are those that give signs of life. A decider that has just started has not heard all of them yet.
func heardStages(ctx context.Context, conn *client.Conn) ([]bus.Health, error) {
	for tries := 1; ; tries++ {
		status, err := ask[bus.Status](ctx, conn, bus.VerbStatus, bus.Query{})
		if err != nil {
			return nil, err
		}
		wait := untilAllHeard(status.Stages)
		if wait == 0 || tries == 3 { // its clock may be wrong
			return status.Stages, nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// untilAllHeard is in what time a decider has heard all stages that give signs of life, by what it has heard of itself.
func untilAllHeard(stages []bus.Health) (wait time.Duration) {
	const all = bus.HealthInterval + time.Second
	i := slices.IndexFunc(stages, func(h bus.Health) bool { return h.Stage == string(bus.RoleDecider) })
	if i < 0 {
		return all
	}
	for _, h := range stages[i:] {
		if h.Stage == string(bus.RoleDecider) {
			wait = max(wait, all-max(0, h.Time.Sub(h.Since)))
		}
	}
	return wait
}

// apply goes through the steps with the stages that are heard.
func (c *applyCmd) apply(cmd *cobra.Command, conn *client.Conn, stages []bus.Health, order bus.Apply) error {
	ctx, groups := cmd.Context(), order.Groups
	order.Step = bus.ApplyPrepare
	ready, err := step(ctx, conn, order, stages, prepareWithin)
	if err == nil {
		err = ready.refusal(prepareWithin)
	}
	order.Groups = nil
	if err != nil || c.dry || len(ready.changes()) == 0 {
		order.Step = bus.ApplyDrop
		_, _ = step(ctx, conn, order, stages, dropWithin) // else it is forgotten in a minute
	}
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	for _, change := range ready.changes() {
		fmt.Fprintf(out, "group %s: %s\n", change.Group, change.Sentence)
	}
	for _, note := range ready.notes() {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", note)
	}
	switch {
	case len(ready.changes()) == 0:
		fmt.Fprintf(out, "%s: its %s hold already\n", c.file, bus.Count(len(groups), "group"))
		return nil
	case c.dry:
		fmt.Fprintln(out, "dry run: nothing is changed")
		return nil
	}
	order.Step = bus.ApplyCommit
	done, err := step(ctx, conn, order, stages, commitWithin)
	if err != nil {
		return err
	}
	if err := done.lag(commitWithin); err != nil {
		return err
	}
	fmt.Fprintf(out, "applied in %s\n", bus.Count(len(done.answers), "process"))
	return nil
}

// round is one step with all the stages that go by the groups.
type round struct {
	silent  map[string]bool // the stages that have not answered yet
	answers []bus.Applied
}

func newRound(stages []bus.Health) *round {
	r := &round{silent: map[string]bool{}}
	for _, s := range stages {
		if slices.Contains(bus.GroupStages(), s.Stage) {
			r.silent[s.Stage+" "+s.Instance] = true
		}
	}
	return r
}

// step sends a step, and waits until each stage has answered, or one of them refuses to prepare.
func step(ctx context.Context, conn *client.Conn, order bus.Apply, stages []bus.Health, within time.Duration) (*round, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	r := newRound(stages)
	return r, conn.AskApply(ctx, order, r.hear)
}

// hear takes an answer, and reports whether another one is waited for.
func (r *round) hear(a bus.Applied) (more bool) {
	r.answers = append(r.answers, a)
	for _, stage := range a.Stages {
		delete(r.silent, stage+" "+a.Instance)
	}
	return len(r.silent) > 0 && (a.Error == "" || a.Step != bus.ApplyPrepare)
}

// who is a process that has answered.
func who(a bus.Applied) string {
	return fmt.Sprintf("%s (%s)", a.Instance, strings.Join(a.Stages, ", "))
}

// refusal is why groups must not hold after they were prepared; nil: all agree.
func (r *round) refusal(within time.Duration) error {
	for _, a := range r.answers {
		if a.Error != "" {
			return refused("nothing is changed: %s: %s", who(a), a.Error)
		}
	}
	if len(r.silent) > 0 {
		return refused("nothing is changed: not answered within %s by %s; a vmscaler of an older version does not answer",
			within, bus.List(slices.Sorted(maps.Keys(r.silent))))
	}
	for _, a := range r.answers {
		if first := r.answers[0]; a.Spec != first.Spec {
			return refused("nothing is changed: %s and %s would have different groups, as their command lines differ: --dry-run",
				who(first), who(a))
		}
	}
	return nil
}

// lag is who has not taken groups that were to hold; nil: all have.
func (r *round) lag(within time.Duration) error {
	var late []string
	for _, a := range r.answers {
		if a.Error != "" {
			late = append(late, who(a)+": "+a.Error)
		}
	}
	for _, stage := range slices.Sorted(maps.Keys(r.silent)) {
		late = append(late, fmt.Sprintf("%s: no answer within %s", stage, within))
	}
	switch taken := func(a bus.Applied) bool { return a.Error == "" }; {
	case len(late) == 0:
		return nil
	case len(r.silent) == 0 && !slices.ContainsFunc(r.answers, taken):
		return refused("no process has taken the groups:\n  %s", strings.Join(late, "\n  "))
	}
	return fmt.Errorf("the groups hold, but not everywhere yet; until they do, those that differ are held, and nothing is made or "+
		"removed for them (`vmscaler health` says where; apply the file again):\n  %s", strings.Join(late, "\n  "))
}

// changes are what becomes of the groups, in whichever process; what they all say is there once.
func (r *round) changes() (all []bus.ApplyChange) {
	for _, a := range r.answers {
		for _, c := range a.Changes {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b bus.ApplyChange) int { return cmp.Compare(a.Group, b.Group) })
	return all
}

// notes are what the processes have to say, each with whom it is of.
func (r *round) notes() (all []string) {
	for _, a := range r.answers {
		for _, n := range a.Notes {
			all = append(all, who(a)+": "+n)
		}
	}
	return all
}
