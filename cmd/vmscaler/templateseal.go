package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
)

// templateSealCmd is the command template seal.
type templateSealCmd struct {
	g                  *globals
	name, volume, pool string
}

func templateSealCommand(g *globals) *cobra.Command {
	c := &templateSealCmd{g: g}
	cmd := &cobra.Command{
		Use:   "seal NAME [VOLUME]",
		Short: "Make a template of a volume, such as the disk of a VM that you installed",
		Long: long(`
Make a template of a volume of a storage pool, such as the disk of a VM that you installed with virt-install. libvirt copies it,
and what is below it where that is a template, into a read-only volume; the volume itself is not changed. No VM that has it may
run. It is checked as import checks a file. Without VOLUME it is the volume that is named like the template's own,
template-NAME.qcow2: that is checked and becomes read-only in its place.

Nothing that must be unique may be in it: empty /etc/machine-id, remove SSH host keys;
` + "`vmscaler template check`" + ` looks.`),
		Example: "  vmscaler template seal web golden.qcow2\n  vmscaler template seal web vm1.qcow2 --pool default",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usageError{fmt.Errorf("want `vmscaler template seal NAME [VOLUME]`, found %q", args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.validate(args); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	cmd.Flags().StringVar(&c.pool, "pool", "", "the storage pool that VOLUME is in; \"\": that of the templates")
	return cmd
}

func (c *templateSealCmd) validate(args []string) error {
	c.name = args[0]
	if len(args) == 2 {
		c.volume = args[1]
	}
	if c.volume == "" && c.pool != "" {
		return usageError{fmt.Errorf("--pool: want VOLUME, too")}
	}
	if c.volume == "" {
		return checkTemplate(c.name)
	}
	return checkNewTemplate(c.name)
}

func (c *templateSealCmd) run(cmd *cobra.Command) error {
	return c.g.withPool(cmd, func(hv *libvirtHost, to template.Target) error {
		out := cmd.OutOrStdout()
		var err error
		if c.name, err = template.NewName(hv.conn, to.Pool, c.name); err != nil {
			return err
		}
		to.Name = c.name
		from := template.Volume{Pool: to.Pool, Name: template.VolumeName(c.name)}
		if c.volume != "" {
			from.Name = c.volume
		}
		if c.pool != "" {
			from.Pool = c.pool
		}
		say := func(step string) { fmt.Fprintf(out, "template %s: %s\n", c.name, step) }
		info, err := template.Seal(cmd.Context(), hv.conn, to, from, "", say)
		if err != nil {
			return err
		}
		if info.Firmware == template.FirmwareUnknown {
			say("its content was not looked at, as its file cannot be read here")
		}
		say("is there; use it with \"template: " + c.name + "\"")
		return nil
	})
}
