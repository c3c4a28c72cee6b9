package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/shell"
)

// stageCmd is the command of one stage.
type stageCmd struct {
	g     *globals
	bus   busFlags
	stage string
	otlp  otlpFlag
}

// stageCommand runs one stage as a process of its own.
func stageCommand(g *globals, stage string) *cobra.Command {
	c := &stageCmd{g: g, stage: stage}
	long := map[string]string{
		app.StageCollector: "Read the VMs' CPU from libvirt and publish it. One runs on each host.",
		app.StageDecider:   "Decide from the samples how many VMs each group is to have. It needs no libvirt.",
		app.StageActuator:  "Clone and remove VMs as decided. One runs on each host; a lock keeps a second one away.",
	}[stage]
	cmd := &cobra.Command{
		Use:   stage,
		Short: "Run the " + stage + " alone, on a bus of another process",
		Long: long + `

It joins the bus that --nats-url names, or else the one of this machine. It may be started before the bus, waits for it
and for libvirt, and goes on by itself when they come back. All stages must read the same groups.`,
		Example: "  vmscaler " + stage + "\n  vmscaler " + stage +
			" --nats-url tls://kvm1:4222 --nats-ca bus.crt --nats-nkey " + stage + ".nk",
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.add(cmd, "bus-listen")
	if stage != app.StageCollector { // which has no part in what is traced
		c.otlp.add(cmd)
	}
	return cmd
}

func (c *stageCmd) run(cmd *cobra.Command) error {
	traces := ""
	if cmd.Flags().Lookup("otlp") != nil {
		var err error
		if traces, err = c.otlp.target(); err != nil {
			return err
		}
	}
	cfg, err := c.g.busConfig(cmd, c.bus)
	if err != nil {
		return err
	}
	return c.g.run(cmd.Context(), cfg, runOptions{
		command: "vmscaler " + c.stage, stages: []string{c.stage}, read: c.g.reader(c.bus, nil), otlp: traces,
	})
}

// busCmd is the command bus.
type busCmd struct {
	g   *globals
	bus busFlags
}

func busCommand(g *globals) *cobra.Command {
	c := &busCmd{g: g}
	cmd := &cobra.Command{
		Use:   "bus",
		Short: "Run the embedded NATS server alone",
		Long: `Run the embedded NATS server alone, for stages that run as processes of their own. It keeps the history of events and
the credentials of the roles in its state folder.`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.add(cmd, "nats-url", "nats-nkey", "nats-creds", "nats-ca")
	cmd.AddCommand(credentialsCommand(g), certificateCommand(g))
	return cmd
}

// validate refuses a config that names a server to join: then there is none to embed.
func (c *busCmd) validate(cfg config.Config) error {
	if cfg.BusURL != "" {
		return usageError{fmt.Errorf("bus.url (%s) names a server to join: then none is embedded; leave it out, or run that server",
			cfg.BusURL)}
	}
	return nil
}

func (c *busCmd) run(cmd *cobra.Command) error {
	cfg, err := c.g.busConfig(cmd, c.bus)
	if err != nil {
		return err
	}
	if err := c.validate(cfg); err != nil {
		return err
	}
	return c.g.run(cmd.Context(), cfg, runOptions{
		command: "vmscaler bus", stages: []string{app.StageBus}, read: c.g.reader(c.bus, nil),
	})
}

// shellWords are words as a shell takes them.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shell.Quote(w)
	}
	return strings.Join(quoted, " ")
}

// credentialsCmd is the command bus credentials.
type credentialsCmd struct {
	g    *globals
	bus  busFlags
	role bus.Role
	// groups are those that the credentials are limited to; none is not limited.
	groups []string
}

