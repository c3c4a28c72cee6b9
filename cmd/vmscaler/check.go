package main

import (
	"fmt"
	"os"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/check"
	"github.com/vmscaler/vmscaler/dashboard"
)

func checkCommand(g *globals) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether this host is ready, and what to do where it is not; change nothing",
		Long: long(`
Say whether this host is ready for the config: libvirt, acceleration, networks, storage pool, templates, memory. It changes
nothing. Below each warning and each problem is what mends it. The exit code is 0 if there is no problem; warnings are allowed.`),
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			cfg, warnings, cfgErr := g.readConfig()
			dialer, err := host.NewDialer()
			if err != nil {
				return err
			}
			in := check.Input{
				Config: cfg, ConfigErr: cfgErr, ConfigWarnings: warnings, Dialer: dialer, Root: "/",
				Sources: host.Sources{Flag: g.uri, Getenv: os.Getenv},
			}
			facts, err := check.Gather(cmd.Context(), in)
			if err != nil {
				return err
			}
			findings, out := facts.Findings(), cmd.OutOrStdout()
			problems, warned := check.Count(findings)
			if output == "json" {
				err = check.PrintJSON(out, findings)
			} else {
				color := term.IsTerminal(int(os.Stdout.Fd())) && dashboard.StyleFromEnv(os.Getenv).Color
				err = check.Print(bare(out), findings, color)
			}
			switch {
			case err != nil:
				return err
			case problems > 0:
				return fmt.Errorf("not ready: %s, %s", bus.Count(problems, "problem"), bus.Count(warned, "warning"))
			case output == "text":
				fmt.Fprintf(out, "ready: no problem, %s\n", bus.Count(warned, "warning"))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}
