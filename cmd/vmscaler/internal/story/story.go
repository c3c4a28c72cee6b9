// Package story plays the demonstration: a group grows under load to exactly the VMs that the load needs, and
// shrinks when the load is off. It watches the bus alone, so it is the same for the demo and for tests, in one
// process or in several.
package story

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Thresholds of the story: one busy vCPU makes averages of 100, 50 and 33 % on 1, 2 and 3 VMs, so that a group
// with these needs exactly 3.
const (
	UpperPercent = 40
	LowerPercent = 15
	Needed       = 3
	calm         = 8 // evaluations in a row that count as settled
)

// Group is the story's group: the defaults with its own name and thresholds.
func Group(name string) bus.Group {
	g := bus.DefaultGroup()
	g.Name = name
	g.Policy.UpperPercent, g.Policy.LowerPercent = UpperPercent, LowerPercent
	return g
}

// Config is what a story needs.
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

// Play plays the story on a group that is starting, with no load, and returns an error that names the step that
// did not happen.
func Play(ctx context.Context, cfg Config) error {
	p := &player{cfg: cfg, samples: make(chan bus.Sample, 64), decisions: make(chan bus.Decision, 64), events: make(chan bus.Event, 256)}
	if err := errors.Join(
		client.Subscribe(cfg.Conn, bus.AllSamples, p.samples),
		client.Subscribe(cfg.Conn, bus.AllDecisions, p.decisions),
		client.Subscribe(cfg.Conn, bus.AllEvents, p.events),
	); err != nil {
		return err
	}
	cfg.Say("Group %s: between 1 and 5 VMs, one more above %d %% CPU on average, one fewer below %d %%.", cfg.Group, UpperPercent, LowerPercent)

	p.limit = 1
	if err := p.until(ctx, "the first VM is ready and idle", func() bool {
		return len(p.sample.VMs) == 1 && p.idle()
	}); err != nil {
		return err
	}
	busy := p.sample.VMs[0].Name
	cfg.Say("%s is ready and idle at %s. One worker now keeps it busy.", busy, average(p.decision))

	loadCtx, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	loaded := make(chan error, 1)
	go func() { loaded <- cfg.Load(loadCtx, busy) }()
	p.load = loaded

	p.limit = Needed
	for n := 2; n <= Needed; n++ {
		if err := p.until(ctx, fmt.Sprintf("the group is to have %d VMs", n), func() bool {
			return p.decision.Direction == bus.Out && p.decision.Desired == n
		}); err != nil {
			return err
		}
		cfg.Say("Decision: %s. The group is to have %d VMs.", p.decision.Sentence, n)
	}
	if err := p.until(ctx, fmt.Sprintf("all %d VMs are ready", Needed), func() bool { return p.ready() == Needed }); err != nil {
		return err
	}
	cfg.Say("All %d VMs are ready.", Needed)
	if cfg.Grown != nil {
		cfg.Grown()
	}
	still := 0
	if err := p.until(ctx, fmt.Sprintf("the group settles at %d VMs", Needed), func() bool {
		if !p.decided {
			return false
		}
		in := p.decision.Inputs
		settled := p.decision.Rule == bus.RuleStable && p.decision.Desired == Needed && in.Ready == Needed && len(p.sample.VMs) == Needed
		if still++; !settled {
			still = 0
		}
		return still >= calm
	}); err != nil {
		return err
	}
	cfg.Say("Exactly %d VMs, at %s: between the thresholds, so the group stays so.", Needed, average(p.decision))

	p.load = nil
	stopLoad()
	if err := <-loaded; err != nil {
		return fmt.Errorf("stop the load: %w", err)
	}
	cfg.Say("The load is off.")
	for n := Needed - 1; n >= 1; n-- {
		if err := p.until(ctx, fmt.Sprintf("the group is to have %d VMs", n), func() bool {
			return p.decision.Direction == bus.In && p.decision.Desired == n
		}); err != nil {
			return err
		}
		cfg.Say("Decision: %s. The group is to have %d.", p.decision.Sentence, n)
	}
	if err := p.until(ctx, "only the first VM is left", func() bool {
		return len(p.sample.VMs) == 1 && p.sample.VMs[0].Name == busy && p.idle()
	}); err != nil {
		return err
	}
	cfg.Say("Back to %s alone: the newest VMs went first, with their disks.", busy)
	return nil
}

type player struct {
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
func (p *player) until(ctx context.Context, what string, holds func() bool) error {
	deadline := time.NewTimer(p.cfg.Patience)
	defer deadline.Stop()
	for {
		p.decided = false
		select {
		case <-ctx.Done():
			return fmt.Errorf("interrupted before %s: %w", what, context.Cause(ctx))
		case <-deadline.C:
			return fmt.Errorf("after %s it has not happened that %s; last decision: %q; VMs: %s", p.cfg.Patience, what, p.decision.Sentence, p.vms())
		case err := <-p.load:
			return fmt.Errorf("the load ended before %s: %w", what, err)
		case s := <-p.samples:
			if s.Group != p.cfg.Group {
				continue
			}
			p.sample = s
			if len(s.VMs) > p.limit {
				return fmt.Errorf("%d VMs before %s, want at most %d: %s", len(s.VMs), what, p.limit, p.vms())
			}
		case d := <-p.decisions:
			if d.Group != p.cfg.Group {
				continue
			}
			p.decision, p.decided = d, true
			if d.Desired > p.limit {
				return fmt.Errorf("decision for %d VMs before %s, want at most %d: %s", d.Desired, what, p.limit, d.Sentence)
			}
		case e := <-p.events:
			if e.Group != p.cfg.Group {
				continue
			}
			p.cfg.Say("  %-12s %-9s %5.1f s  %s", e.VM, e.Event, float64(e.ElapsedMS)/1000, e.Sentence)
			if e.Event == bus.EventFailed || e.Event == bus.EventDied {
				return fmt.Errorf("%s %s before %s: %s %s", e.VM, e.Event, what, e.Sentence, e.Error)
			}
		}
		if holds() {
			return nil
		}
	}
}

// idle says whether every VM is ready and the decider sees them below the lower threshold.
func (p *player) idle() bool {
	in := p.decision.Inputs
	return p.ready() == len(p.sample.VMs) && in.Ready == len(p.sample.VMs) && in.AveragePercent != nil && *in.AveragePercent < LowerPercent
}

func (p *player) ready() int {
	n := 0
	for _, vm := range p.sample.VMs {
		if vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning {
			n++
		}
	}
	return n
}

func (p *player) vms() string {
	text := ""
	for _, vm := range p.sample.VMs {
		text += fmt.Sprintf(" %s(%s, %s)", vm.Name, vm.Phase, vm.State)
	}
	return text
}

func average(d bus.Decision) string {
	if d.Inputs.AveragePercent == nil {
		return "an unknown average"
	}
	return fmt.Sprintf("%.0f %% on average", *d.Inputs.AveragePercent)
}
