// Package scenario plays the demonstration: a group grows under load to exactly the VMs that the load needs, and
// shrinks when the load is off. It watches the bus alone, so it is the same for the demo and for tests, in one
// process or in several.
package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Thresholds of the scenario: one busy vCPU makes averages of 100, 50 and 33 % on 1, 2 and 3 VMs, so that a group
// with these needs exactly 3.
const (
	UpperPercent = 40
	LowerPercent = 15
	Needed       = 3
	calm         = 8 // evaluations in a row that count as settled
)

// Group is the scenario's group: the defaults with its own name and thresholds.
func Group(name string) bus.Group {
	g := bus.DefaultGroup()
	g.Name = name
	g.Policy.UpperPercent, g.Policy.LowerPercent = UpperPercent, LowerPercent
	return g
}

// Config is what a scenario needs.
type Config struct {
	Conn  *client.Conn
	Group string
	// Load keeps one vCPU of a VM busy until ctx ends.
	Load func(ctx context.Context, vm string) error
	// Say gets each sentence of the narration.
	Say func(format string, args ...any)
	// Grown is called when all VMs are ready; nil: nothing.
	Grown func()
	// Patience is how long one step may take.
	Patience time.Duration
}

// Run plays the scenario on a group that is starting, with no load, and returns an error that names the step that did
// not happen.
func Run(ctx context.Context, cfg Config) error {
	r := &runner{
		cfg: cfg, samples: make(chan bus.Sample, 64), decisions: make(chan bus.Decision, 64), events: make(chan bus.Event, 256),
	}
	if err := errors.Join(
		client.Subscribe(cfg.Conn, bus.AllSamples, r.samples),
		client.Subscribe(cfg.Conn, bus.AllDecisions, r.decisions),
		client.Subscribe(cfg.Conn, bus.AllEvents, r.events),
	); err != nil {
		return err
	}
	cfg.Say("Group %s: between 1 and 5 VMs, one more above %d %% CPU on average, one fewer below %d %%.",
		cfg.Group, UpperPercent, LowerPercent)

	r.limit = 1
	if err := r.until(ctx, "the first VM is ready and idle", func() bool {
		return len(r.sample.VMs) == 1 && r.idle()
	}); err != nil {
		return err
	}
	busy := r.sample.VMs[0].Name
	cfg.Say("%s is ready and idle at %s. One worker now keeps it busy.", busy, average(r.decision))

	loadCtx, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	loaded := make(chan error, 1)
	go func() { loaded <- cfg.Load(loadCtx, busy) }()
	r.load = loaded
	if err := r.grow(ctx); err != nil {
		return err
	}
	if err := r.settle(ctx); err != nil {
		return err
	}
	r.load = nil
	stopLoad()
	if err := <-loaded; err != nil {
		return fmt.Errorf("stop the load: %w", err)
	}
	cfg.Say("The load is off.")
	return r.shrink(ctx, busy)
}

// grow waits for each VM that the load needs.
func (r *runner) grow(ctx context.Context) error {
	r.limit = Needed
	for n := 2; n <= Needed; n++ {
		if err := r.until(ctx, fmt.Sprintf("the group is to have %d VMs", n), func() bool {
			return r.decision.Direction == bus.Out && r.decision.Desired == n
		}); err != nil {
			return err
		}
		r.cfg.Say("Decision: %s. The group is to have %d VMs.", r.decision.Sentence, n)
	}
	if err := r.until(ctx, fmt.Sprintf("all %d VMs are ready", Needed), func() bool { return r.ready() == Needed }); err != nil {
		return err
	}
	r.cfg.Say("All %d VMs are ready.", Needed)
	if r.cfg.Grown != nil {
		r.cfg.Grown()
	}
	return nil
}

// settle waits until nothing more is wanted for a while.
func (r *runner) settle(ctx context.Context) error {
	settled := 0 // evaluations in a row
	if err := r.until(ctx, fmt.Sprintf("the group settles at %d VMs", Needed), func() bool {
		if !r.decided {
			return false
		}
		d := r.decision
		if settled++; d.Rule != bus.RuleStable || d.Desired != Needed || d.Inputs.Ready != Needed || len(r.sample.VMs) != Needed {
			settled = 0
		}
		return settled >= calm
	}); err != nil {
		return err
	}
	r.cfg.Say("Exactly %d VMs, at %s: between the thresholds, so the group stays so.", Needed, average(r.decision))
	return nil
}

