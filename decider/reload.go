package decider

import (
	"context"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Reload has other groups hold, and returns when they do. What is known of a group that stays goes on: where it stands, what was
// learned, what a person has set and paused. Nothing is decided any more about one that leaves.
func (d *Decider) Reload(ctx context.Context, r bus.Reload) error { return d.reloads.Reload(ctx, r) }

func (d *Decider) reload(ctx context.Context, r client.Handed) {
	now := d.cfg.Now()
	before := d.groups
	d.groups = map[string]*group{}
	var changed []*group
	for _, spec := range r.Groups {
		g := before[spec.Name]
		switch {
		case g == nil:
			g = newGroup(spec, now)
			g.state.Controls = d.former[spec.Name] // where nothing is kept
			changed = append(changed, g)
		case g.hash != spec.Hash():
			d.respecify(g, spec)
			changed = append(changed, g)
		}
		d.groups[spec.Name] = g
	}
	for name, g := range before {
		if d.groups[name] != nil {
			continue
		}
		d.former[name] = g.state.Controls
		if d.leads(ctx, g, now) {
			d.rememberNow(ctx, g, now)
		}
	}
	r.Done()
	for _, g := range changed { // at once, as the next evaluation may be an hour away
		d.evaluate(ctx, g, now)
		if g.seen.Fresh == 0 { // with the next samples again
			g.lastEval = now.Add(-g.inForce.Policy.Interval)
		}
	}
	d.tellReload(r.Reload)
}

// respecify has another spec of a group hold.
func (d *Decider) respecify(g *group, spec bus.Group) {
	inForce, err := d.cfg.Override(spec, g.state.Controls.Set)
	if err != nil {
		d.log.Warn().Err(err).Str("group", spec.Name).Msg("what was set by hand does not go with the file: the file holds")
		inForce, g.state.Controls.Set = spec, nil
	}
	g.spec, g.hash, g.state = spec, spec.Hash(), g.state.Under(spec)
	g.window.respecify(g.hash)
	g.unfit = nil
	g.use(inForce)
}

// Under is where a group stands once another spec of it holds: no more and no less is desired than that could allow. Nothing is
// scaled in for it before a decision by samples says so.
func (s State) Under(spec bus.Group) State {
	s.Desired = min(max(s.Desired, spec.Floor(s.Controls)), spec.Ceiling(s.Controls))
	return s
}

// tellReload publishes, for the record, what has changed of each group. The decider that leads does.
func (d *Decider) tellReload(r bus.Reload) {
	if !d.leading() {
		return
	}
	for name, sentence := range r.Changes {
		if r.By != "" || r.Reason != "" {
			sentence += "; " + bus.Attribution(r.By, r.Reason)
		}
		event := bus.Event{
			V: bus.Version, Group: name, Event: bus.EventControl, Sentence: sentence, Time: d.cfg.Now().UTC(), By: r.By, Reason: r.Reason,
		}
		if err := d.conn.Publish(&event); err != nil {
			d.log.Debug().Err(err).Msg("event lost")
		}
	}
}
