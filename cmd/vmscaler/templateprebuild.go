package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/seed"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/trial"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// templatePrebuildCmd is the command template prebuild.
type templatePrebuildCmd struct {
	g                    *globals
	name, from, userData string
	disk                 string
	within               time.Duration
	diskMiB              int    // 0: as large as the template's that is begun with
	text                 string // of userData
}

func templatePrebuildCommand(g *globals) *cobra.Command {
	c := &templatePrebuildCmd{g: g}
	cmd := &cobra.Command{
		Use:   "prebuild NAME --from TEMPLATE --user-data FILE",
		Short: "Boot a template once with user data for cloud-init, and make a new template of the result",
		Long: long(`
Boot a clone of a template once with user data for cloud-init, such as packages to install, wait until cloud-init has finished,
take out what must be unique (cloud-init's state, the machine id, SSH host keys) and each user's authorized_keys, shut it down,
and make a new template of its disk. VMs of that start with everything in place. The clone has the vCPUs, memory, network and
hardware of the first group of the config that has the template, or else of the defaults, and nothing of that group's
cloud_init, tags and disk sizes; it is removed, also after Ctrl-C. The template needs cloud-init, and a guest agent that may
run programs.`),
		Example: "  vmscaler template prebuild web-2 --from debian-12 --user-data web.yaml",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.name = args[0]
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	cmd.Flags().StringVar(&c.from, "from", "", "the template to begin with")
	cmd.Flags().StringVar(&c.userData, "user-data", "",
		"a file with user data for cloud-init, a template as in a group's cloud_init")
	cmd.Flags().StringVar(&c.disk, "disk", "", "the size of the new template's disk, such as 8GiB; \"\": that of TEMPLATE")
	cmd.Flags().DurationVar(&c.within, "within", 30*time.Minute, "how long cloud-init may take")
	return cmd
}

// mostUserData is how long user data may be, in bytes.
const mostUserData = 64 << 10

func (c *templatePrebuildCmd) validate() error {
	if err := checkNewTemplate(c.name); err != nil {
		return err
	}
	switch {
	case c.userData == "":
		return usageError{errors.New("--user-data: found nothing, want a file")}
	case c.within < time.Second || c.within > 24*time.Hour:
		return usageError{fmt.Errorf("--within: found %s, want 1s to 24h", c.within)}
	}
	if err := template.CheckName(c.from); err != nil {
		return usageError{fmt.Errorf("--from: %w", err)}
	}
	var err error
	if c.disk != "" {
		if c.diskMiB, err = parseMiB(c.disk, 64); err != nil {
			return usageError{fmt.Errorf("--disk: %w", err)}
		}
	}
	text, err := readSmall(c.userData, mostUserData)
	if err != nil {
		return fmt.Errorf("--user-data: %w", err)
	}
	c.text = string(text)
	if problems := seed.Check(bus.CloudInit{UserData: bus.Text{Text: c.text, File: c.userData}}, "prebuild"); len(problems) > 0 {
		return fmt.Errorf("--user-data: %s: %s", c.userData, problems[0])
	}
	return nil
}

// spec is a machine with what the user data says, and a disk of the wanted size.
func (c *templatePrebuildCmd) spec(machine bus.Group) bus.Group {
	machine.CloudInit = bus.CloudInit{UserData: bus.Text{Text: c.text, File: c.userData}}
	machine.DiskMiB = c.diskMiB
	return machine
}

func (c *templatePrebuildCmd) run(cmd *cobra.Command) error {
	return c.g.withConfig(cmd, func(hv *libvirtHost, cfg config.Config) error {
		ctx, out := cmd.Context(), cmd.OutOrStdout()
		from, err := template.Lookup(hv.conn, cfg.Pool, c.from)
		if err != nil {
			return err
		}
		if c.name, err = template.NewName(hv.conn, cfg.Pool, c.name); err != nil {
			return err
		}
		if c.diskMiB > 0 && uint64(c.diskMiB)<<20 < from.Capacity {
			return usageError{fmt.Errorf("--disk: found %s, want at least the %s of template %s",
				c.disk, bytesText(from.Capacity), from.Name)}
		}
		m, err := manager(hv, cfg)
		if err != nil {
			return err
		}
		lock, err := beginTrial(ctx, hv, cfg, "vmscaler template prebuild", cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		defer lock.Release()
		spec := c.spec(trialSpec(cfg, from, hv.uri))
		info, err := trial.Prebuild{
			Manager: m, Spec: spec, To: template.Target{Pool: cfg.Pool, Name: c.name, KeepFreeMiB: cfg.Host.PoolReserveMiB},
			Within: c.within, Source: "template " + from.Name + " with " + filepath.Base(c.userData), Step: stepper(out),
		}.Run(ctx)
		if err != nil {
			return fmt.Errorf("prebuild template %s: %w", c.name, err)
		}
		fmt.Fprintf(out, "template %s is there, a disk of %s; use it with \"template: %s\", and see `vmscaler template check %s`\n",
			c.name, bytesText(info.Capacity), c.name, c.name)
		return nil
	})
}
