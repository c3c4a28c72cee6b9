package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template/catalog"
)

// templateCatalogCmd is the command template catalog.
type templateCatalogCmd struct {
	files  []string
	output string
}

func templateCatalogCommand() *cobra.Command {
	c := &templateCatalogCmd{}
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "List the published images that template import knows by name",
		Long: long(`
List the images that template import knows by name. Those of ~/.config/vmscaler/images.yaml are among them, and those of
--catalog; each is a list of the fields that -o json shows. One of a name that is there already takes its place.`),
		Example: "  vmscaler template catalog\n  vmscaler template catalog --catalog ours.yaml -o json",
		Args:    exactArgs(0),
		RunE:    checked(func([]string) error { return checkOutput(c.output) }, c.run),
	}
	cmd.Flags().StringArrayVar(&c.files, "catalog", nil, "a YAML file with more images; may be given several times")
	cmd.Flags().StringVarP(&c.output, "output", "o", "text", "text or json")
	return cmd
}

func (c *templateCatalogCmd) run(cmd *cobra.Command) error {
	images, err := loadCatalog(c.files)
	if err != nil {
		return err
	}
	return c.print(cmd.OutOrStdout(), images)
}

func (c *templateCatalogCmd) print(out io.Writer, images []catalog.Image) error {
	if c.output == "json" {
		return printJSON(out, images)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tTITLE\tUSER\tAGENT\tFIRMWARE\tNOTES")
	for _, i := range images {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", i.Name, i.Title, i.User, i.Agent, i.Firmware, i.Notes)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the catalog: %w", err)
	}
	return nil
}
