package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/await"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// waitAtMost is how long is waited where nothing else is said.
const waitAtMost = 5 * time.Minute

// waitCmd is the command wait.
type waitCmd struct {
	g          *globals
	bus        busFlags
	group      string
	conditions []await.Condition
	waiting
}

func waitCommand(g *globals) *cobra.Command {
	c := &waitCmd{g: g, waiting: waiting{on: true}}
	cmd := &cobra.Command{
		Use:   "wait GROUP CONDITION...",
		Short: "Wait until a group is as it should be, such as stable, ready=3 or vm=web-2:gone",
		Long: long(`
Wait until all conditions hold at the same time. It hears of each change, and needs no credentials on the bus's machine. The
exit code is 0 when they hold, 4 after --timeout, which says what is missing, 1 where one of them will not come any more, and 2
where one names a template that nothing has, or a VM that the group cannot have or, where it is to be gone, never had.

  stable           as many VMs are ready as the group wants, none is pending, and no refresh goes on
  ready=3          so many VMs are ready; ready=3+ is so many or more
  desired=3        the group wants so many VMs
  template=web-2   all its VMs are made from this template
  vm=web-1:ready   the VM is in this phase, or gone: vm=web-1:gone
  refresh=done     the group's last refresh is done
  refresh=canary   it stands at its canary, which serves, until a person says what becomes of it`),
		Example: "  vmscaler wait web ready=3 --timeout 2m\n  vmscaler wait web stable template=web-2",
		Args:    argsBetween(2, -1),
		RunE:    checked(c.validate, c.run),
	}
	c.bus.connect(cmd)
	c.addTimeout(cmd, waitAtMost)
	return cmd
}

func (c *waitCmd) validate(args []string) error {
	c.group = args[0]
	for _, text := range args[1:] {
		condition, err := await.Parse(text)
		if err != nil {
			return usageError{err}
		}
		c.conditions = append(c.conditions, condition)
	}
	if err := c.check(); err != nil {
		return err
	}
	return checkGroup(c.group)
}

func (c *waitCmd) run(cmd *cobra.Command) error {
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleTap)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := c.there(cmd, conn); err != nil {
		return err
	}
	return c.until(cmd, conn, c.group, c.conditions...)
}

// there refuses to wait for what is misspelt: a template or a VM that there is not, nor can be. Of a VM that is to be gone the
// history says whether there was one; who may not read it is told so only of a name that no VM of the group can have.
func (c *waitCmd) there(cmd *cobra.Command, conn *client.Conn) error {
	if !slices.ContainsFunc(c.conditions, names) {
		return nil
	}
	of := bus.Query{Group: c.group}
	for _, condition := range c.conditions {
		if _, is := condition.(await.Template); is {
			of.Group = "" // other groups have templates, too
		}
	}
	status, err := ask[bus.Status](cmd.Context(), conn, bus.VerbStatus, of)
	if err != nil {
		return err
	}
	for _, condition := range c.conditions {
		if err := misnamed(status, c.group, condition, func(vm string) (bool, error) { return c.was(cmd, vm) }); err != nil {
			return err
		}
	}
	return nil
}

// names reports whether a condition names something that there may not be.
func names(condition await.Condition) bool {
	switch condition.(type) {
	case await.Gone, await.Phase, await.Template:
		return true
	}
	return false
}

// misnamed is an error for a condition with a name that nothing has, as far as that is known.
func misnamed(status bus.Status, group string, condition await.Condition, was func(vm string) (bool, error)) error {
	i := slices.IndexFunc(status.Groups, func(g bus.GroupStatus) bool { return g.Group == group })
	if i < 0 || len(status.Groups[i].Samples) == 0 {
		return nil
	}
	var vms []string
	for _, s := range status.Groups[i].Samples {
		for _, vm := range s.VMs {
			vms = append(vms, vm.Name)
		}
	}
	switch is := condition.(type) {
	case await.Template:
		known, all := templatesOf(status, group)
		if all && !slices.Contains(known, is.Name) {
			return unknown("%s: found no template %q: it is neither group %s's nor any other group's, and no VM of it is made "+
				"from one%s", is, is.Name, group, nearest.Hint(is.Name, known))
		}
	case await.Phase: // one that is not there may come
		if _, possible := bus.VMNumber(group, is.VM); !possible && !slices.Contains(vms, is.VM) {
			return unknown("%s: group %s has no VM %q, and will have none of that name%s",
				is, group, is.VM, nearest.Hint(is.VM, vms))
		}
	case await.Gone:
		if slices.Contains(vms, is.VM) {
			return nil
		}
		was, err := was(is.VM)
		if _, possible := bus.VMNumber(group, is.VM); err == nil && !was || err != nil && !possible {
			return unknown("%s: group %s has no VM %q, and had none%s", is, group, is.VM, nearest.Hint(is.VM, vms))
		}
	}
	return nil
}

// templatesOf are the templates that a group's VMs are made from, or that groups need; all reports whether the decider has said
// its groups'.
func templatesOf(status bus.Status, group string) (known []string, all bool) {
	all = true
	for _, g := range status.Groups {
		known, all = append(known, g.Template), all && g.Template != ""
		for _, s := range g.Samples {
			for _, vm := range s.VMs {
				if g.Group == group {
					known = append(known, vm.Template)
				}
			}
		}
	}
	for _, h := range status.Stages {
		if h.Acts == nil {
			continue
		}
		for _, t := range h.Acts.Templates {
			known = append(known, t.Name)
		}
	}
	slices.Sort(known)
	return slices.DeleteFunc(slices.Compact(known), func(name string) bool { return name == "" }), all
}

