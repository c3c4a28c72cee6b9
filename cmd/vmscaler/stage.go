package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// stageCommand runs one stage as a process of its own.
func stageCommand(g *globals, stage string) *cobra.Command {
	var busF busFlags
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
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.busConfig(cmd, busF)
			if err != nil {
				return err
			}
			return g.run(cmd.Context(), cfg, runOptions{command: "vmscaler " + stage, stages: []string{stage}})
		},
	}
	busF.add(cmd, "bus-listen")
	return cmd
}

func busCommand(g *globals) *cobra.Command {
	var busF busFlags
	cmd := &cobra.Command{
		Use:   "bus",
		Short: "Run the embedded NATS server alone",
		Long: `Run the embedded NATS server alone, for stages that run as processes of their own. It keeps the history of events and
the credentials of the roles in its state folder.`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.busConfig(cmd, busF)
			if err != nil {
				return err
			}
			if cfg.BusURL != "" {
				return usageError{fmt.Errorf("bus.url (%s) names a server to join: then none is embedded; leave it out, or run that server",
					cfg.BusURL)}
			}
			return g.run(cmd.Context(), cfg, runOptions{command: "vmscaler bus", stages: []string{app.StageBus}})
		},
	}
	busF.add(cmd, "nats-url", "nats-nkey", "nats-creds", "nats-ca")
	cmd.AddCommand(credentialsCommand(g))
	return cmd
}

// shellWords are words as a shell takes them.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		if quoted[i] = w; strings.ContainsAny(w, "*>$ ") {
			quoted[i] = "'" + w + "'"
		}
	}
	return strings.Join(quoted, " ")
}

func credentialsCommand(g *globals) *cobra.Command {
	var busF busFlags
	names := make([]string, 0, len(bus.Roles()))
	for _, r := range bus.Roles() {
		names = append(names, string(r))
	}
	cmd := &cobra.Command{
		Use:   "credentials ROLE",
		Short: "Say where the credentials of a role are, and how to use them",
		Long:  "Say where the credentials of a role are, and how to use them. The roles: " + strings.Join(names, ", ") + ".",
		Args:  exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(names, args[0]) {
				return usageError{fmt.Errorf("role: found %q, want one of %s%s",
					args[0], strings.Join(names, ", "), nearest.Hint(args[0], names))}
			}
			r, err := g.find(cmd, busF)
			var none *notRunningError
			if errors.As(err, &none) { // its files outlive it
				r.target, err = none.target, nil
			}
			if err != nil {
				return err
			}
			role := bus.Role(args[0])
			file := server.CredentialsFile(r.stateDir, role)
			if err := readable(file); err != nil {
				return fmt.Errorf("credentials of %s: %w (the bus makes them at its first start, for its own user; --state-dir names its "+
					"folder)", role, err)
			}
			url, ca, natsCA := r.url, "", ""
			if h, _ := server.FindState(r.stateDir); h.Cert != "" {
				ca, natsCA = " --nats-ca "+h.Cert, " --tlsca "+h.Cert
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "%s\n\n", file)
			if role != bus.RoleTap {
				use := string(role)
				switch role { //nolint:exhaustive // the others are commands of their names
				case bus.RoleOperator:
					use = "events"
				case bus.RoleMetric:
					use = "metric GROUP NAME VALUE"
				case bus.RoleWake:
					use = "wake GROUP"
				case bus.RoleMonitor:
					use = "unhealthy VM"
				}
				fmt.Fprintf(out, "with vmscaler (on this machine and as this user it finds them by itself):\n"+
					"  vmscaler %s --nats-url %s%s --nats-nkey %s\n", use, url, ca, file)
			}
			fmt.Fprintf(out, "with nats:\n  nats context save vmscaler-%s --server %s%s --nkey %s --inbox-prefix %s\n"+
				"  nats --context vmscaler-%s %s\n",
				role, url, natsCA, file, role.InboxPrefix(), role, shellWords(role.Trial()))
			return nil
		},
	}
	busF.add(cmd, "nats-url", "nats-nkey", "nats-creds", "nats-ca")
	return cmd
}
