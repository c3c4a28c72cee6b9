package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/decider/explain"
)

// explainCmd is the command explain.
type explainCmd struct {
	g      *globals
	bus    busFlags
	group  string
	at, id string
	output printer.Output
	watch  bool

	when time.Time // at, zero where it is not given
}

func explainCommand(g *globals) *cobra.Command {
	c := &explainCmd{g: g}
	cmd := &cobra.Command{
		Use:   "explain GROUP",
		Short: "Say why a group has the size it has, and what would have to be true for another one",
		Long: long(`
Say why a group has the size it has: what its newest decision was made from, what its policy wants, what held that
back, and what would have to be true to scale; with credentials also what an actuator holds back. With --at or --decision
it explains a decision of the history, which has those that changed something.`),
		Example: "  vmscaler explain web\n  vmscaler explain web --at \"2026-11-24 03:10\"\n  vmscaler explain web --at 2h\n" +
			"  vmscaler explain web -o json\n  vmscaler explain web --watch",
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.group = args[0]
			if err := c.validate(time.Now()); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	c.bus.connect(cmd)
	cmd.Flags().StringVar(&c.at, "at", "", "the decision that held at this time, or so long ago")
	cmd.Flags().StringVar(&c.id, "decision", "", "the decision of this `ID`, as vmscaler events -o json has it")
	c.output.Add(cmd.Flags(), printer.Values())
	addWatch(cmd, &c.watch, "go on with what each decision says that changes something")
	return cmd
}

func (c *explainCmd) validate(now time.Time) error {
	if err := checkGroup(c.group); err != nil {
		return err
	}
	if c.at != "" {
		var is bool
		if c.when, is = parseTime(c.at, now); !is {
			return usageError{fmt.Errorf("--at: found %q, want %s", c.at, wantTime)}
		}
	}
	if c.at != "" && c.id != "" {
		return usageError{errors.New("--at and --decision: want one of them")}
	}
	if c.watch && (c.at != "" || c.id != "") {
		return usageError{errors.New("--watch: found it with --at or --decision, want it without")}
	}
	return nil
}

func (c *explainCmd) run(cmd *cobra.Command) error {
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator) // who may read the history
	newest := c.at == "" && c.id == ""
	var need *app.NeedCredentialsError
	if newest && errors.As(err, &need) {
		conn, err = c.g.joinAs(cmd, c.bus, bus.RoleTap)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	var w *watcher
	if c.watch { // before it asks, so that it misses nothing
		if w, err = watch(conn, c.group, false); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
	defer cancel()
	decision, err := findDecision(ctx, conn, c.group, c.when, c.id)
	if err != nil {
		return err
	}
	var held *bus.Event
	if newest && need == nil {
		held = heldBack(ctx, conn, decision)
	}
	out := cmd.OutOrStdout()
	if !c.watch || c.output.ForPeople() {
		if err := printExplanation(out, explain.New(decision, held, time.Local), &c.output); err != nil || !c.watch {
			return err
		}
		fmt.Fprintln(out)
	}
	return w.run(cmd.Context(), func(d bus.Decision, _ string) error {
		e := explain.New(&d, nil, time.Local)
		if !c.output.ForPeople() {
			return printer.Line(out, &c.output, e)
		}
		_, err := fmt.Fprintf(out, "%s  %s\n", d.Time.Local().Format(time.DateTime), e.Result)
		return err
	})
}

// heldEvents is how many of a group's events are looked at, at least.
const heldEvents = 1000

// heldBack is the event by which an actuator holds the group back, nil where the history has none.
func heldBack(ctx context.Context, conn *client.Conn, d *bus.Decision) *bus.Event {
	var events []bus.Event
	err := client.ReadHistory(ctx, conn, client.HistoryQuery{Group: d.Group}, func(r client.HistoryEntry) error {
		if r.Event != nil {
			if len(events) == 2*heldEvents { // those before say nothing of the present
				events = append(events[:0], events[heldEvents:]...)
			}
			events = append(events, *r.Event)
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return explain.Held(d, events)
}

// findDecision is the newest decision, or one of the history.
func findDecision(ctx context.Context, conn *client.Conn, group string, at time.Time, id string) (*bus.Decision, error) {
	if at.IsZero() && id == "" {
		d, err := ask[bus.Decision](ctx, conn, bus.VerbExplain, bus.Query{Group: group})
		return &d, err
	}
	var found *bus.Decision
	err := client.ReadHistory(ctx, conn, client.HistoryQuery{Group: group}, func(r client.HistoryEntry) error {
		if d := r.Decision; d != nil && (id != "" && d.ID == id || id == "" && !d.Time.After(at)) {
			found = d
		}
		return nil
	})
	switch {
	case errors.Is(err, client.ErrNoHistory):
		return nil, fmt.Errorf("%w: its NATS server has no JetStream, or no actuator has run on it yet", err)
	case err != nil:
		return nil, err
	case found == nil && id != "":
		return nil, unknown("--decision: the history of group %s has no decision %q; it has those that changed something: "+
			"`vmscaler events %s -o json`", group, id, group)
	case found == nil:
		return nil, unknown("--at: the history of group %s has no decision before %s", group, at.Format(time.DateTime))
	}
	return found, nil
}

func printExplanation(out io.Writer, e explain.Explanation, output *printer.Output) error {
	if !output.ForPeople() {
		return printer.Value(out, output, e)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s\n\n", e.Result)
	for _, s := range e.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.What, s.Effect, s.Found)
	}
	if len(e.WhyNot) > 0 {
		fmt.Fprintln(w, "\nWhat would change it:")
		for _, line := range e.WhyNot {
			fmt.Fprintf(w, "- %s\n", asCalled(line))
		}
	}
	return w.Flush()
}
