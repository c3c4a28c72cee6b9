package decider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// HostOrders are what a person wants of hosts, by their ids.
type HostOrders map[bus.HostID]bus.HostOrder

// hostOrdersKey is where they are kept; no group's key has no dot.
const hostOrdersKey = "hosts"

// loadHostOrders reads what is kept for the decider that begins to lead; where nothing is kept, what was said lasts as long as
// this process.
func (d *Decider) loadHostOrders(ctx context.Context) error {
	kept := HostOrders{}
	err := d.conn.Load(ctx, hostOrdersKey, &kept)
	switch {
	case errors.Is(err, client.ErrNotKept), errors.Is(err, client.ErrNoStore):
		return nil
	case err != nil:
		return fmt.Errorf("read what is wanted of hosts: %w", err)
	}
	maps.DeleteFunc(kept, func(_ bus.HostID, o bus.HostOrder) bool { // of a later version
		return !slices.Contains(bus.HostActions(), o.Action)
	})
	d.hostOrders = kept
	return nil
}

// findHost is the host of a name or an id, of all groups.
func (d *Decider) findHost(name string) (bus.HostID, error) {
	found, names := map[bus.HostID]bool{}, map[string]bool{}
	for _, g := range d.groups {
		for id, h := range g.window.hosts {
			if names[h.sample.Host] = true; h.sample.Host == name || string(id) == name {
				found[id] = true
			}
		}
	}
	ids := slices.Sorted(maps.Keys(found))
	switch {
	case len(ids) == 1:
		return ids[0], nil
	case len(ids) > 1:
		return "", bus.Refuse(bus.RefusedMalformed, "%d hosts are called %s: name one by its id, of %q", len(ids), name, ids)
	}
	if _, ordered := d.hostOrders[bus.HostID(name)]; ordered {
		return bus.HostID(name), nil
	}
	return "", bus.Refuse(bus.RefusedUnknown, "there is no host %q; there are: %s", name, bus.List(slices.Sorted(maps.Keys(names))))
}

// orderHost answers a request to cordon, drain or uncordon a host. What is wanted is kept before it holds.
func (d *Decider) orderHost(ctx context.Context, r client.Request) error {
	now, q := d.cfg.Now(), r.Query
	if !d.leading() {
		r.Ignore() // the one that leads answers
		return nil
	}
	for _, name := range d.names() {
		if g := d.groups[name]; !d.leads(ctx, g, now) {
			return d.notLed(r, g)
		}
	}
	if !slices.Contains(bus.HostActions(), q.HostAction) {
		return r.Refuse("%s", bus.Refuse(bus.RefusedMalformed, "host_action: found %q, want one of %q",
			bus.Clip(string(q.HostAction), 40), bus.HostActions()))
	}
	id, err := d.findHost(q.Host)
	if err != nil {
		return r.Refuse("%s", err)
	}
	was, ordered := d.hostOrders[id]
	if ordered && was.Action == q.HostAction || !ordered && q.HostAction == bus.HostUncordon { // nobody has changed anything
		return r.Answer(d.status(""))
	}
	next := maps.Clone(d.hostOrders)
	if next == nil {
		next = HostOrders{}
	}
	next[id] = bus.HostOrder{Action: q.HostAction, By: q.By, Reason: q.Reason, Since: now.UTC()}
	if q.HostAction == bus.HostUncordon {
		delete(next, id)
	}
	saving, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := d.conn.Save(saving, hostOrdersKey, next); err != nil && !errors.Is(err, client.ErrNoStore) {
		return r.Refuse("%s", notKept(err))
	}
	d.hostOrders = next
	sentence := map[bus.HostAction]string{
		bus.HostCordon: "is cordoned", bus.HostDrain: "is to be drained", bus.HostUncordon: "is uncordoned",
	}[q.HostAction]
	for _, name := range d.names() {
		d.tellOfHost(d.groups[name], bus.Event{
			Host: q.Host, By: q.By, Reason: q.Reason,
			Sentence: fmt.Sprintf("host %s %s; %s", q.Host, sentence, bus.Attribution(q.By, q.Reason)),
		}, now)
		d.evaluate(ctx, d.groups[name], now) // at once, as the next evaluation may be an hour away
	}
	return r.Answer(d.status(""))
}

// drainHosts orders that others take the places of VMs of hosts that are drained, as many at a time as the group's maintenance
// lets be replaced, and only while there is another host for one. It reports whether there are any more.
func (s *situation) drainHosts() (more bool) {
	repairs := !s.state.Controls.IsPaused(bus.ScopeRepair) && !s.state.Controls.DryRun && !s.spec.DryRun
	if !s.state.HasSample || !repairs || s.obs.incomplete() != "" || s.obs.Awaited != nil || s.obs.Fresh == 0 {
		return false
	}
	surge, spare := s.spec.Maintenance.Leeway(s.state.Desired, s.spec.Max)
	left := max(surge+spare, s.spec.Repair.AtOnce)
	drains := false
	for _, h := range s.obs.Hosts {
		drains = drains || h.Order.Is(bus.HostDrain)
		for _, vm := range h.VMs {
			if vm.Order.Is(bus.VMReplace) {
				left--
			}
		}
	}
	if !drains || candidatesOf(s.spec, s.obs).best(s.spec) == nil {
		return false
	}
	for _, h := range s.obs.Hosts {
		for _, vm := range h.VMs {
			if left <= 0 || len(s.state.Orders) >= bus.MaxOrders {
				return more
			}
			if h.Order.Is(bus.HostDrain) && vm.Order == nil && kept(&vm) && vm.Phase.Serves() && vm.State == bus.StateRunning {
				order := bus.VMOrder{
					Verb: bus.VMReplace, By: h.Order.By, Reason: cmp.Or(h.Order.Reason, "its host is drained"), At: s.now.UTC(),
				}
				s.state = s.state.withOrder(vm.UUID, order)
				left, more = left-1, true
			}
		}
	}
	return more
}
