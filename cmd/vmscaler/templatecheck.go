package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/trial"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// templateCheckCmd is the command template check.
type templateCheckCmd struct {
	g           *globals
	name, group string // group: whose VMs the clones are made as; "": the template is looked at for itself
	output      printer.Output
	bootTimeout time.Duration // 0: the group's
}

func templateCheckCommand(g *globals) *cobra.Command {
	c := &templateCheckCmd{g: g}
	cmd := &cobra.Command{
		Use:   "check NAME",
		Short: "Boot two throw-away clones of a template, and say what is wrong with it",
		Long: long(`
Boot two throw-away clones of a template at once, look at them, and remove them, also after Ctrl-C. It says whether they boot,
what they write on the serial console, whether the guest agent answers, for how long they boot, their CPU at rest, their
addresses, whether the power button shuts them down, whether each has a host name, a machine id and SSH host keys of its own,
and which login keys they carry; and of each problem how to fix it. What the guest does not report is unknown.

They have the vCPUs, memory, network and hardware of the first group of the config that has the template, or else of the
defaults, and nothing of that group's cloud_init, tags and disks: it is the template that is looked at. With --group they are
made as VMs of that group, with all of these, to see what VMs of it will be, also before the group has the template. Its hooks,
checks and forwarded ports are left out in any case.

The exit code is 1 if a line says fail.`),
		Example: "  vmscaler template check web\n  vmscaler template check web-2 --group web -o json",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.name = args[0]
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	c.output.Add(cmd.Flags(), printer.Values())
	cmd.Flags().StringVar(&c.group, "group", "",
		"a group of the config, whose VMs the clones are made as (default: as said above)")
	cmd.Flags().DurationVar(&c.bootTimeout, "boot-timeout", 0, "how long a clone may take to boot; 0: as long as a VM of the group")
	return cmd
}

func (c *templateCheckCmd) validate() error {
	if c.bootTimeout != 0 && (c.bootTimeout < time.Second || c.bootTimeout > time.Hour) {
		return usageError{fmt.Errorf("--boot-timeout: found %s, want 1s to 1h", c.bootTimeout)}
	}
	if c.group != "" {
		if err := bus.CheckGroupName(c.group); err != nil {
			return usageError{fmt.Errorf("--group: %w", err)}
		}
	}
	return checkTemplate(c.name)
}

func (c *templateCheckCmd) run(cmd *cobra.Command) error {
	return c.g.withConfig(cmd, func(hv *libvirtHost, cfg config.Config) error {
		ctx, out, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
		info, err := template.Lookup(hv.conn, cfg.Pool, c.name)
		if err != nil {
			return err
		}
		spec := trialSpec(cfg, info, hv.uri)
		if c.group != "" {
			if spec, err = groupTrialSpec(cfg, c.group, info, hv.uri); err != nil {
				return err
			}
		}
		m, err := manager(hv, cfg)
		if err != nil {
			return err
		}
		lock, err := beginTrial(ctx, hv, cfg, "vmscaler template check", stderr)
		if err != nil {
			return err
		}
		defer lock.Release()
		if c.bootTimeout > 0 {
			spec.BootTimeout = c.bootTimeout
		}
		facts, err := trial.Check(ctx, m, spec, stepper(stderr))
		if err != nil {
			return fmt.Errorf("check template %s: %w", c.name, err)
		}
		lines := trial.Judge(facts, spec)
		if err := c.print(out, lines); err != nil {
			return err
		}
		if trial.Failed(lines) {
			return fmt.Errorf("template %s: VMs of it will not work", c.name)
		}
		return nil
	})
}

func (c *templateCheckCmd) print(out io.Writer, lines []trial.Line) error {
	if !c.output.ForPeople() {
		return printer.Value(out, &c.output, lines)
	}
	for _, l := range lines {
		fmt.Fprintf(out, "%-7s  %-10s  %s\n", l.Level, l.What, bus.Line(l.Text))
		if l.Remedy != "" {
			fmt.Fprintf(out, "%20s %s\n", "->", bus.Line(l.Remedy))
		}
	}
	return nil
}
