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
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/demo"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

func templateCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "template",
		Short: "Build, import and list templates, the disks that VMs are cloned from",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(templateBuildCommand(g), templateImportCommand(g), templateListCommand(g))
	return cmd
}

// withPool reaches libvirt and calls do with what the config says of the pool.
func (g *globals) withPool(cmd *cobra.Command, do func(hv *libvirtHost, to template.Target) error) error {
	cfg, err := g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	hv, err := g.reach(cmd.Context(), cfg.LibvirtURI, cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	defer hv.close()
	return do(hv, template.Target{Pool: cfg.Pool, KeepFreeMiB: cfg.Host.PoolReserveMiB})
}

func templateBuildCommand(g *globals) *cobra.Command {
	var kernel, name string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the small demo template from the distribution's packages",
		Long: `Build a small bootable template (kernel, busybox, guest agent, stress-ng) from the distribution's packages, without
root, and upload it to the storage pool.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := template.CheckName(name); err != nil {
				return usageError{fmt.Errorf("--name: %w", err)}
			}
			return g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
				if _, err := host.EnsurePool(hv.conn, to.Pool, hv.uri); err != nil {
					return err
				}
				to.Name = name
				return buildTemplate(cmd.Context(), hv, to, kernel, cmd.OutOrStdout())
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", host.DemoTemplate, "the template's name")
	cmd.Flags().StringVar(&kernel, "kernel", demo.KernelCloud, "cloud, generic, or a linux-image package")
	return cmd
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
	if err := template.Upload(ctx, hv.conn, to, file, progress(out, "uploading")); err != nil {
		return err
	}
	say("done")
	return nil
}

func templateImportCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Make a template from any bootable qcow2 or raw disk image",
		Long: long(`
Make a template from any qcow2 or raw disk image that a BIOS starts: an installed system, a cloud image. The file is copied
and not changed. It is refused if qemu-img finds it damaged, if it needs other files, if it boots by UEFI only, or if the pool
(for a raw image also $TMPDIR) has no room for it. What is in its file systems is not looked at: nothing that must be unique, such
as a machine id, may be baked in. For "ready_when: agent" the guest needs qemu-guest-agent; otherwise use lease or uptime.`),
		Example: "  vmscaler template import alpine alpine.qcow2",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := template.CheckName(args[0]); err != nil {
				return usageError{fmt.Errorf("NAME: %w", err)}
			}
			return g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
				if _, err := host.EnsurePool(hv.conn, to.Pool, hv.uri); err != nil {
					return err
				}
				to.Name = args[0]
				out := cmd.OutOrStdout()
				say := func(step string) { fmt.Fprintf(out, "template %s: %s\n", to.Name, step) }
				if err := template.Import(cmd.Context(), hv.conn, to, args[1], say, progress(out, "uploading")); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "template %s is there; use it with \"template: %s\"\n", args[0], args[0])
				return nil
			})
		},
	}
}

func templateListCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the templates of the storage pool",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
				infos, err := template.List(hv.conn, to.Pool)
				if err != nil {
					return err
				}
				for _, i := range infos {
					if i.Broken != nil {
						fmt.Fprintf(cmd.OutOrStdout(), "%-20s broken: %s; %s\n", i.Name, i.Broken, i.Remedy)
						continue
					}
					fmt.Fprintf(cmd.OutOrStdout(), "%-20s %6d MiB disk %6d MiB used  %s\n", i.Name, i.Capacity>>20, i.Allocation>>20, i.Path)
				}
				return nil
			})
		},
	}
}

// progress shows how far a transfer is: on a terminal as it goes, else only its end.
func progress(out io.Writer, what string) func(done, total int64) {
	f, ok := bare(out).(*os.File)
	live := ok && term.IsTerminal(int(f.Fd()))
	last := int64(-1)
	return func(done, total int64) {
		if total <= 0 {
			return
		}
		switch percent := 100 * done / total; {
		case live && percent != last:
			last = percent
			fmt.Fprintf(f, "\r%s %3d %% of %d MiB", what, percent, total>>20)
			if done == total {
				fmt.Fprintln(out)
			}
		case !live && done == total && last != 100:
			last = 100
			fmt.Fprintf(out, "%s %d MiB\n", what, total>>20)
		}
	}
}
