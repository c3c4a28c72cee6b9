package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

func templateCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "template",
		Short: "Make, show and delete templates, the disks that VMs are cloned from",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		templateBuildCommand(g), templateImportCommand(g), templateCatalogCommand(), templateInstallCommand(g),
		templatePrebuildCommand(g), templateSealCommand(g), templateListCommand(g), templateShowCommand(g),
		templateDiffCommand(g), templateCheckCommand(g), templateRmCommand(g),
	)
	return cmd
}

// withPool reaches libvirt and calls do with what the config says of the pool.
func (g *globals) withPool(cmd *cobra.Command, do func(hv *libvirtHost, to template.Target) error) error {
	return g.withConfig(cmd, func(hv *libvirtHost, cfg config.Config) error {
		return do(hv, template.Target{Pool: cfg.Pool, KeepFreeMiB: cfg.Host.PoolReserveMiB})
	})
}

// withConfig reaches libvirt and calls do with the config.
func (g *globals) withConfig(cmd *cobra.Command, do func(hv *libvirtHost, cfg config.Config) error) error {
	cfg, err := g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	hv, err := g.reach(cmd.Context(), cfg.LibvirtURI, cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	defer hv.close()
	err = do(hv, cfg)
	var none *template.NotFoundError
	if errors.As(err, &none) {
		return fmt.Errorf("%w%s", err, nearest.Hint(none.Name, none.Names))
	}
	return err
}

// checkTemplate refuses what is no template's name.
func checkTemplate(name string) error { return notName(template.CheckName(name)) }

// checkNewTemplate refuses what no new template can be called.
func checkNewTemplate(name string) error { return notName(template.CheckNewName(name)) }

func notName(err error) error {
	if err != nil {
		return usageError{fmt.Errorf("NAME: %w", err)}
	}
	return nil
}
