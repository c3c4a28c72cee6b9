package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/contexts"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

func contextCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Keep by name where vmscalers run, and choose the one that commands are for",
		Long: long(`
Keep by name where vmscalers run: the address of the bus, or its state folder, the files to log in with, and the libvirt of its
host. Commands are for the one that --context or VMSCALER_CONTEXT names, else for the one in use, unless something else names a
vmscaler: --nats-url, --state-dir, their variables, or a config file with -c. The contexts are in the user's folder of settings,
as a rule ~/.config/vmscaler/contexts.yaml; keys are not in it, only where their files are.`),
		Example: "  vmscaler context add kvm1 --nats-url tls://kvm1:4222 --nats-ca kvm1.crt --nats-nkey operator.nk\n" +
			"  vmscaler context use kvm1\n  vmscaler status --context kvm1",
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(contextAddCommand(g), contextListCommand(), contextUseCommand(), contextRmCommand(), contextShowCommand())
	return cmd
}

// changeContexts reads the contexts, has them changed, and keeps them.
func changeContexts(change func(*contexts.Contexts) error) error {
	path, err := contexts.Path()
	if err != nil {
		return err
	}
	all, err := contexts.Load(path, os.Geteuid())
	if err != nil {
		return err
	}
	if err := change(&all); err != nil {
		return err
	}
	return contexts.Save(path, all)
}

// contextAddCmd is the command context add.
type contextAddCmd struct {
	g    *globals
	bus  busFlags
	name string
	use  bool
}

func contextAddCommand(g *globals) *cobra.Command {
	c := &contextAddCmd{g: g}
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Keep where a vmscaler runs, by a name",
		Example: "  vmscaler context add kvm1 --nats-url tls://kvm1:4222 --nats-ca kvm1.crt --nats-nkey operator.nk " +
			"--uri qemu+ssh://root@kvm1/system\n  vmscaler context add second --state-dir /srv/second",
		Args: exactArgs(1),
		RunE: checked(c.validate, c.run),
	}
	c.bus.add(cmd, "bus-listen")
	cmd.Flags().BoolVar(&c.use, "use", false, "have commands be for it from now on")
	return cmd
}

func (c *contextAddCmd) validate(args []string) error {
	c.name = args[0]
	if err := contexts.CheckName(c.name); err != nil {
		return usageError{fmt.Errorf("NAME: %w", err)}
	}
	return nil
}

// kept is what the command line says, with full paths of files that are there.
func (c *contextAddCmd) kept() (contexts.Context, error) {
	one := contexts.Context{URI: c.g.uri}
	for _, s := range busSettings() {
		flag, value := c.bus.flag(s)
		if value == "" {
			continue
		}
		if s.field != "bus.url" {
			full, err := filepath.Abs(value)
			if err == nil {
				_, err = os.Stat(full)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return one, unknown("%s: there is no %s", flag, value)
			}
			if err != nil {
				return one, fmt.Errorf("%s: %w", flag, err)
			}
			value = full
		}
		*s.kept(&one) = value
	}
	if one == (contexts.Context{}) {
		return one, usageError{errors.New("found nothing to keep, want --nats-url, --state-dir or --uri")}
	}
	cfg := config.Default()
	_, err := new(busFlags).applyFor(&cfg, chosenContext{c.name, one})
	return one, err
}

func (c *contextAddCmd) run(cmd *cobra.Command) error {
	one, err := c.kept()
	if err != nil {
		return err
	}
	err = changeContexts(func(all *contexts.Contexts) error {
		if _, is := all.Named[c.name]; is {
			return refused("there is a context %s already: `vmscaler context show %s` says what it is, `vmscaler context rm %s` drops it",
				c.name, c.name, c.name)
		}
		all.Named[c.name] = one
		if c.use {
			all.InUse = c.name
		}
		return nil
	})
	if err != nil {
		return err
	}
	text := "; `vmscaler context use " + c.name + "` has commands be for it"
	if c.use {
		text = ", and in use"
	}
	fmt.Fprintln(cmd.ErrOrStderr(), asCalled("context "+c.name+" is kept"+text))
	return nil
}

