package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/check"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

func configCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show the config",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand(g), configShowCommand(g), configSchemaCommand())
	return cmd
}

// configCheckCmd is the command config check.
type configCheckCmd struct {
	g       *globals
	bus     busFlags
	offline bool
}

func configCheckCommand(g *globals) *cobra.Command {
	c := &configCheckCmd{g: g}
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Say what is wrong with the config, also against the host, and change nothing",
		Example: "  vmscaler config check\n  vmscaler config check -c new.yaml",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.add(cmd)
	cmd.Flags().BoolVar(&c.offline, "offline", false, "check the file alone, and ask neither libvirt nor Prometheus")
	return cmd
}

func (c *configCheckCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil && !c.offline {
		return c.g.withHostProblems(cmd.Context(), cfg, err, false)
	}
	if err != nil {
		return err
	}
	if _, err := c.bus.apply(&cfg); err != nil {
		return err
	}
	if c.offline {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", cmp.Or(cfg.Path, "built-in defaults"))
		return nil
	}
	hv, err := c.g.reach(cmd.Context(), cfg.LibvirtURI, cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	defer hv.close()
	_, err = prepare(hv, cfg, false)
	if unanswered := check.QueryProblems(cmd.Context(), cfg); len(unanswered) > 0 {
		var onHost config.Problems
		if err != nil && !errors.As(err, &onHost) {
			return err
		}
		err = onHost.And(unanswered)
	}
	if err != nil {
		return err
	}
	for _, w := range host.UnreadSeeds(hv.conn, cfg) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, at %s\n", cmp.Or(cfg.Path, "built-in defaults"), hv.choice)
	return nil
}

func configSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the config's format as a JSON schema, for editors",
		Example: "  vmscaler config schema | tee vmscaler.schema.json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := config.JSONSchema()
			if err != nil {
				return err
			}
			if _, err := cmd.OutOrStdout().Write(schema); err != nil {
				return fmt.Errorf("print the schema: %w", err)
			}
			return nil
		},
	}
}

// configShowCmd is the command config show.
type configShowCmd struct {
	g    *globals
	bus  busFlags
	http httpFlags
}

func configShowCommand(g *globals) *cobra.Command {
	c := &configShowCmd{g: g}
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print the config that holds: with all defaults, and with what flags and the environment say of bus and HTTP",
		Example: "  vmscaler config show\n  vmscaler config show -c new.yaml",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.add(cmd)
	c.http.add(cmd)
	return cmd
}

func (c *configShowCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	overridden, err := c.bus.apply(&cfg)
	if err != nil {
		return err
	}
	more, err := c.http.apply(&cfg)
	if err != nil {
		return err
	}
	return c.print(cmd.OutOrStdout(), cfg, append(overridden, more...))
}

// print prints a config, below what it is not from the file.
func (c *configShowCmd) print(out io.Writer, cfg config.Config, overridden []string) error {
	text := ""
	for _, line := range overridden {
		text += "# " + line + "\n"
	}
	if _, err := fmt.Fprintf(out, "%s%s", text, cfg.YAML()); err != nil {
		return fmt.Errorf("print the config: %w", err)
	}
	return nil
}
