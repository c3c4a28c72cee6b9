package main

import (
	"fmt"
	"io"
	"os"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/check"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard"
)

// checkCmd is the command check.
type checkCmd struct {
	g      *globals
	output printer.Output
}

func checkCommand(g *globals) *cobra.Command {
	c := &checkCmd{g: g}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether this host is ready, and what to do where it is not; change nothing",
		Long: long(`
Say whether this host is ready for the config: libvirt, acceleration, networks, storage pool, templates, memory. It changes
nothing. Each warning and each problem comes with its fix. The exit code is 0 if there is no problem; warnings are allowed.`),
		Example: "  vmscaler check\n  vmscaler check -c new.yaml -o json",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.output.Add(cmd.Flags(), printer.Values())
	return cmd
}

func (c *checkCmd) run(cmd *cobra.Command) error {
	cfg, warnings, cfgErr := c.g.readConfig()
	dialer, err := host.NewDialer()
	if err != nil {
		return err
	}
	facts, err := check.Gather(cmd.Context(), check.Input{
		Config: cfg, ConfigErr: cfgErr, ConfigWarnings: warnings, Dialer: dialer, Root: "/",
		Program: calledAs(),
		Sources: host.Sources{Flag: c.g.uri, Getenv: os.Getenv},
	})
	if err != nil {
		return err
	}
	return c.print(cmd.OutOrStdout(), facts.Findings())
}

// print prints what was found. Its error says that there are problems, too.
func (c *checkCmd) print(out io.Writer, findings []check.Finding) (err error) {
	problems, warned := check.Count(findings)
	if !c.output.ForPeople() {
		err = printer.Value(out, &c.output, check.NewReport(findings))
	} else {
		color := term.IsTerminal(int(os.Stdout.Fd())) && dashboard.StyleFromEnv(os.Getenv).Color
		err = check.Print(bare(out), findings, color)
	}
	switch {
	case err != nil:
		return err
	case problems > 0:
		return fmt.Errorf("not ready: %s, %s", bus.Count(problems, "problem"), bus.Count(warned, "warning"))
	case c.output.ForPeople():
		fmt.Fprintf(out, "ready: no problem, %s\n", bus.Count(warned, "warning"))
	}
	return nil
}