func contextUseCommand() *cobra.Command {
	none := false
	cmd := &cobra.Command{
		Use:     "use NAME",
		Short:   "Have commands be for a context, where nothing else names a vmscaler",
		Example: "  vmscaler context use kvm1\n  vmscaler context use --none",
		Args: func(_ *cobra.Command, args []string) error {
			if want := map[bool]int{false: 1, true: 0}[none]; len(args) != want {
				return wantUsage("`vmscaler context use NAME` or `vmscaler context use --none`", args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if !none {
				name = args[0]
			}
			err := changeContexts(func(all *contexts.Contexts) error {
				if _, is := all.Named[name]; !is && name != "" {
					return noContext(name, *all)
				}
				all.InUse = name
				return nil
			})
			if err == nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "in use: "+map[bool]string{false: "context " + name, true: "no context"}[none])
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&none, "none", false, "no context is in use any more")
	return cmd
}

func contextRmCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "rm NAME",
		Short:   "Drop a context; the files that it names stay",
		Example: "  vmscaler context rm kvm1",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			err := changeContexts(func(all *contexts.Contexts) error {
				if _, is := all.Named[name]; !is {
					return noContext(name, *all)
				}
				delete(all.Named, name)
				if all.InUse == name {
					all.InUse = ""
				}
				return nil
			})
			if err == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "context %s is dropped\n", name)
			}
			return err
		},
	}
}

// keptContext is a context as it is listed.
type keptContext struct {
	Name  string `json:"name"`
	InUse bool   `json:"in_use"`
	contexts.Context
}

func contextListCommand() *cobra.Command {
	output := &printer.Output{}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the contexts",
		Example: "  vmscaler context list\n  vmscaler context list -o name",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			if len(all.Named) == 0 && output.ForPeople() {
				fmt.Fprintln(cmd.ErrOrStderr(), asCalled("there are no contexts; `vmscaler context add` keeps one"))
			}
			list := printer.List[keptContext]{
				Name: func(c keptContext) string { return c.Name },
				Columns: []printer.Column[keptContext]{
					{Head: "IN USE", Of: func(c keptContext) string { return map[bool]string{true: "*"}[c.InUse] }},
					{Head: "NAME", Of: func(c keptContext) string { return c.Name }},
					{Head: "BUS", Of: func(c keptContext) string { return cmp.Or(c.URL, "-") }},
					{Head: "STATE FOLDER", Of: func(c keptContext) string { return cmp.Or(c.StateDir, "-") }},
					{Head: "LIBVIRT", Of: func(c keptContext) string { return cmp.Or(c.URI, "-") }},
					{Head: "KEY", Wide: true, Of: func(c keptContext) string { return cmp.Or(c.Nkey, c.Creds, "-") }},
				},
			}
			for _, name := range all.Names() {
				list.Rows = append(list.Rows, keptContext{name, name == all.InUse, all.Named[name]})
			}
			return list.Print(cmd.OutOrStdout(), output)
		},
	}
	output.Add(cmd.Flags(), printer.Lists())
	return cmd
}

func contextShowCommand() *cobra.Command {
	output := &printer.Output{}
	cmd := &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Show what is kept of a context, or of the one in use",
		Example: "  vmscaler context show\n  vmscaler context show kvm1 -o json",
		Args:    argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := readContexts()
			if err != nil {
				return err
			}
			name := all.InUse
			if len(args) > 0 {
				name = args[0]
			}
			if name == "" {
				return refused("no context is in use, of those that there are: %s", bus.List(all.Names()))
			}
			one, is := all.Named[name]
			if !is {
				return noContext(name, all)
			}
			if !output.ForPeople() {
				return printer.Value(cmd.OutOrStdout(), output, keptContext{name, name == all.InUse, one})
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "name\t%s\n", name)
			for _, s := range busSettings() {
				if s.kept != nil && *s.kept(&one) != "" {
					fmt.Fprintf(w, "--%s\t%s\n", s.flag, *s.kept(&one))
				}
			}
			if one.URI != "" {
				fmt.Fprintf(w, "--uri\t%s\n", one.URI)
			}
			return w.Flush()
		},
	}
	output.Add(cmd.Flags(), printer.Values())
	return cmd
}
