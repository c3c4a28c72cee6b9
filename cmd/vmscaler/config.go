package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func configCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check or show the config",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "check",
			Short: "Say what is wrong with the config, also against the host, and change nothing",
			Args:  exactArgs(0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := g.loadConfig(cmd.ErrOrStderr())
				if err != nil {
					return g.withHostProblems(cmd.Context(), cfg, err, false)
				}
				hv, err := g.reach(cmd.Context(), cfg.LibvirtURI, cmd.ErrOrStderr(), false)
				if err != nil {
					return err
				}
				defer hv.close()
				if _, err := prepare(hv, cfg, false); err != nil {
					return err
				}
				name := cfg.Path
				if name == "" {
					name = "built-in defaults"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: ok, at %s\n", name, hv.choice)
				return nil
			},
		},
		&cobra.Command{
			Use:   "show",
			Short: "Print the config with all defaults",
			Args:  exactArgs(0),
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := g.loadConfig(cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(cfg.YAML())
				if err != nil {
					return fmt.Errorf("print the config: %w", err)
				}
				return nil
			},
		},
	)
	return cmd
}
