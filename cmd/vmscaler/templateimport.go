package main

import (
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// templateImportCmd is the command template import.
type templateImportCmd struct {
	g          *globals
	name, file string

	sha256, sha512 string
}

func templateImportCommand(g *globals) *cobra.Command {
	c := &templateImportCmd{g: g}
	cmd := &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Make a template from any bootable disk image",
		Long: long(`
Make a template from a disk image that a BIOS or UEFI starts: an installed system, a cloud image. It may be qcow2, raw, VMDK, VDI,
VHD or VHDX, and packed by gzip, xz or zstd. The file is copied and not changed. It is refused if qemu-img finds it damaged, if it
needs other files, or if the pool (or $TMPDIR, for what is converted or unpacked) has no room for it. What is in its file systems
is not looked at: nothing that must be unique, such as a machine id, may be baked in. For "ready_when: agent" the guest needs
qemu-guest-agent; otherwise use lease or uptime.`),
		Example: "  vmscaler template import alpine alpine.qcow2\n" +
			"  vmscaler template import web disk.vmdk.xz --sha256 5b3c...",
		Args: exactArgs(2),
		RunE: checked(c.validate, c.run),
	}
	cmd.Flags().StringVar(&c.sha256, "sha256", "", "the SHA-256 that the file must have, in hexadecimal digits")
	cmd.Flags().StringVar(&c.sha512, "sha512", "", "the SHA-512 that the file must have")
	return cmd
}

func (c *templateImportCmd) validate(args []string) error {
	c.name, c.file = args[0], args[1]
	for _, d := range []struct {
		flag, value string
		digits      int
	}{{"--sha256", c.sha256, 64}, {"--sha512", c.sha512, 128}} {
		if _, err := hex.DecodeString(d.value); d.value != "" && (err != nil || len(d.value) != d.digits) {
			return usageError{fmt.Errorf("%s: found %q, want %d hexadecimal digits", d.flag, d.value, d.digits)}
		}
	}
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
		info, err := template.Import(cmd.Context(), hv.conn, to, template.Image{
			File: c.file, SHA256: c.sha256, SHA512: c.sha512,
		}, template.Report{
			Step: say, Progress: newBars(out).show,
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
