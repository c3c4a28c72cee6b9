package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/demo"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// templateBuildCmd is the command template build.
type templateBuildCmd struct {
	g            *globals
	name, kernel string
	cache        string
}

func templateBuildCommand(g *globals) *cobra.Command {
	c := &templateBuildCmd{g: g}
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the small demo template from the distribution's packages",
		Long: `Build a small bootable template (kernel, busybox, guest agent, stress-ng) from the distribution's packages, without
root, and upload it to the storage pool. With --cache a later build needs no network, while the package lists are the same.`,
		Example: "  vmscaler template build\n  vmscaler template build --name demo-2 --cache ~/.cache/vmscaler/packages",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	cmd.Flags().StringVar(&c.name, "name", host.DemoTemplate, "the template's name")
	cmd.Flags().StringVar(&c.kernel, "kernel", demo.KernelCloud, "cloud, generic, or a linux-image package")
	cmd.Flags().StringVar(&c.cache, "cache", "", "folder that keeps the downloaded packages for the next build (nothing is kept)")
	return cmd
}

func (c *templateBuildCmd) validate() error {
	if err := template.CheckName(c.name); err != nil {
		return usageError{fmt.Errorf("--name: %w", err)}
	}
	return nil
}

func (c *templateBuildCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		if _, err := host.EnsurePool(hv.conn, to.Pool, hv.uri); err != nil {
			return err
		}
		to.Name = c.name
		return buildTemplate(cmd.Context(), hv, to, demo.Config{Kernel: c.kernel, CacheDir: c.cache}, cmd.OutOrStdout())
	})
}

// buildTemplate builds and uploads a template; one that is there already is an error.
func buildTemplate(ctx context.Context, hv *libvirtHost, to template.Target, cfg demo.Config, out io.Writer) error {
	// Upload refuses it too, but only after the work.
	switch info, err := template.Lookup(hv.conn, to.Pool, to.Name); {
	case err == nil && info.Complete:
		return fmt.Errorf("template %q: %w", to.Name, template.ErrExists)
	case err != nil && !errors.Is(err, template.ErrNotFound) && !errors.Is(err, template.ErrBroken):
		return err
	}
	dir, err := os.MkdirTemp("", "vmscaler-template-")
	if err != nil {
		return fmt.Errorf("build template: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Fprintf(out, "template %s: %4.1f s  %s\n", to.Name, time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	cfg.Output, cfg.Progress = filepath.Join(dir, "template.qcow2"), func(step string) { say("%s", step) }
	file, err := demo.Build(ctx, cfg)
	if err != nil {
		return err
	}
	bars := newBars(out)
	_, err = template.Import(ctx, hv.conn, to, template.Image{File: file, Source: "vmscaler template build, kernel " + cfg.Kernel},
		template.Report{
			Step:     func(step string) { bars.end(); say("%s", step) },
			Progress: bars.show,
			Warn:     func(what string) { bars.end(); say("warning: %s", what) },
		})
	bars.end()
	if err != nil {
		return err
	}
	say("done")
	return nil
}
