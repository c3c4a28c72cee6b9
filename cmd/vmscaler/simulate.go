package main

import (
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

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/simulate"
	"github.com/vmscaler/vmscaler/dashboard"
)

func simulateCommand() *cobra.Command {
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

A trace is a CSV file with the columns t_seconds and demand_vcpus on a fixed step; a VM has one vCPU. Without --trace
five generated days are used. The policies are: ` + strings.Join(simulate.Policies(), ", ") + `.

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
					compare = simulate.Policies()
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
			if path != "" {
				var err error
				if plan.Traces, err = simulate.ReadTraces(path); err != nil {
					return err
				}
			}
			draw := output == "text" && len(plan.Traces) == 1 && term.IsTerminal(int(os.Stdout.Fd())) && dashboard.StyleFromEnv(os.Getenv).Color
			if html != "" || draw {
				plan.Keep = 60
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
					results[i].Points = nil
				}
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(map[string]any{"results": results, "mean": simulate.Overall(plan, results)})
			}
			if draw {
				fmt.Fprintln(cmd.OutOrStdout(), simulate.Plot(results[0]))
			}
			return printResults(cmd, plan, results, each)
		},
	}
	f := cmd.Flags()
	f.StringVar(&path, "trace", "", "a trace, or a folder of traces (*.csv)")
	f.StringVar(&chosen, "policy", "predictive", "the policy to try")
	f.StringSliceVar(&compare, "compare", []string{"threshold"}, "policies to compare with, or all")
	f.DurationSliceVar(&boots, "boot", []time.Duration{30 * time.Second}, "time from a VM's creation to ready; several give the mean")
	f.IntVar(&plan.Seeds, "seeds", 1, "runs with different noise in the CPU readings")
	f.IntVar(&plan.World.Min, "min", plan.World.Min, "VMs at least")
	f.IntVar(&plan.World.Max, "max", plan.World.Max, "VMs at most")
	f.BoolVar(&each, "each", false, "a table for each trace and boot time, too")
	f.StringVar(&html, "html", "", "write a page with demand and capacity over time to this file")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
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
