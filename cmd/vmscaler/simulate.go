package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/decider/simulate"
)

// maxPoints is how many points of a run are kept at most.
const maxPoints = 100_000

func simulateCommand(g *globals) *cobra.Command {
	var busF busFlags
	var history string
	since := newSince("7d")
	var points time.Duration
	plan := simulate.Plan{World: simulate.Reference()}
	var path, html, output, chosen string
	var compare []string
	var boots []time.Duration
	var each bool
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Try policies on a recorded demand, before they are trusted with VMs",
		Long: `Try policies on a recorded demand: the decider's own code, against a simulated group on virtual time, beside what other
autoscalers are documented to do. Nothing is contacted and no VM is touched.

A trace is a CSV file with the columns t_seconds and demand_vcpus on a fixed step; a VM has one vCPU. It has at most a
million rows, a year and 64 MiB, the files of a folder together too. Without --trace five generated days are used. The policies are: ` + strings.Join(simulate.Policies(), ", ") + `.

In the table, lower is better: theta_u and theta_o are the mean shares of VMs that were missing or too many, tau_u and
tau_o the shares of the time with too few or too many, lost the share of the demand above what the ready VMs could do,
VMh/need the VM-hours for each that was needed, act/h creations and removals an hour, and cost the VM-hours with 10
for each lost vCPU-hour and 1 for each above 90 % CPU, for each VM-hour of one that knows the future (oracle).`,
		Example: "  vmscaler simulate\n  vmscaler simulate --trace load.csv --policy predictive:safe --compare threshold,hpa\n" +
			"  vmscaler simulate --trace traces/ --boot 2s,30s,90s --seeds 3 --html report.html",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("want `vmscaler simulate` with flags only, found %q", args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan.Policies = []string{chosen}
			for _, name := range compare {
				if name == "all" {
					compare = simulate.Baselines()
				}
			}
			for _, name := range compare {
				if !slices.Contains(plan.Policies, name) {
					plan.Policies = append(plan.Policies, name)
				}
			}
			plan.Boots = boots
			switch err := simulate.CheckPolicies(plan.Policies); {
			case err != nil:
				return usageError{err}
			case output != "text" && output != "json":
				return usageError{fmt.Errorf("--output: found %q, want text or json", output)}
			case plan.Seeds < 1 || plan.Seeds > 100:
				return usageError{fmt.Errorf("--seeds: found %d, want 1 to 100", plan.Seeds)}
			case len(boots) == 0 || slices.Min(boots) < time.Second || slices.Max(boots) > time.Hour:
				return usageError{fmt.Errorf("--boot: found %v, want 1s to 1h", boots)}
			case plan.World.Min < 1 || plan.World.Max < plan.World.Min || plan.World.Max > 1000:
				return usageError{fmt.Errorf("--min and --max: found %d and %d, want 1 to 1000, min at most max", plan.World.Min, plan.World.Max)}
			}
			plan.Traces = simulate.Builtin()
			switch {
			case history != "" && path != "":
				return usageError{errors.New("--history and --trace: want one of them")}
			case history != "":
				if err := g.replay(cmd, busF, history, since.at, &plan); err != nil {
					return err
				}
				if !cmd.Flags().Changed("compare") {
					plan.Policies = []string{chosen, "own", "recorded"}
				}
			case path != "":
				var err error
				if plan.Traces, err = simulate.ReadTraces(path); err != nil {
					return err
				}
			}
			draw := output == "text" && len(plan.Traces) == 1 && term.IsTerminal(int(os.Stdout.Fd())) && dashboard.StyleFromEnv(os.Getenv).Color
			if html != "" || draw {
				plan.Keep = 60
				for _, t := range plan.Traces {
					plan.Keep = max(plan.Keep, int(t.Length()/time.Second)/maxPoints+1)
				}
			}
			if points > 0 {
				plan.Keep = int(max(points, time.Second) / time.Second)
			}
			for _, t := range plan.Traces {
				if n := int(t.Length()/time.Second) / max(plan.Keep, 1); points > 0 && n > maxPoints {
					return usageError{fmt.Errorf("--points: found %s, which are %d points of %s, want at most %d", points, n, t.Name, maxPoints)}
				}
			}
			results, err := simulate.Compare(cmd.Context(), plan)
			if err != nil {
				return err
			}
			if html != "" {
				if err := writeReport(html, plan, results); err != nil {
					return err
				}
			}
			if output == "json" {
				for i := range results {
					if points == 0 {
						results[i].Points = nil
					}
				}
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"results": results, "mean": simulate.Overall(plan, results)})
			}
			if draw {
				fmt.Fprintln(bare(cmd.OutOrStdout()), simulate.Plot(results[0]))
			}
			return printResults(cmd, plan, results, each)
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "trace", "", "a trace, or a folder of traces (*.csv)")
	f.StringVar(&history, "history", "", "a group, to replay what was asked of it; min, max and boot time are its own then, and policies to compare with also own, that of its config, and recorded, what it did")
	f.Var(since, "since", "from when to replay: a time, or how long ago; with --history")
	busF.add(cmd, "bus-listen")
	f.StringVar(&chosen, "policy", "predictive", "the policy to try")
	f.StringSliceVar(&compare, "compare", []string{"threshold"}, "policies to compare with, or all")
	f.DurationSliceVar(&boots, "boot", []time.Duration{30 * time.Second}, "time from a VM's creation to ready; several give the mean")
	f.IntVar(&plan.Seeds, "seeds", 1, "runs with different noise in the CPU readings")
	f.IntVar(&plan.World.Min, "min", plan.World.Min, "VMs at least")
	f.IntVar(&plan.World.Max, "max", plan.World.Max, "VMs at most")
	f.BoolVar(&each, "each", false, "a table for each trace and boot time, too")
	f.StringVar(&html, "html", "", "write a page with demand and capacity over time to this file")
	f.DurationVar(&points, "points", 0, "with -o json: a point of each first run every so long, too")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