func credentialsCommand(g *globals) *cobra.Command {
	c := &credentialsCmd{g: g}
	cmd := &cobra.Command{
		Use:   "credentials ROLE",
		Short: "Say where the credentials of a role are, and how to use them",
		Long: "Say where the credentials of a role are, and how to use them. The roles: " + strings.Join(roleNames(), ", ") +
			".\n\nWith --groups they are limited to these: whoever has them sees what the role sees, and can\n" +
			"change these groups and their VMs, but no others, no hosts and no config. They are made where they are\n" +
			"missing, hold at once, and no more once the file is gone.",
		Example: "  vmscaler bus credentials operator\n  vmscaler bus credentials operator --groups web,db\n" +
			"  vmscaler bus credentials tap --state-dir /srv/vms",
		Args: exactArgs(1),
		RunE: checked(c.validate, c.run),
	}
	c.bus.add(cmd, "nats-url", "nats-nkey", "nats-creds", "nats-ca")
	cmd.Flags().StringSliceVar(&c.groups, "groups", nil, "limit them to these groups: operator, metric, wake or monitor")
	return cmd
}

func roleNames() []string {
	names := make([]string, 0, len(bus.Roles()))
	for _, r := range bus.Roles() {
		names = append(names, string(r))
	}
	return names
}

func (c *credentialsCmd) validate(args []string) error {
	if names := roleNames(); !slices.Contains(names, args[0]) {
		return usageError{
			fmt.Errorf("role: found %q, want one of %s%s", args[0], strings.Join(names, ", "), nearest.Hint(args[0], names)),
		}
	}
	c.role = bus.Role(args[0])
	if len(c.groups) == 0 {
		return nil
	}
	if _, err := c.role.PermissionsFor(c.groups); err != nil {
		return usageError{fmt.Errorf("--groups: %w", err)}
	}
	return nil
}

func (c *credentialsCmd) run(cmd *cobra.Command) error {
	r, err := c.g.find(cmd, c.bus)
	var none *notRunningError
	if errors.As(err, &none) { // its files outlive it
		r.target, err = none.target, nil
	}
	if err != nil {
		return err
	}
	file := server.CredentialsFile(r.stateDir, c.role)
	if len(c.groups) > 0 {
		if file, _, err = server.MakeLimitedCredentials(r.stateDir, c.role, c.groups); err != nil {
			return fmt.Errorf("credentials of %s for %s: %w", c.role, strings.Join(c.groups, ", "), err)
		}
	}
	if err := readable(file); err != nil {
		return fmt.Errorf("credentials of %s: %w (the bus makes them at its first start, for its own user; --state-dir names its "+
			"folder)", c.role, err)
	}
	h, _ := server.FindState(r.stateDir)
	c.print(cmd.OutOrStdout(), file, r.url, h.Cert)
	return nil
}

// print prints where the credentials are, and how they are used at a URL; cert is the server's certificate, "" is none.
func (c *credentialsCmd) print(out io.Writer, file, url, cert string) {
	ca, natsCA := "", ""
	if cert != "" {
		ca, natsCA = " --nats-ca "+cert, " --tlsca "+cert
	}
	fmt.Fprintf(out, "%s\n\n", file)
	if c.role != bus.RoleTap {
		found := map[bool]string{true: " (on this machine and as this user it finds them by itself)"}[len(c.groups) == 0]
		fmt.Fprintf(out, "with vmscaler%s:\n  vmscaler %s --nats-url %s%s --nats-nkey %s\n", found, usedBy(c.role), url, ca, file)
	}
	fmt.Fprintf(out, "with nats:\n  nats context save vmscaler-%s --server %s%s --nkey %s --inbox-prefix %s\n"+
		"  nats --context vmscaler-%s %s\n",
		c.role, url, natsCA, file, c.role.InboxPrefix(), c.role, shellWords(c.role.Trial()))
}

// usedBy is the command that has a role.
func usedBy(role bus.Role) string {
	switch role { //nolint:exhaustive // the others are commands of their names
	case bus.RoleOperator:
		return "events"
	case bus.RoleMetric:
		return "metric GROUP NAME VALUE"
	case bus.RoleWake:
		return "wake GROUP"
	case bus.RoleMonitor:
		return "unhealthy VM"
	}
	return string(role)
}
