package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/decider/simulate"
)

// maxPoints is how many points of a run are kept at most.
const maxPoints = 100_000

// simulateCmd is the command simulate: what its command line says, whether that is right, and what it does.
type simulateCmd struct {
	g    *globals
	bus  busFlags
	plan simulate.Plan

	trace, history string
	since          *since
	policy         string
	compare        []string
	boots          []time.Duration
	columns        simulate.Columns
	set            []string
	each           bool
	html           string
	warm           string
	output         printer.Output
	points         time.Duration
}

func newSimulateCmd(g *globals) *simulateCmd {
	return &simulateCmd{g: g, plan: simulate.Plan{Params: simulate.Reference()}, since: newSince("7d")}
}

func simulateCommand(g *globals) *cobra.Command {
	c := newSimulateCmd(g)
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Try policies on a recorded demand, before they are trusted with VMs",
		Long: `Try policies on a recorded demand: the decider's own code, against a simulated group on virtual time, beside what other
autoscalers are documented to do. Nothing is contacted and no VM is touched.

A trace is a CSV file with a column of times and one of the demand in vCPUs, on a fixed step, as Grafana and others export
them; a VM has one vCPU. It has at most a million rows, a year and 64 MiB, the files of a folder together too. Without
--trace five generated days are used. ` +
			"The policies are: " + strings.Join(simulate.Policies(), ", ") + `.

In the table, lower is better: theta_u and theta_o are the mean shares of VMs that were missing or too many, tau_u and
tau_o the shares of the time with too few or too many, lost the share of the demand above what the ready VMs could do,
VMh/need the VM-hours for each that was needed, act/h creations and removals an hour, and cost the VM-hours with 10
for each lost vCPU-hour and 1 for each above 90 % CPU, for each VM-hour of one that knows the future (oracle).`,
		Example: "  vmscaler simulate\n  vmscaler simulate --trace cpu.csv --column usage --scale 0.01 --set upper=60\n" +
			"  vmscaler simulate --trace load.csv --policy predictive:safe --compare threshold,hpa\n" +
			"  vmscaler simulate --trace traces/ --boot 2s,30s,90s --seeds 3 --html report.html",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("want `vmscaler simulate` with flags only, found %q", args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			if c.history == "" && cmd.Flags().Changed("since") {
				return usageError{errors.New("--since: found it without --history, want a group whose past is replayed")}
			}
			return c.run(cmd)
		},
	}
	c.flags(cmd)
	cmd.AddCommand(simulateFleetCommand(g))
	return cmd
}

func (c *simulateCmd) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.trace, "trace", "", "a trace, or a folder of traces (*.csv), or - for standard input")
	f.StringVar(&c.columns.Demand, "column", "", "the trace's column with the demand, where it has several")
	f.Float64Var(&c.columns.Scale, "scale", 1, "what the demand is multiplied by to be in vCPUs, such as 0.01 for percent of one")
	f.StringArrayVar(&c.set, "set", nil, "FIELD=VALUE of the policy, as for `vmscaler set`, for threshold and predictive")
	f.StringVar(&c.history, "history", "", "a group, to replay what was asked of it; min, max and boot time are its own then, and "+
		"policies to compare with also own, that of its config, own:POLICY, the same with another policy, as its shadows are by "+
		"default, and recorded, what it did")
	f.Var(c.since, "since", "from when to replay: a time, or how long ago; with --history")
	c.bus.connect(cmd)
	f.StringVar(&c.policy, "policy", "predictive", "the policy to try")
	f.StringSliceVar(&c.compare, "compare", []string{"threshold"}, "policies to compare with, or all")
	f.DurationSliceVar(&c.boots, "boot", []time.Duration{30 * time.Second},
		"time from a VM's creation to ready; several give the mean")
	f.StringVar(&c.warm, "warm", "0", "the warm pool of threshold and predictive, as `warm_pool.size`; its VMs wait paused, and "+
		"count as all others in what a run costs")
	f.DurationVar(&c.plan.Params.Handover, "handover", c.plan.Params.Handover, "time until a VM of the warm pool serves")
	f.IntVar(&c.plan.Seeds, "seeds", 1, "runs with different noise in the CPU readings")
	f.IntVar(&c.plan.Params.Min, "min", c.plan.Params.Min, "VMs at least")
	f.IntVar(&c.plan.Params.Max, "max", c.plan.Params.Max, "VMs at most")
	w := &c.plan.Params.World
	f.Float64Var(&w.BootSpread, "boot-spread", 0, "standard deviation of the boot times, as a share of --boot, such as 0.3")
	f.Float64Var(&w.Failing, "failing", 0, "share of the launches that fail, such as 0.1")
	f.Float64Var(&w.Missing, "missing", 0, "share of the CPU readings that get lost, such as 0.2")
	f.Float64Var(&w.Uneven, "uneven", 0, "standard deviation of what each VM gets of the load, as a share of the mean, such as 0.3")
	f.BoolVar(&c.each, "each", false, "a table for each trace and boot time, too")
	f.StringVar(&c.html, "html", "", "write a page with demand and capacity over time to this file")
	f.DurationVar(&c.points, "points", 0, "with -o json or yaml: a point of each first run every so long, too")
	c.output.Add(f, printer.Values())
}