// shrink waits until the VM that was busy is alone again.
func (r *runner) shrink(ctx context.Context, busy string) error {
	for n := Needed - 1; n >= 1; n-- {
		if err := r.until(ctx, fmt.Sprintf("the group is to have %d VMs", n), func() bool {
			return r.decision.Direction == bus.In && r.decision.Desired == n
		}); err != nil {
			return err
		}
		r.cfg.Say("Decision: %s. The group is to have %d.", r.decision.Sentence, n)
	}
	if err := r.until(ctx, "only the first VM is left", func() bool {
		return len(r.sample.VMs) == 1 && r.sample.VMs[0].Name == busy && r.idle()
	}); err != nil {
		return err
	}
	r.cfg.Say("Back to %s alone: the newest VMs went first, with their disks.", busy)
	return nil
}

// runner is a scenario that is being played.
type runner struct {
	cfg       Config
	samples   chan bus.Sample
	decisions chan bus.Decision
	events    chan bus.Event
	load      <-chan error // ends early only by mistake

	sample   bus.Sample
	decision bus.Decision
	decided  bool // the newest message was a decision
	limit    int  // more VMs than this are a mistake
}

// until waits until holds is true of the newest messages.
func (r *runner) until(ctx context.Context, what string, holds func() bool) error {
	deadline := time.NewTimer(r.cfg.Patience)
	defer deadline.Stop()
	for {
		r.decided = false
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted before %s: %w", what, context.Cause(ctx))
		case <-deadline.C:
			return fmt.Errorf("after %s it has not happened that %s; last decision: %q; VMs:%s%s",
				r.cfg.Patience, what, r.decision.Sentence, cmp.Or(r.vms(), " none"), r.host())
		case err := <-r.load:
			return fmt.Errorf("the load ended before %s: %w", what, err)
		case s := <-r.samples:
			if s.Group != r.cfg.Group {
				continue
			}
			r.sample = s
			if len(s.VMs) > r.limit {
				return fmt.Errorf("%d VMs before %s, want at most %d: %s", len(s.VMs), what, r.limit, r.vms())
			}
		case d := <-r.decisions:
			if d.Group != r.cfg.Group {
				continue
			}
			r.decision, r.decided = d, true
			if d.Desired > r.limit {
				return fmt.Errorf("decision for %d VMs before %s, want at most %d: %s", d.Desired, what, r.limit, d.Sentence)
			}
		case e := <-r.events:
			if e.Group != r.cfg.Group {
				continue
			}
			r.cfg.Say("  %-12s %-9s %5.1f s  %s", e.VM, e.Event, float64(e.ElapsedMS)/1000, e.Sentence)
			if e.Event == bus.EventFailed || e.Event == bus.EventDied {
				return fmt.Errorf("%s %s before %s: %s %s%s", e.VM, e.Event, what, e.Sentence, e.Error, r.host())
			}
		}
		if holds() {
			return nil
		}
	}
}

// idle reports whether every VM is ready and the decider sees them below the lower threshold.
func (r *runner) idle() bool {
	in := r.decision.Inputs
	return r.ready() == len(r.sample.VMs) && in.Ready == len(r.sample.VMs) &&
		in.AveragePercent != nil && *in.AveragePercent < LowerPercent
}

func (r *runner) ready() int {
	n := 0
	for _, vm := range r.sample.VMs {
		if vm.Phase.Serves() && vm.State == bus.StateRunning {
			n++
		}
	}
	return n
}

func (r *runner) vms() string {
	text := ""
	for _, vm := range r.sample.VMs {
		text += fmt.Sprintf(" %s(%s, %s)", vm.Name, vm.Phase, vm.State)
	}
	return text
}

// busyHost is from how much of a host's CPU on a step is likely to take longer for that.
const busyHost = 90

// host is how busy the host is, which makes each step take longer, and what helps; "" where that is not known.
func (r *runner) host() string {
	load := r.sample.HostLoad
	if load.CPUPercent == nil {
		return ""
	}
	text := fmt.Sprintf("; the host: %s, %.0f %% busy", bus.Count(load.Cores, "core"), min(max(*load.CPUPercent, 0), 100))
	if *load.CPUPercent >= busyHost {
		text += ", so wait until it is less so, or give each step more time with --patience"
	}
	return text
}

func average(d bus.Decision) string {
	if d.Inputs.AveragePercent == nil {
		return "an unknown average"
	}
	return fmt.Sprintf("%.0f %% on average", *d.Inputs.AveragePercent)
}
