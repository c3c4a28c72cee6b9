package dashboard

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// average is the mean CPU of the ready VMs: the decider's where there is a decision, and our own otherwise. Nil is
// unknown.
func (g *group) average(now time.Time) *float64 {
	if d := g.decision; d != nil {
		if now.Sub(g.decided) > max(staleAfter, d.ExpiresAt.Sub(d.Time)) {
			return nil
		}
		return d.Inputs.AveragePercent
	}
	var sum float64
	n := 0
	for _, h := range g.hosts {
		if h.stale(now) {
			continue
		}
		for _, vm := range h.sample.VMs {
			if vm.Phase == bus.PhaseReady && vm.CPUPercent != nil {
				sum += *vm.CPUPercent
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	mean := sum / float64(n)
	return &mean
}

// thresholds are what the policies in force compare the average CPU with: lower and upper, or a target, or nothing.
func (g *group) thresholds() []float64 {
	d := g.decision
	switch {
	case d == nil:
		return nil
	case d.Inputs.TargetPercent > 0:
		return []float64{d.Inputs.TargetPercent}
	case d.Inputs.UpperPercent <= 0:
		return nil
	}
	for _, w := range d.Wishes { // a group without any has thresholds alone
		if w.Policy == bus.PolicyThreshold || w.Policy == bus.PolicyStep {
			return []float64{d.Inputs.LowerPercent, d.Inputs.UpperPercent}
		}
	}
	if len(d.Wishes) > 0 {
		return nil
	}
	return []float64{d.Inputs.LowerPercent, d.Inputs.UpperPercent}
}

// upper is from where on the CPU is shown as busy; 0 where it is not known.
func (g *group) upper() float64 {
	at := g.thresholds()
	switch {
	case len(at) > 0:
		return at[len(at)-1]
	case g.decision == nil:
		return 0
	}
	return g.decision.Inputs.UpperPercent
}

// counts are of the VMs in the last samples; other is on the way out or failed.
func (g *group) counts() (ready, launching, other int) {
	for _, h := range g.hosts {
		for _, vm := range h.sample.VMs {
			switch {
			case vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning:
				ready++
			case vm.Phase == bus.PhaseCreating, vm.Phase == bus.PhaseLaunching:
				launching++
			default:
				other++
			}
		}
	}
	return ready, launching, other
}

func (g *group) rows() int {
	n := 0
	for _, h := range g.hosts {
		n += len(h.sample.VMs)
	}
	return n
}

func (m *Model) sampled() bool {
	for _, g := range m.groups {
		if len(g.hosts) > 0 {
			return true
		}
	}
	return false
}
