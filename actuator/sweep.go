package actuator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/orphan"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

const sweepEvery = 30 * time.Second

// sweeper is what the actuator remembers from one sweep to the next. It is owned by Run's goroutine.
type sweeper struct {
	records *orphan.Records      // of the present connection
	results chan swept           // of the present connection
	running bool                 // on the present connection
	next    time.Time            // the next one
	since   map[string]time.Time // when each orphan was first seen
	told    map[string]bool      // orphans that were published, with the reason why they are left
	ended   map[string]bool      // UUIDs of VMs whose workers ended since the last survey
	failed  map[string]bool      // UUIDs of launches that failed, which was published: that is their end
}

// swept is a step of a sweep: the survey, or, with nothing in it, the end.
type swept struct {
	survey *orphan.Scan
	err    error
}

// prepareSweeps is done once a connection.
func (a *Actuator) prepareSweeps(h *vm.Manager) error {
	uri := a.cfg.URI
	if uri == "" {
		var err error
		if uri, err = h.Conn.GetURI(); err != nil {
			return fmt.Errorf("read libvirt's URI: %w", err)
		}
	}
	host, b := a.host, orphan.NewRecords(a.cfg.RecordDir, uri, a.hostID, a.host, a.log)
	h.Records = b
	if b != nil && b.Identify != nil {
		b.Identify = a.cfg.identify
	}
	h.End = func(uuid string, e bus.Event) { a.end(host, b, uuid, e) }
	a.sweeper.records, a.sweeper.results, a.sweeper.running, a.sweeper.next = b, make(chan swept, 2), false, time.Time{}
	a.recallRemovals()
	return nil
}

// sweep begins a sweep if it is time. Two goroutines, one after the other, wait for libvirt: the first reads, and the
// second acts, as between them it is judged with what the workers do.
func (a *Actuator) sweep(lv *libvirt.Connect, inv vm.Inventory) {
	s := &a.sweeper
	if s.running || a.cfg.RecordDir == "" || a.cfg.Now().Before(s.next) {
		return
	}
	s.running, s.next = true, a.cfg.Now().Add(a.cfg.sweepEvery)
	clear(s.ended)
	pools, b, results := a.cfg.Pools, s.records, s.results
	var idle []vm.VM
	for _, vm := range inv.Owned {
		if a.groups[vm.Meta.Group] != nil && a.workers[vm.UUID] == nil {
			idle = append(idle, vm)
		}
	}
	go func() {
		for _, vm := range idle {
			b.Begin(vm.Name, vm.Meta, "", "") // where it has none; it authorises nothing, but the VM's end will be said
		}
		found, err := orphan.Read(lv, b, pools, inv.Owned)
		results <- swept{&found, err}
	}()
}

// swept takes a step of a sweep.
func (a *Actuator) swept(ctx context.Context, lv *libvirt.Connect, step swept) {
	s := &a.sweeper
	if step.survey == nil || step.err != nil {
		s.records.Report(step.err)
		s.running = false
		return
	}
	var jobs []orphan.Orphan
	since := map[string]time.Time{}
	now := a.cfg.Now()
	for _, o := range a.orphans(*step.survey) {
		if s.since[o.Key()].IsZero() {
			since[o.Key()] = now
		} else {
			since[o.Key()] = s.since[o.Key()]
		}
	}
	s.since = since
	maps.DeleteFunc(s.failed, func(uuid string, _ bool) bool {
		return !s.ended[uuid] && !slices.ContainsFunc(step.survey.Records, func(r orphan.VolumeRecord) bool { return r.UUID == uuid })
	})
	for _, o := range a.orphans(*step.survey) {
		held := a.held(o.Group)
		switch {
		case o.Action == orphan.Forget && s.failed[o.UUID]:
			o.Why = ""
			jobs = append(jobs, o)
		case o.Action == orphan.Forget, o.Action == orphan.Delete && held == "":
			jobs = append(jobs, o)
		case o.Action == orphan.Delete:
			a.tellOrphan(o, "left alone for now: "+held)
		case o.Action == orphan.Keep && now.Sub(o.Since) >= a.cfg.SweepGrace:
			a.tellOrphan(o, "left alone: "+o.Why)
		}
	}
	host, b, results := a.host, s.records, s.results
	go func() {
		for _, o := range jobs {
			if ctx.Err() != nil {
				break
			}
			a.finish(host, lv, b, o)
		}
		results <- swept{}
	}()
}

