package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/fleetload"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// fleetCmd is the command simulate fleet.
type fleetCmd struct {
	g       *globals
	plan    fleetload.Plan
	seconds float64
	pprof   string
	output  printer.Output
}

func simulateFleetCommand(g *globals) *cobra.Command {
	c := &fleetCmd{g: g}
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Measure what so many hosts cost a decider on this machine",
		Long: long(`
Measure what so many hosts cost a decider on this machine: simulated hosts send samples of VMs that do not exist, through an
embedded bus over TCP, to the real decider, and decode its decisions. Nothing of libvirt is contacted, no VM is touched, and the
vmscaler that runs here does not notice. Everything is in this process, so that the CPU is that of the hosts' encoding and
decoding, too.

A group has at most ` + strconv.Itoa(bus.MaxHosts) + ` hosts; with more there are more groups. A decision is made once all hosts
of a group have sent a sample; they take turns in an interval.`),
		Example: "  vmscaler simulate fleet --hosts 1000 --vms 100\n" +
			"  vmscaler simulate fleet --hosts 10 --vms 5 --seconds 5 -o json\n" +
			"  vmscaler simulate fleet --hosts 1000 --vms 100 --pprof /tmp/fleet && go tool pprof -top /tmp/fleet/cpu.pprof",
		Args: exactArgs(0),
		RunE: checked(c.validate, c.run),
	}
	f := cmd.Flags()
	f.IntVar(&c.plan.Hosts, "hosts", 100, "hosts")
	f.IntVar(&c.plan.VMs, "vms", 20, "VMs of each host")
	f.IntVar(&c.plan.Groups, "groups", 0, "groups that the hosts are divided into; 0 is as few as are allowed")
	f.DurationVar(&c.plan.Interval, "interval", time.Second, "time between two samples of a host")
	f.Float64Var(&c.seconds, "seconds", 30, "for how long is measured; Ctrl-C ends it earlier, with what was measured")
	f.IntVar(&c.plan.Connections, "connections", 8, "connections that the hosts share, for samples and as many for decisions")
	f.StringVar(&c.pprof, "pprof", "", "folder to write profiles to, cpu.pprof and heap.pprof, for go tool pprof")
	c.output.Add(f, printer.Values())
	return cmd
}

func (c *fleetCmd) validate([]string) error {
	if !(c.seconds > 0 && c.seconds < 1e6) { // not NaN either
		return usageError{fmt.Errorf("--seconds: found %g, want more than 0", c.seconds)}
	}
	c.plan.Length = time.Duration(c.seconds * float64(time.Second))
	if err := c.plan.Check(); err != nil {
		return usageError{err}
	}
	return nil
}

func (c *fleetCmd) run(cmd *cobra.Command) error {
	log, err := c.g.stderrLogger()
	if err != nil {
		return err
	}
	profile, err := startProfile(c.pprof)
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	fmt.Fprintf(stderr, "simulating %d hosts with %d VMs each\n", c.plan.Hosts, c.plan.VMs)
	stop := func() {}
	hooks := fleetload.Hooks{Begins: func() { stop = showElapsed(stderr, c.plan.Length) }, Ends: profile.heap}
	r, err := fleetload.Run(cmd.Context(), c.plan, hooks, quiet(log))
	stop()
	if err := errors.Join(err, profile.end()); err != nil {
		return err
	}
	if !c.output.ForPeople() {
		return printer.Value(cmd.OutOrStdout(), &c.output, r)
	}
	return printFleet(cmd.OutOrStdout(), r)
}

// quiet leaves what the simulated stages say of hosts that come and go to those who want to see it.
func quiet(log zerolog.Logger) zerolog.Logger {
	if log.GetLevel() < zerolog.InfoLevel {
		return log
	}
	return log.Level(max(log.GetLevel(), zerolog.ErrorLevel))
}

