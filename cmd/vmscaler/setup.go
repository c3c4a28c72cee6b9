package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/demo"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// setupCmd is the command setup.
type setupCmd struct{ g *globals }

func setupCommand(g *globals) *cobra.Command {
	c := &setupCmd{g: g}
	return &cobra.Command{
		Use:   "setup",
		Short: "Make the network, the storage pool and the demo template exist and be active",
		Long: `Make what the config needs exist and be active: the libvirt networks, the storage pool, and, where a group uses it,
the demo template. What is there already stays as it is. It is what ` + "`vmscaler run --setup`" + ` does first.`,
		Example: "  vmscaler setup\n  vmscaler setup -c web.yaml",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
}

func (c *setupCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	hv, err := c.g.reach(cmd.Context(), cfg.LibvirtURI, cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	defer hv.close()
	fmt.Fprintf(cmd.OutOrStdout(), "libvirt: %s\n", hv.choice)
	return setUp(cmd.Context(), hv, cfg, cmd.OutOrStdout())
}

// setUp prepares the host for a config.
func setUp(ctx context.Context, hv *libvirtHost, cfg config.Config, out io.Writer) error {
	done := map[string]bool{}
	needsDemo := false
	for _, group := range host.WithNetworks(cfg.Groups, hv.uri) {
		needsDemo = needsDemo || group.Template == host.DemoTemplate
		if done[group.Network] {
			continue
		}
		done[group.Network] = true
		did, err := host.EnsureNetwork(hv.conn, group.Network, hv.choice.URI)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "network %s: %s\n", group.Network, did)
	}
	for _, pool := range slices.Compact([]string{cfg.Pool, cfg.Disks()}) {
		did, err := host.EnsurePool(hv.conn, pool, hv.uri)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "storage pool %s: %s\n", pool, did)
	}
	if !needsDemo {
		return nil
	}
	info, err := template.Lookup(hv.conn, cfg.Pool, host.DemoTemplate)
	switch {
	case err == nil && info.Complete:
		fmt.Fprintf(out, "template %s: %s\n", host.DemoTemplate, info.Path)
		return nil
	case err != nil && !errors.Is(err, template.ErrNotFound) && !errors.Is(err, template.ErrBroken):
		return err
	}
	return buildTemplate(ctx, hv, template.Target{Pool: cfg.Pool, Name: host.DemoTemplate, KeepFreeMiB: cfg.Host.PoolReserveMiB},
		demo.Config{Kernel: demo.KernelCloud}, out)
}
