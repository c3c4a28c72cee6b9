package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template/catalog"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// templateCatalogCmd is the command template catalog.
type templateCatalogCmd struct {
	files  []string
	output printer.Output
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
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	cmd.Flags().StringArrayVar(&c.files, "catalog", nil, "a YAML file with more images; may be given several times")
	c.output.Add(cmd.Flags(), printer.Lists())
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
	type image = catalog.Image
	return printer.List[image]{
		Rows: images,
		Name: func(i image) string { return i.Name },
		Columns: []printer.Column[image]{
			{Head: "NAME", Of: func(i image) string { return i.Name }},
			{Head: "TITLE", Of: func(i image) string { return i.Title }},
			{Head: "USER", Of: func(i image) string { return i.User }},
			{Head: "AGENT", Of: func(i image) string { return fmt.Sprint(i.Agent) }},
			{Head: "FIRMWARE", Of: func(i image) string { return fmt.Sprint(i.Firmware) }},
			{Head: "URL", Wide: true, Of: func(i image) string { return i.URL }},
			{Head: "NOTES", Of: func(i image) string { return i.Notes }},
		},
	}.Print(out, &c.output)
}
