package actuator

import (
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// inForce is a spec with the min, max and upper that a decision was made with. Max is never above, and min never below, what the
// file, its schedule and a person allow.
func inForce(spec bus.Group, d bus.Decision) bus.Group {
	if in := d.Inputs; d.HasSample && in.Max >= 1 && in.Min >= 0 && in.Min <= in.Max {
		spec.Max, spec.Min = min(in.Max, spec.Ceiling(d.Controls)), max(in.Min, spec.Floor(d.Controls))
		spec.Min = min(spec.Min, spec.Max)
		spec.Policy.UpperPercent = in.UpperPercent
	}
	return spec
}

// clampShare is the number of VMs that a decision wants on a host. Whatever it says, min and max of the spec hold:
// both for a group on one host, max for a share of a group on several.
func clampShare(spec bus.Group, d bus.Decision, host bus.HostID) int {
	share, ok := d.Shares[host]
	switch {
	case !d.HasSample, !ok:
		return Unknown
	case len(d.Shares) == 1:
		least := spec.Min
		if spec.PerHostMax > 0 {
			least = min(least, spec.PerHostMax)
		}
		return min(max(share.VMs, least), spec.Max)
	}
	return min(max(share.VMs, 0), spec.Max)
}

// Follow takes what a decision that holds lets its host do.
func (s *Situation) Follow(d bus.Decision, host bus.HostID) {
	share := d.Shares[host]
	s.Desired, s.ScaleIn = clampShare(s.Spec, d, host), d.Direction == bus.In
	s.Warm, s.WarmStopped, s.Most, s.Numbers = share.Warm, share.WarmStopped, share.Most, share.Numbers
	s.Refresh = RefreshShare{
		Active: d.Refresh.Active(), Reimage: d.Refresh.Reimages(),
		Retire: share.Retire, Release: share.Release, Serving: share.Serving, Restart: share.Restart,
	}
	if d.Refresh.KeepsShare(s.Spec) {
		s.Refresh.Updated = share.Updated
	}
}

// receive takes a decision and reports whether it wakes the stage.
func (a *Actuator) receive(d bus.Decision) bool {
	wakes, err := a.take(d)
	if err != nil {
		a.conn.Drop(d.Subject(), err)
	}
	return wakes
}

// catchUp takes the decisions that wait, as after a stall: nothing is done by one that was followed by others.
func (a *Actuator) catchUp(decisions <-chan bus.Decision) {
	for {
		select {
		case d := <-decisions:
			a.receive(d)
		default:
			return
		}
	}
}

// take keeps a decision if it is the newest, and reports whether there is something new to do. The error says why a decision for
// one of our groups is of no use.
func (a *Actuator) take(d bus.Decision) (wakes bool, err error) {
	g, now := a.groups[d.Group], a.cfg.Now()
	refusal := a.term.refuse(d, now)
	switch {
	case g == nil && refusal == nil:
		a.contacts.hear(d, a.isolates()) // there is a decider that leads
		return false, nil
	case g == nil:
		return false, nil
	case refusal != nil:
		return false, g.newest.Refuse(refusal, now)
	}
	if d.SpecHash != g.hash {
		a.contacts.hear(d, a.isolates()) // it leads all the same, and the group waits for it
		g.mismatch = true
		return false, nil
	}
	before := g.newest.Decision
	if err := g.newest.Take(d, now); err != nil {
		return false, err
	}
	a.term.took(d, now)
	a.contacts.hear(d, a.isolates())
	g.mismatch = false
	if trace := d.Traceparent(); trace != "" {
		g.trace, g.heard = trace, time.Now()
	}
	toScaleIn := d.Direction == bus.In && before.Direction != bus.In
	return d.Desired != before.Desired || toScaleIn || !before.HasSample ||
		!sameControls(d.Controls, before.Controls) || !maps.EqualFunc(d.Orders, before.Orders, sameOrder) ||
		!slices.EqualFunc(d.Attach, before.Attach, bus.Attachment.Same), nil
}

func sameOrder(a, b bus.VMOrder) bool { return a.Same(&b) }

func sameControls(a, b bus.Controls) bool {
	return a.DryRun == b.DryRun && slices.Equal(a.Paused, b.Paused)
}
