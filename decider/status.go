package decider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// silentAfter is when a stage that gives no sign of life (one in three seconds) is left out of the status.
const silentAfter = 10 * time.Second

// record notes a stage's sign of life by its time of arrival: the clocks of hosts differ.
func (d *Decider) record(h bus.Health) {
	now := d.cfg.Now().UTC()
	for key, old := range d.stages {
		if now.Sub(old.Time) > silentAfter {
			delete(d.stages, key)
		}
	}
	h.Time = now
	if _, known := d.stages[h.Subject()]; !known && len(d.stages) >= bus.MaxStages {
		d.conn.Drop(h.Subject(), fmt.Errorf("%d stages give a sign of life already", bus.MaxStages))
		return
	}
	d.stages[h.Subject()] = h
}

// attend notes on which hosts an actuator acts, and where it has no room for another VM of the group, or no template. A collector
// alone can say that a host has VMs; nothing is scaled in for what no actuator would see.
func (d *Decider) attend(obs *Observation, g *group, now time.Time) {
	group := g.spec.Name
	acting, instances := map[bus.HostID]*bus.Acts{}, map[string]bool{}
	for _, h := range d.stages {
		if now.Sub(h.Time) <= silentAfter {
			instances[h.Instance] = true
		}
		if h.Acts != nil && h.Stage == string(bus.RoleActuator) && now.Sub(h.Time) <= silentAfter {
			acting[h.Acts.HostID] = h.Acts
		}
	}
	for i := range obs.Hosts {
		h := &obs.Hosts[i]
		if order, is := d.hostOrders[h.ID]; is {
			h.Order = &order
		}
		h.Alive = acting[h.ID] != nil || instances[h.Collector]
		switch acts := acting[h.ID]; {
		case acts != nil:
			h.Full, h.Failures = slices.Contains(acts.Full, group), acts.Failures[group]
			h.Taken, h.Kept = acts.Taken[group], acts.Kept[group]
			_, h.NoTemplate = g.state.Refresh.Lacks(g.inForce, acts.Templates)
		case h.Trouble == "":
			h.Trouble = Unattended
		}
	}
}

// answer replies to a request; what cannot be answered is refused with the reason. A decider that does not lead may be behind, as
// one that was cut off: what it says counts where none that leads says anything.
func (d *Decider) answer(ctx context.Context, r client.Request) error {
	if _, leads := d.leadership.Term(); !leads {
		r = r.Late()
	}
	if name := r.Query.Group; name != "" && d.groups[name] == nil {
		return r.Refuse("%s", bus.Refuse(bus.RefusedUnknown, "there is no group %q; the groups are: %s", name, bus.List(d.names())))
	}
	if r.Verb == bus.VerbStatus {
		return r.Answer(d.status(r.Query.Group))
	}
	switch r.Verb {
	case bus.VerbForget:
		return d.forget(r)
	case bus.VerbHost:
		return d.orderHost(ctx, r)
	}
	if slices.Contains(bus.VMVerbs(), bus.VMVerb(r.Verb)) {
		return d.orderVM(ctx, r)
	}
	name := r.Query.Group
	if name == "" && len(d.groups) == 1 {
		name = d.names()[0]
	}
	switch g := d.groups[name]; {
	case g == nil:
		return r.Refuse("%s", bus.Refuse(
			bus.RefusedMalformed, `which group? Ask with {"group": "NAME"}, one of: %s`, strings.Join(d.names(), ", "),
		))
	case r.Verb == bus.VerbRefresh:
		return d.orderRefresh(ctx, r, g)
	case r.Verb == bus.VerbWake:
		return d.wake(ctx, r, g)
	case r.Verb == bus.VerbForecast:
		return d.forecast(ctx, r, g)
	case r.Verb == bus.VerbLaunch:
		return d.launch(ctx, r, g)
	case r.Verb != bus.VerbExplain:
		return d.control(ctx, r, g)
	case g.decision == nil:
		return r.Refuse("group %s has not been evaluated yet", name)
	default:
		answer := *g.decision
		if answer.Term == d.term && len(g.seen.Hosts) > 1 {
			answer.Places = places(g.inForce, g.seen.stood(g.state.Standings, g.inForce, d.cfg.Now()))
		}
		return r.Answer(&answer)
	}
}

// forget drops a host that is gone for good from all groups, or from one. Each decider does; the one that leads answers.
func (d *Decider) forget(r client.Request) error {
	now := d.cfg.Now()
	_, leads := d.leadership.Term()
	known := false
	for _, name := range d.names() {
		g := d.groups[name]
		if r.Query.Group != "" && name != r.Query.Group {
			continue
		}
		switch err := g.window.Forget(r.Query.Host, now, staleAfter(g.inForce.Policy.Interval, d.cfg.Tick)); {
		case errors.Is(err, errUnknownHost):
		case err != nil:
			return r.Refuse("%s", err)
		default:
			known = true
			d.tellForgotten(name, r.Query, leads)
		}
	}
	if !leads {
		r.Ignore()
		return nil
	}
	if !known {
		return r.Refuse("%s", bus.Refuse(bus.RefusedUnknown, "host: found %q, which no group has a VM on", r.Query.Host))
	}
	return r.Answer(d.status(r.Query.Group))
}

// tellForgotten notes that a host is forgotten; the one that leads puts it into the history.
func (d *Decider) tellForgotten(group string, q bus.Query, leads bool) {
	sentence := fmt.Sprintf("host %s is forgotten; %s", q.Host, bus.Attribution(q.By, q.Reason))
	d.log.Info().Str("group", group).Msg(sentence)
	if !leads {
		return
	}
	event := bus.Event{
		V: bus.Version, Group: group, Event: bus.EventControl, Sentence: sentence, Time: d.cfg.Now().UTC(), By: q.By, Reason: q.Reason,
	}
	if err := d.conn.Publish(&event); err != nil {
		d.log.Debug().Err(err).Msg("event lost")
	}
}

func (d *Decider) names() []string {
	var names []string
	for name := range d.groups {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// status is the newest of everything; only is the one group wanted, "" all.
func (d *Decider) status(only string) *bus.Status {
	s := &bus.Status{
		V: bus.Version, Time: d.cfg.Now().UTC(), Groups: []bus.GroupStatus{}, Stages: []bus.Health{}, ClusterID: d.cluster.id,
	}
	for _, name := range d.names() {
		if only == "" || only == name {
			g := d.groups[name]
			s.Groups = append(s.Groups, bus.GroupStatus{
				Group: name, Decision: g.decision, Samples: g.window.Samples(), ClockAheadS: g.window.clocksAhead(),
				Template: g.spec.Template,
			})
		}
	}
	for _, h := range d.stages {
		if s.Time.Sub(h.Time) <= silentAfter {
			s.Stages = append(s.Stages, h)
		}
	}
	slices.SortFunc(s.Stages, func(a, b bus.Health) int {
		return cmp.Or(strings.Compare(a.Stage, b.Stage), strings.Compare(a.Instance, b.Instance))
	})
	return s
}
