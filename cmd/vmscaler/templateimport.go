package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// templateImportCmd is the command template import.
type templateImportCmd struct {
	g          *globals
	name, file string
}

func templateImportCommand(g *globals) *cobra.Command {
	c := &templateImportCmd{g: g}
	return &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Make a template from any bootable qcow2 or raw disk image",
		Long: long(`
Make a template from any qcow2 or raw disk image that a BIOS or UEFI starts: an installed system, a cloud image. The file is
copied and not changed. It is refused if qemu-img finds it damaged, if it needs other files, or if the pool (for a raw image
also $TMPDIR) has no room for it. What is in its file systems is not looked at: nothing that must be unique, such as a machine
id, may be baked in. For "ready_when: agent" the guest needs qemu-guest-agent; otherwise use lease or uptime.`),
		Example: "  vmscaler template import alpine alpine.qcow2",
		Args:    exactArgs(2),
		RunE:    checked(c.validate, c.run),
	}
}

func (c *templateImportCmd) validate(args []string) error {
	c.name, c.file = args[0], args[1]
	return checkTemplate(c.name)
}

func (c *templateImportCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		if _, err := host.EnsurePool(hv.conn, to.Pool, hv.uri); err != nil {
			return err
		}
		to.Name = c.name
		out := cmd.OutOrStdout()
		say := func(step string) { fmt.Fprintf(out, "template %s: %s\n", to.Name, step) }
		info, err := template.Import(cmd.Context(), hv.conn, to, template.Image{File: c.file}, template.Report{
			Step: say, Progress: progress(out, "uploading"),
		})
		if err != nil {
			return err
		}
		if unfit := info.Firmware.Unfit(false); unfit != "" {
			fmt.Fprintf(out, "template %s %s\n", c.name, unfit)
		}
		fmt.Fprintf(out, "template %s is there; use it with \"template: %s\"\n", c.name, c.name)
		return nil
	})
}
