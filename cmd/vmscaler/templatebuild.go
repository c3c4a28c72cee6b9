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
}

func templateBuildCommand(g *globals) *cobra.Command {
	c := &templateBuildCmd{g: g}
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the small demo template from the distribution's packages",
		Long: `Build a small bootable template (kernel, busybox, guest agent, stress-ng) from the distribution's packages, without
root, and upload it to the storage pool.`,
		Example: "  vmscaler template build\n  vmscaler template build --name demo-2",
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
		return buildTemplate(cmd.Context(), hv, to, c.kernel, cmd.OutOrStdout())
	})
}

// buildTemplate builds and uploads a template; one that is there already is an error.
func buildTemplate(ctx context.Context, hv *libvirtHost, to template.Target, kernel string, out io.Writer) error {
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
	file, err := demo.Build(ctx, demo.Config{
		Output: filepath.Join(dir, "template.qcow2"), Kernel: kernel,
		Progress: func(step string) { say("%s", step) },
	})
	if err != nil {
		return err
	}
	bars := newBars(out)
	_, err = template.Import(ctx, hv.conn, to, template.Image{File: file, Source: "vmscaler template build, kernel " + kernel},
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