// orphans are those of a survey but what a worker is busy with, or was since the survey began, and those whose end is being
// said.
func (a *Actuator) orphans(found orphan.Scan) []orphan.Orphan {
	return slices.DeleteFunc(orphan.Find(found, a.cfg.Now(), a.cfg.SweepGrace, a.sweeper.since), func(o orphan.Orphan) bool {
		_, saying := a.pendingEnds.Load(o.UUID)
		return a.workers[o.UUID] != nil || a.sweeper.ended[o.UUID] || saying
	})
}

// held is why nothing of a group is deleted at the moment; "" is that it may be.
func (a *Actuator) held(name string) string {
	g := a.groups[name]
	switch {
	case g == nil:
		return ""
	case g.spec.DryRun || g.newest.Decision.Controls.DryRun:
		return "dry run"
	case g.newest.Decision.ID == "":
		return "no decision was heard yet"
	case g.newest.Decision.Controls.Frozen():
		return "the group is paused"
	}
	return ""
}

// tellOrphan publishes, once, why an orphan is left.
func (a *Actuator) tellOrphan(o orphan.Orphan, why string) {
	said := o.Key() + ": " + why
	if a.sweeper.told[said] {
		return
	}
	a.sweeper.told[said] = true
	a.tell(bus.Event{Group: o.Group, VM: o.VM, Event: bus.EventOrphan, Sentence: sentence(o, why)})
}

func sentence(o orphan.Orphan, why string) string {
	if o.What == orphan.DomainOrphan {
		return why + " (" + o.Path + ")"
	}
	return "volume " + o.Path + " without its domain: " + why
}

// finish deletes the volume of an orphan, and ends the record of one of which nothing is left. It runs in a goroutine of
// its own.
func (a *Actuator) finish(host string, lv *libvirt.Connect, b *orphan.Records, o orphan.Orphan) {
	if o.Action == orphan.Forget && !b.Has(o.UUID) {
		return // its end was said since the survey
	}
	e := bus.Event{Group: o.Group, VM: o.VM, Event: bus.EventRemoved, Sentence: o.Why}
	if o.VolumeRecord.Detached != nil {
		e.Event = bus.EventDetached
	}
	if ended := o.VolumeRecord.Ended; ended != nil {
		e.Sentence, e.By, e.Reason = ended.Sentence(), ended.By, ended.Reason
	}
	if o.Action == orphan.Delete {
		d, err := orphan.DeleteVolume(lv, b, o.VolumeRecord)
		b.Report(err)
		if !d.Deleted {
			return // the next sweep sees what there is
		}
		a.publish(host, bus.Event{Group: o.Group, VM: o.VM, Event: bus.EventOrphan, Sentence: sentence(o, "deleted, as "+o.Why)}, nil)
		if !d.Last {
			return // the VM's end is said with its last volume
		}
		e.Sentence = "its domain was gone, and its volume is deleted"
	}
	if e.Sentence == "" {
		b.Drop(o.UUID)
		return
	}
	a.end(host, b, o.UUID, e)
}

// end publishes the last event of a VM and drops its record once the history has it: so it is said at least once.
func (a *Actuator) end(host string, b *orphan.Records, uuid string, e bus.Event) {
	a.pendingEnds.Store(uuid, true)
	a.publish(host, e, func() {
		b.Drop(uuid)
		a.pendingEnds.Delete(uuid)
	})
}

// stopSweep waits for a sweep, whose context has ended, and reports whether it left.
func (a *Actuator) stopSweep() bool {
	deadline := time.NewTimer(stopDeadline)
	defer deadline.Stop()
	if !a.sweeper.running {
		return true
	}
	a.sweeper.running = false // the next connection sweeps again
	select {
	case <-a.sweeper.results: // a survey is not judged any more
		return true
	case <-deadline.C:
		return false
	}
}