// validate completes the plan with the policies and the boot times, and refuses what no run could do.
func (c *simulateCmd) validate() error {
	compare := c.compare
	if slices.Contains(compare, "all") {
		compare = simulate.Baselines()
	}
	c.plan.Policies, c.plan.Boots = []string{c.policy}, c.boots
	for _, name := range compare {
		if !slices.Contains(c.plan.Policies, name) {
			c.plan.Policies = append(c.plan.Policies, name)
		}
	}
	if err := simulate.CheckPolicies(c.plan.Policies); err != nil {
		return usageError{err}
	}
	if err := c.setFields(); err != nil {
		return err
	}
	size, err := bus.ParseWarmSize(c.warm)
	if err != nil {
		return usageError{fmt.Errorf("--warm: %w", err)}
	}
	c.plan.Params.Base.WarmPool.Size = size
	w := c.plan.Params.World
	shares := []float64{w.BootSpread, w.Failing, w.Missing, w.Uneven}
	switch {
	case slices.ContainsFunc(shares, func(x float64) bool { return !(x >= 0 && x <= 1) }): // not NaN either
		return usageError{fmt.Errorf("--boot-spread, --failing, --missing and --uneven: found %v, want shares from 0 to 1", shares)}
	case c.columns.Scale <= 0 || c.columns.Scale > 1e6:
		return usageError{fmt.Errorf("--scale: found %g, want a number above 0, up to 1e6", c.columns.Scale)}
	case c.trace == "" && (c.columns.Demand != "" || c.columns.Scale != 1):
		return usageError{errors.New("--column and --scale: they are for --trace")}
	case c.plan.Seeds < 1 || c.plan.Seeds > 100:
		return usageError{fmt.Errorf("--seeds: found %d, want 1 to 100", c.plan.Seeds)}
	case len(c.boots) == 0 || slices.Min(c.boots) < time.Second || slices.Max(c.boots) > time.Hour:
		return usageError{fmt.Errorf("--boot: found %v, want 1s to 1h", c.boots)}
	case c.plan.Params.Handover < time.Second || c.plan.Params.Handover > time.Hour:
		return usageError{fmt.Errorf("--handover: found %s, want 1s to 1h", c.plan.Params.Handover)}
	case c.plan.Params.Min < 1 || c.plan.Params.Max < c.plan.Params.Min || c.plan.Params.Max > 1000:
		return usageError{fmt.Errorf("--min and --max: found %d and %d, want 1 to 1000, min at most max",
			c.plan.Params.Min, c.plan.Params.Max)}
	case c.history != "" && c.trace != "":
		return usageError{errors.New("--history and --trace: want one of them")}
	}
	return nil
}

// setFields gives the group's own policies what --set says.
func (c *simulateCmd) setFields() error {
	set := map[string]string{}
	for _, arg := range c.set {
		name, value, is := strings.Cut(arg, "=")
		if !is {
			return usageError{fmt.Errorf("--set: found %q, want FIELD=VALUE", arg)}
		}
		path, err := config.LiveField(name)
		switch {
		case err != nil:
			return usageError{fmt.Errorf("--set: %w", err)}
		case !strings.HasPrefix(path, "policy."), path == "policy.type", path == "policy.setting":
			return usageError{fmt.Errorf("--set: found %q, which --policy, --min or --max says here", name)}
		case hasNoEffect(path):
			return usageError{fmt.Errorf("--set: found %q, which neither threshold nor predictive uses", name)}
		}
		set[path] = value
	}
	base, err := config.Override(c.plan.Params.Base, set)
	if err != nil {
		return usageError{fmt.Errorf("--set: %w", err)}
	}
	c.plan.Params.Base = base
	return nil
}

