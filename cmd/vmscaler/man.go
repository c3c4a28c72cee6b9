package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand writes the manual pages that packages have.
func manCommand() *cobra.Command {
	var date string
	cmd := &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages into a folder, one for each command",
		Example: "  vmscaler man /usr/share/man/man1",
		Hidden:  true,
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := time.Parse(time.DateOnly, date)
			if err != nil {
				return usageError{fmt.Errorf("--date: found %q, want one such as 2026-11-27", date)}
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // everyone reads manuals
				return fmt.Errorf("write the manual: %w", err)
			}
			header := &doc.GenManHeader{Title: "VMSCALER", Section: "1", Source: "vmscaler " + version, Manual: "vmscaler", Date: &at}
			if err := doc.GenManTree(documented(cmd.Root()), header, args[0]); err != nil {
				return fmt.Errorf("write the manual: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&date, "date", time.Now().UTC().Format(time.DateOnly),
		"the pages' date, for builds that give the same again")
	return cmd
}

// documented is a root command without what a page does not need.
func documented(root *cobra.Command) *cobra.Command {
	root.DisableAutoGenTag = true
	return root
}
