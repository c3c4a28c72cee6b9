package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/dashboard"
)

// runCmd is the command run.
type runCmd struct {
	g           *globals
	bus         busFlags
	http        httpFlags
	otlp        otlpFlag
	stages      []string
	setup       bool
	dryRun      bool
	noDashboard bool
}

func runCommand(g *globals) *cobra.Command {
	c := &runCmd{g: g}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run everything in this process: bus, collector, decider, actuator and dashboard",
		Long: `Run everything in this process: the embedded NATS server, collector, decider, actuator and dashboard. With --nats-url
the bus is that server, and with --stages only some of the stages run here.

Ctrl-C stops it and leaves the VMs running; the next run takes them over. A second Ctrl-C ends it at once.
To remove a group's VMs use ` + "`vmscaler down GROUP`.",
		Example: "  vmscaler run\n  vmscaler run -c vmscaler.yaml --no-dashboard\n" +
			"  vmscaler run --stages collector,actuator --nats-url nats://10.0.0.5:4222 --nats-creds vmscaler.creds",
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.flags(cmd)
	return cmd
}

func (c *runCmd) flags(cmd *cobra.Command) {
	c.bus.add(cmd)
	c.http.add(cmd)
	c.http.addMetrics(cmd)
	c.otlp.add(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&c.stages, "stages", nil, "the stages to run here: "+strings.Join(app.Stages(), ", ")+" (default all)")
	f.BoolVar(&c.setup, "setup", false, "first do what the command setup does")
	f.BoolVar(&c.dryRun, "dry-run", false,
		"decide and show everything, and make and remove no VM, as with \"dry_run: true\" in all groups")
	f.BoolVar(&c.noDashboard, "no-dashboard", false,
		"print one plain line per event and per change (the default without a terminal)")
}

func (c *runCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return c.g.withHostProblems(cmd.Context(), cfg, err, c.setup)
	}
	if _, err := c.bus.apply(&cfg); err != nil {
		return err
	}
	if err := c.overlay(&cfg); err != nil {
		return err
	}
	stages, err := chooseStages(c.stages, cfg)
	if err != nil {
		return err
	}
	traces, err := c.otlp.target()
	if err != nil {
		return err
	}
	if c.dryRun {
		fmt.Fprintln(cmd.ErrOrStderr(), "dry run: everything is decided and shown, and no VM is made or removed")
	}
	o := runOptions{
		command: "vmscaler run", stages: stages, setup: c.setup, wantsLog: cmd.Flags().Changed("log-level"),
		read: c.g.reader(c.bus, c.overlay), overlay: c.overlay, otlp: traces,
		plain: c.noDashboard || dashboard.WantsPlain(os.Stdout, os.Getenv),
	}
	if c.http.wanted(cfg, slices.Contains(stages, app.StageDashboard)) {
		o.http = &c.http
	}
	return c.g.run(cmd.Context(), cfg, o)
}

// overlay puts what the command's other flags say over the config.
func (c *runCmd) overlay(cfg *config.Config) error {
	for i := range cfg.Groups {
		cfg.Groups[i].DryRun = cfg.Groups[i].DryRun || c.dryRun
	}
	_, err := c.http.apply(cfg)
	return err
}

// chooseStages are the stages of a run, of those that --stages names.
func chooseStages(named []string, cfg config.Config) ([]string, error) {
	for _, name := range named {
		if !slices.Contains(app.Stages(), name) {
			return nil, usageError{fmt.Errorf("--stages: found %q, want some of %s%s",
				name, strings.Join(app.Stages(), ", "), nearest.Hint(name, app.Stages()))}
		}
	}
	switch {
	case len(named) == 0 && cfg.BusURL != "":
		return slices.DeleteFunc(app.Stages(), func(s string) bool { return s == app.StageBus }), nil
	case len(named) == 0:
		return app.Stages(), nil
	case cfg.BusURL != "" && slices.Contains(named, app.StageBus):
		return nil, usageError{fmt.Errorf("--stages: found bus together with the bus %s to join, want one of them", cfg.BusURL)}
	}
	return named, nil
}
