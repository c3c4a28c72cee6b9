package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// setCmd is the command set.
type setCmd struct{ control }

func setCommand(g *globals) *cobra.Command {
	c := &setCmd{control{g: g, verb: bus.VerbSet, goal: settled}}
	return c.command(&cobra.Command{
		Use:   "set GROUP FIELD=VALUE...",
		Short: "Change min, max or the policy of a running group, until it is reset to its file",
		Long: long(`
Change min, max or fields of the policy of a running group, checked as in the file. All of it holds at once or, where
something is wrong, nothing. It lasts until ` +
			"`vmscaler reset`" + `, also when vmscaler is started again; ` +
			"`vmscaler diff`" + ` shows it.
Fields of the policy need no "policy." before them.`),
		Example: "  vmscaler set web upper=60\n  vmscaler set web min=2 max=8 type=predictive limits.rate_in=1",
		Args:    argsBetween(2, -1),
	}, c.validate)
}

func (c *setCmd) validate(args []string) error {
	c.query = bus.Query{Group: args[0], Set: map[string]string{}}
	for _, arg := range args[1:] {
		name, value, is := strings.Cut(arg, "=")
		if !is || value == "" {
			return usageError{fmt.Errorf("found %q, want FIELD=VALUE, such as upper=60", arg)}
		}
		path, err := config.LiveField(name)
		if err != nil {
			return usageError{err}
		}
		if _, again := c.query.Set[path]; again {
			return usageError{fmt.Errorf("found %s twice, want it once", path)}
		}
		if err := config.CheckLive(path, value); err != nil {
			return usageError{err}
		}
		c.query.Set[path] = value
	}
	return checkGroup(c.query.Group)
}

// resetCmd is the command reset.
type resetCmd struct{ control }

func resetCommand(g *globals) *cobra.Command {
	c := &resetCmd{control{g: g, verb: bus.VerbReset, goal: settled}}
	return c.command(&cobra.Command{
		Use:     "reset GROUP [FIELD...]",
		Short:   "Let the file hold again for what was set; without a field for all of it",
		Example: "  vmscaler reset web\n  vmscaler reset web upper",
		Args:    argsBetween(1, -1),
	}, c.validate)
}

func (c *resetCmd) validate(args []string) error {
	c.query.Group = args[0]
	for _, name := range args[1:] {
		path, err := config.LiveField(name)
		if err != nil {
			return usageError{err}
		}
		c.query.Keys = append(c.query.Keys, path)
	}
	return checkGroup(c.query.Group)
}

// diffCmd is the command diff.
type diffCmd struct {
	g     *globals
	bus   busFlags
	group string // "": all

	output printer.Output
}

func diffCommand(g *globals) *cobra.Command {
	c := &diffCmd{g: g}
	cmd := &cobra.Command{
		Use:   "diff [GROUP]",
		Short: "Show what differs from the file of what runs: what was set, scaled, paused by hand",
		Long: long(`
Show what differs from the file of what runs: what was set, scaled, paused by hand. The exit code is 0 if all is as in the
file, and 3 if something differs.`),
		Example: "  vmscaler diff\n  vmscaler diff web -o json",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
	c.bus.connect(cmd)
	c.output.Add(cmd.Flags(), printer.Values())
	return cmd
}

func (c *diffCmd) validate(args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.group = args[0]
	return checkGroup(c.group)
}

func (c *diffCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.runningConfig(cmd, c.bus)
	if err != nil {
		return err
	}
	status, err := askAs[bus.Status](c.g, cmd, c.bus, bus.RoleTap, bus.VerbStatus, bus.Query{Group: c.group})
	if err != nil {
		return err
	}
	var differ []string
	all := []fileDifference{}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, g := range status.Groups {
		found := differences(cfg.Groups, g)
		all = append(all, found...)
		if len(found) == 0 {
			found = []fileDifference{{Group: g.Group, Note: "as in the file"}}
		} else {
			differ = append(differ, g.Group)
		}
		for _, d := range found {
			fmt.Fprintln(w, d)
		}
	}
	if c.output.ForPeople() {
		err = w.Flush()
	} else {
		err = printer.Value(cmd.OutOrStdout(), &c.output, all)
	}
	if err != nil {
		return err
	}
	if len(differ) > 0 {
		return refused("not as in the file: %s", bus.List(differ))
	}
	return nil
}

// fileDifference is one thing that a group does otherwise than its file says.
type fileDifference struct {
	Group string `json:"group"`
	Field string `json:"field,omitempty"`
	Runs  string `json:"runs,omitempty"` // what holds
	Note  string `json:"note,omitempty"` // such as what the file says
}

// String is the difference in a table.
func (d fileDifference) String() string {
	text := d.Group
	for _, cell := range []string{d.Field, d.Runs, d.Note} {
		if cell != "" {
			text += "\t" + cell
		}
	}
	return text
}

// differences are what a group does otherwise than its file says.
func differences(file []bus.Group, s bus.GroupStatus) (found []fileDifference) {
	add := func(field, runs, note string) { found = append(found, fileDifference{s.Group, field, runs, note}) }
	if s.Decision == nil {
		return []fileDifference{{Group: s.Group, Note: "not evaluated yet"}}
	}
	i := slices.IndexFunc(file, func(g bus.Group) bool { return g.Name == s.Group })
	if i < 0 {
		return []fileDifference{{Group: s.Group, Note: "not in the file, but it runs"}}
	}
	spec, c := file[i], s.Decision.Controls
	if spec.Hash() != s.Decision.SpecHash {
		add("", "", "the file has changed since the decider was started")
	}
	for _, path := range slices.Sorted(maps.Keys(c.Set)) {
		add(path, c.Set[path], "in the file "+config.Value(spec, path))
	}
	if in := s.Decision.Inputs; in.Scheduled {
		for _, f := range []struct {
			path       string
			now, there int
		}{{"min", in.Min, spec.Min}, {"max", in.Max, spec.Max}} {
			if _, set := c.Set[f.path]; !set && f.now != f.there {
				add(f.path, fmt.Sprint(f.now), fmt.Sprintf("by its schedule, in the file %d", f.there))
			}
		}
	}
	for _, name := range c.AddedNames() {
		add("schedule", c.Schedule[name].Action.String(), "added as "+name)
	}
	if c.Desired != nil {
		add("desired", fmt.Sprint(*c.Desired), "by hand")
	}
	if c.DryRun != spec.DryRun {
		add("dry_run", fmt.Sprint(c.DryRun), fmt.Sprintf("in the file %t", spec.DryRun))
	}
	for _, scope := range c.Paused {
		add("paused", string(scope), "")
	}
	return found
}