// replay makes a plan of a group's recorded past.
func (g *globals) replay(cmd *cobra.Command, busF busFlags, group string, since time.Time, plan *simulate.Plan) error {
	if err := bus.CheckGroupName(group); err != nil {
		return usageError{fmt.Errorf("--history: %w", err)}
	}
	if ago := time.Since(since); ago < time.Minute {
		return usageError{fmt.Errorf("--since: found %s ago, want at least 1m", ago.Round(time.Second))}
	}
	cfg, err := g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Groups, func(spec bus.Group) bool { return spec.Name == group })
	if i < 0 {
		return fmt.Errorf("--history: the config has no group %q", group)
	}
	plan.World.Own = &cfg.Groups[i]
	if !cmd.Flags().Changed("min") {
		plan.World.Min = cfg.Groups[i].Min
	}
	if !cmd.Flags().Changed("max") {
		plan.World.Max = cfg.Groups[i].Max
	}
	if plan.World.Min > plan.World.Max {
		return usageError{fmt.Errorf("--min and --max: found %d and %d, want min at most max", plan.World.Min, plan.World.Max)}
	}
	conn, err := g.joinAs(cmd, busF, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	var minutes []bus.Demand
	err = client.ReadDemand(cmd.Context(), conn, group, since, func(m bus.Demand) error {
		minutes = append(minutes, m)
		return nil
	})
	if errors.Is(err, client.ErrNoHistory) {
		return fmt.Errorf("%w: its NATS server has no JetStream, or no actuator has run on it yet", err)
	} else if err != nil {
		return err
	}
	trace, gaps, err := simulate.History(group, minutes)
	if err != nil {
		return err
	}
	plan.Traces = []simulate.Trace{trace}
	if !cmd.Flags().Changed("boot") {
		ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
		defer cancel()
		if d, err := client.Ask[bus.Decision](ctx, conn, bus.VerbExplain, bus.Query{Group: group}); err == nil && d.Inputs.BootMS >= 1000 {
			plan.Boots = []time.Duration{(time.Duration(d.Inputs.BootMS) * time.Millisecond).Round(time.Second)}
		}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s from %s, boot %s, min %d, max %d\n", group, trace.Length(), minutes[0].Time.Local().Format(time.DateTime), //nolint:gosmopolitan // for a person here
		plan.Boots[0], plan.World.Min, plan.World.Max)
	if gaps.Unknown > 0.01 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: nothing is known of %.0f %% of that time; the load before it stands there\n", group, 100*gaps.Unknown)
	}
	if gaps.Saturated > 0.01 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: in %.0f %% of that time its VMs were full, so that more may have been asked than this replays\n", group, 100*gaps.Saturated)
	}
	return nil
}

func printResults(cmd *cobra.Command, plan simulate.Plan, results []simulate.Result, each bool) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(r simulate.Result) {
		m := r.Metrics
		fmt.Fprintf(w, "%s\t%.2f\t%.0f\t%.2f\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t\n", r.Policy, m.ThetaU, m.ThetaO, m.TauU, m.TauO,
			m.LostPercent, m.HighPercent, m.PerNeed, m.Actions, m.Cost)
	}
	const header = "\ttheta_u\ttheta_o\ttau_u\ttau_o\tlost %\t>90 %\tVMh/need\tact/h\tcost\t\n"
	if each {
		for i, r := range results {
			if i%len(plan.Policies) == 0 {
				fmt.Fprintf(w, "%s, boot %s%s", r.Trace, r.Boot, header)
			}
			row(r)
		}
	}
	fmt.Fprintf(w, "mean%s", header)
	for _, r := range simulate.Overall(plan, results) {
		row(r)
	}
	return w.Flush()
}

func writeReport(path string, plan simulate.Plan, results []simulate.Result) (err error) {
	f, err := os.Create(path) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return simulate.WriteHTML(f, plan, results)
}