// was reports whether the history knows a VM of the group; an error means that it cannot be read.
func (c *waitCmd) was(cmd *cobra.Command, name string) (known bool, err error) {
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
	defer cancel()
	err = client.ReadHistory(ctx, conn, client.HistoryQuery{Group: c.group, VM: name},
		func(client.HistoryEntry) error { known = true; return nil })
	return known, err
}

// waiting is what commands share that can wait for what they have begun: with addWait for its flags, check in what validates
// them, and until, which does nothing unless --wait was said.
type waiting struct {
	on      bool
	timeout time.Duration // 0 is without end
	timed   func() bool   // reports whether --timeout was given; nil where there is no --wait
}

// addWait adds the flags; timeout is the one where none is named, 0 is without end.
func (w *waiting) addWait(cmd *cobra.Command, timeout time.Duration) {
	cmd.Flags().BoolVar(&w.on, "wait", false, "wait until it is done, and not only ordered")
	w.addTimeout(cmd, timeout)
	w.timed = func() bool { return cmd.Flags().Changed("timeout") }
}

func (w *waiting) addTimeout(cmd *cobra.Command, timeout time.Duration) {
	cmd.Flags().DurationVar(&w.timeout, "timeout", timeout, "for how long to wait; 0 is without end")
}

// check refuses what --timeout cannot be, and one that nothing waits for.
func (w *waiting) check() error {
	if w.timeout < 0 {
		return usageError{fmt.Errorf("--timeout: found %s, want 0 or more, such as 2m", w.timeout)}
	}
	if !w.on && w.timed != nil && w.timed() {
		return usageError{errors.New("--timeout: found it without --wait")}
	}
	return nil
}

// until waits until all conditions hold at the same time, and says so in one line. Meanwhile a terminal shows what is missing.
func (w *waiting) until(cmd *cobra.Command, conn *client.Conn, group string, conditions ...await.Condition) error {
	if !w.on {
		return nil
	}
	ctx := cmd.Context()
	if w.timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, w.timeout)
		defer cancel()
		ctx = limited
	}
	begun := time.Now()
	show := newStatusLine(cmd.ErrOrStderr())
	missing, err := waitFor(ctx, conn, group, conditions, show.say)
	show.clear()
	switch {
	case is[*client.SilentError](err):
		return err
	case errors.Is(err, context.DeadlineExceeded) && cmd.Context().Err() == nil:
		return withCode(exitTimeout, fmt.Errorf("group %s: timed out after %s: %s", group, w.timeout, missing))
	case err != nil:
		return err
	}
	fmt.Fprintf(
		cmd.OutOrStdout(),
		"group %s: %s, after %s\n",
		group,
		conditionsText(conditions),
		time.Since(begun).Round(time.Second),
	)
	return nil
}

// conditionsText has those that a user can name.
func conditionsText(conditions []await.Condition) string {
	var texts []string
	for _, c := range conditions {
		if _, inner := c.(await.DecidedAfter); !inner {
			texts = append(texts, c.String())
		}
	}
	return strings.Join(texts, ", ")
}

// waitFor follows a group until all conditions hold, and calls say when what is missing changes. What is missing when ctx ends
// comes with the error of ctx.
func waitFor(
	ctx context.Context, conn *client.Conn, group string, conditions []await.Condition, say func(missing string),
) (missing string, err error) {
	samples, decisions := make(chan bus.Sample, 16), make(chan bus.Decision, 16)
	if err := client.SubscribeNewest(conn, bus.SamplesOf(group), samples); err != nil {
		return "", err
	}
	if err := client.SubscribeNewest(conn, bus.DecisionsOf(group), decisions); err != nil {
		return "", err
	}
	// Whether the group exists, and what is decided: the next decision may be far away.
	status, err := ask[bus.Status](ctx, conn, bus.VerbStatus, bus.Query{Group: group})
	if err != nil {
		return "", err
	}
	m := model.New(time.Now(), model.Sizes{})
	for _, g := range status.Groups {
		if g.Group == group && g.Decision != nil {
			m.Decision(*g.Decision, time.Now())
		}
	}
	for {
		now := time.Now()
		text, err := await.Missing(m.Group(group), now, conditions)
		if err != nil {
			return "", fmt.Errorf("group %s: %w", group, err)
		}
		if text == "" {
			return "", nil
		}
		if text != missing {
			missing = text
			say(text)
		}
		select {
		case <-ctx.Done():
			return missing, context.Cause(ctx)
		case s := <-samples:
			m.Sample(s, time.Now())
		case d := <-decisions:
			m.Decision(d, time.Now())
		}
	}
}

// statusLine is a line of a terminal that says what is going on; elsewhere it says nothing.
type statusLine struct {
	out  io.Writer // nil: no terminal
	wide int       // columns of the line that is there
}

func newStatusLine(out io.Writer) *statusLine {
	f, is := bare(out).(*os.File)
	if !is || !term.IsTerminal(int(f.Fd())) {
		return &statusLine{}
	}
	return &statusLine{out: f} // what makes output harmless would not let a carriage return through
}

func (l *statusLine) say(text string) {
	if l.out == nil {
		return
	}
	text = bus.Clip(bus.Line(text), 120)
	fmt.Fprintf(l.out, "\r%-*s", l.wide, text)
	l.wide = len(text)
}

// clear leaves an empty line for others to write into.
func (l *statusLine) clear() {
	if l.out != nil && l.wide > 0 {
		fmt.Fprintf(l.out, "\r%*s\r", l.wide, "")
	}
}