// hasNoEffect reports whether a field of a policy is one of those that --set is not for: of a signal, of steps, or of shadows.
func hasNoEffect(path string) bool {
	name := strings.TrimPrefix(path, "policy.")
	for _, other := range []string{"signal", "shadow", "target", "metric", "expression", "prometheus", "steps"} {
		if name == other || strings.HasPrefix(name, other+"_") || strings.HasPrefix(name, other+".") {
			return true
		}
	}
	return false
}

// doubt reports what of the traces may be something else than what was meant.
func (c *simulateCmd) doubt(stderr io.Writer) {
	most := float64(c.plan.Params.Max)
	for _, t := range c.plan.Traces {
		if t.Filled > 0 {
			fmt.Fprintf(stderr, "%s: missing rows: %d; the demand there is on the line between those beside them\n", t.Name,
				t.Filled)
		}
		if peak := slices.Max(t.Demand); peak > most && c.history == "" {
			fmt.Fprintf(stderr, "%s: the demand reaches %.1f vCPUs, and --max %d VMs do %d: the rest counts as lost. "+
				"A demand in percent of a vCPU wants --scale 0.01\n", t.Name, peak, c.plan.Params.Max, c.plan.Params.Max)
		}
	}
}

func (c *simulateCmd) run(cmd *cobra.Command) error {
	var err error
	switch {
	case c.history != "":
		if err = c.replay(cmd); err == nil && !cmd.Flags().Changed("compare") {
			c.plan.Policies = []string{c.policy, "own", "recorded"}
			for _, kind := range c.plan.Params.Own.Policy.Shadow {
				c.plan.Policies = append(c.plan.Policies, simulate.OwnAs(kind))
			}
		}
	case c.trace != "":
		c.plan.Traces, err = simulate.ReadTraces(c.trace, c.columns)
	default:
		c.plan.Traces = simulate.Builtin()
	}
	if err != nil {
		return err
	}
	c.doubt(cmd.ErrOrStderr())
	draw := c.output.ForPeople() && len(c.plan.Traces) == 1 &&
		term.IsTerminal(int(os.Stdout.Fd())) && dashboard.StyleFromEnv(os.Getenv).Color
	if err := c.keep(c.html != "" || draw); err != nil {
		return err
	}
	done := func() {}
	if term.IsTerminal(int(os.Stderr.Fd())) { // a run takes seconds, and all of them minutes
		c.plan.Begins = func(n, of int) { fmt.Fprintf(os.Stderr, "\rsimulating: %d of %d\033[K", n, of) }
		done = func() { fmt.Fprint(os.Stderr, "\r\033[K") }
	}
	results, err := simulate.Compare(cmd.Context(), c.plan)
	done()
	if err != nil {
		return err
	}
	if c.html != "" {
		if err := writeReport(c.html, c.plan, results); err != nil {
			return err
		}
	}
	if !c.output.ForPeople() {
		return c.printValue(cmd.OutOrStdout(), results)
	}
	if draw {
		fmt.Fprintln(bare(cmd.OutOrStdout()), simulate.Plot(results[0]))
	}
	return printResults(cmd.OutOrStdout(), c.plan, results, c.each)
}

// keep sets how many of a run's points are kept, which a plot needs and --points asks for.
func (c *simulateCmd) keep(plots bool) error {
	if plots {
		c.plan.Keep = 60
		for _, t := range c.plan.Traces {
			c.plan.Keep = max(c.plan.Keep, int(t.Length()/time.Second)/maxPoints+1)
		}
	}
	if c.points <= 0 {
		return nil
	}
	c.plan.Keep = int(max(c.points, time.Second) / time.Second)
	for _, t := range c.plan.Traces {
		if n := int(t.Length()/time.Second) / c.plan.Keep; n > maxPoints {
			return usageError{fmt.Errorf("--points: found %s, which are %d points of %s, want at most %d", c.points, n, t.Name, maxPoints)}
		}
	}
	return nil
}

func (c *simulateCmd) printValue(out io.Writer, results []simulate.Result) error {
	for i := range results {
		if c.points == 0 {
			results[i].Points = nil
		}
	}
	return printer.Value(out, &c.output, map[string]any{"results": results, "mean": simulate.Overall(c.plan, results)})
}

func printResults(out io.Writer, plan simulate.Plan, results []simulate.Result, each bool) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(r simulate.Result) {
		m := r.Metrics
		fmt.Fprintf(w, "%s\t%.2f\t%.0f\t%.2f\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t\n",
			r.Policy, m.ThetaU, m.ThetaO, m.TauU, m.TauO, m.LostPercent, m.HighPercent, m.PerNeed, m.Actions, m.Cost)
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
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return simulate.WriteHTML(f, plan, results)
}