// showElapsed shows how much of a measuring is over, until stop: on a terminal in its place, elsewhere in a line each.
func showElapsed(stderr io.Writer, length time.Duration) (stop func()) {
	live := false
	if f, is := bare(stderr).(*os.File); is && term.IsTerminal(int(f.Fd())) {
		live, stderr = true, f
	}
	start, quit, done := time.Now(), make(chan struct{}), make(chan struct{})
	period := linePeriod
	if live {
		period = livePeriod
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				if live {
					fmt.Fprint(stderr, "\r\033[K")
				}
				return
			case <-tick.C:
			}
			line := fmt.Sprintf("measuring: %.0f of %.0f s", time.Since(start).Seconds(), length.Seconds())
			if live {
				fmt.Fprintf(stderr, "\r%s\033[K", line)
			} else {
				fmt.Fprintln(stderr, line)
			}
		}
	}()
	return func() { close(quit); <-done }
}

// profile is of the CPU from its start to its end, and of the heap at some time between. Its zero value is none.
type profile struct {
	dir string
	cpu *os.File
	err error // of the heap
}

// startProfile begins a profile that is written to a folder; "" is none.
func startProfile(dir string) (p profile, err error) {
	if dir == "" {
		return p, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, fmt.Errorf("--pprof: %w", err)
	}
	p.dir = dir
	if p.cpu, err = os.Create(filepath.Join(dir, "cpu.pprof")); err != nil {
		return p, fmt.Errorf("--pprof: %w", err)
	}
	if err := pprof.StartCPUProfile(p.cpu); err != nil {
		return p, errors.Join(fmt.Errorf("--pprof: %w", err), p.cpu.Close())
	}
	return p, nil
}

// heap writes what lives of the heap now.
func (p *profile) heap() {
	if p.dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(p.dir, "heap.pprof"))
	if err == nil {
		runtime.GC()
		err = errors.Join(pprof.WriteHeapProfile(f), f.Close())
	}
	p.err = err
}

func (p *profile) end() error {
	if p.dir == "" {
		return nil
	}
	pprof.StopCPUProfile()
	if err := errors.Join(p.err, p.cpu.Close()); err != nil {
		return fmt.Errorf("--pprof: %w", err)
	}
	return nil
}

func printFleet(out io.Writer, r fleetload.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%s\t"+format+"\n", append([]any{what}, args...)...)
	}
	row("fleet", "%d hosts, %d VMs each, in %d groups; a sample each every %g s", r.Hosts, r.VMsPerHost, r.Groups, r.IntervalS)
	row("measured for", "%.1f s, with %d connections, on %d cores", r.Seconds, r.Connections, r.Cores)
	row("samples", "%d sent, %d taken by the decider, %d sent late", r.Samples, r.Taken, r.Late)
	row("decisions", "%d", r.Decisions)
	if r.Unattended > 0 {
		row("unattended", "%d hosts: a decider takes signs of life of %d stages", r.Unattended, bus.MaxStages)
	}
	for _, q := range []struct {
		what string
		q    fleetload.Quantiles
	}{
		{"sample to taken", r.SampleTaken}, {"last sample to decision", r.SampleDecided}, {"any sample to decision", r.SampleAge},
	} {
		row(q.what, "p50 %.2f ms, p99 %.2f ms, max %.2f ms, of %d", q.q.P50, q.q.P99, q.q.Max, q.q.N)
	}
	row("CPU", "%.1f %% of a core; an interval: %.0f µs a host, %.2f µs a VM", r.CPUPercent, r.CPUPerHostUS, r.CPUPerVMUS)
	row("memory", "%.1f MiB, %.0f bytes for a VM, beside the hosts", r.MemoryMiB, r.BytesPerVM)
	row("allocations", "%.2f for a VM and interval", r.AllocsPerVM)
	row("messages", "%.0f a second, %.2f MiB/s; a sample has %.0f bytes, a decision %.0f", r.MessagesPerS, r.MiBPerS,
		r.SampleBytes, r.DecisionBytes)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
