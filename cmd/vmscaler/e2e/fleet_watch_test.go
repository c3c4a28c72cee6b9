//go:build fleet

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// How long a step may take on a machine that is busy with other tests. Nothing waits for it when all is well.
const fleetStep = 3 * time.Minute

// fleetVMs is how many VMs the group has, and may have.
const fleetVMs = 6

// fleetGroup has guests that are up at once, and no VM to spare: it is at its max all the time.
const fleetGroup = `template: tiny
min: 6
max: 6
memory: 32MiB
ready_when: uptime
ready_after: 1s
boot_timeout: 4m
shutdown_timeout: 3s
policy: {upper: 98, lower: 1}`

// fleetWatch is what is seen of a fleet: what each server says, whoever can hear it, and what each libvirt has.
type fleetWatch struct {
	f         *hostFleet
	conns     []*client.Conn
	decisions chan bus.Decision
	samples   chan bus.Sample

	decision bus.Decision          // the newest one
	ids      map[string]bus.HostID // of hosts, by their names
	terms    []int64               // that were seen to decide, in their order
	changes  []standingChange
	began    time.Time             // of the present fault
	seen     map[string]*fleetSeen // VMs, by their UUIDs
	ignored  []string              // VMs that the history need not have
	most     int                   // VMs on hosts that count
	evidence evidence
}

// standingChange is a change of where a host stands, as decisions tell it.
type standingChange struct {
	host  string
	state bus.HostState
	at    time.Time
}

// fleetSeen is a VM that a libvirt had.
type fleetSeen struct {
	name string
	host *fleetHost
	gone bool
}

// watchAll listens to each server.
func (f *hostFleet) watchAll() *fleetWatch {
	f.t.Helper()
	w := &fleetWatch{
		f: f, decisions: make(chan bus.Decision, 256), samples: make(chan bus.Sample, 256),
		ids: map[string]bus.HostID{}, seen: map[string]*fleetSeen{}, began: time.Now(), evidence: newEvidence(),
	}
	for _, h := range f.hosts {
		conn, err := client.Dial(h.remote(), "e2e", zerolog.Nop())
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(conn.Close)
		if err := errors.Join(
			client.Subscribe(conn, bus.AllSamples, w.samples), client.Subscribe(conn, bus.AllDecisions, w.decisions),
		); err != nil {
			f.t.Fatal(err)
		}
		w.conns = append(w.conns, conn)
	}
	return w
}

// until waits until a check finds nothing wrong, and meanwhile looks at what must hold at any moment.
func (w *fleetWatch) until(limit time.Duration, what string, check func() error) {
	w.f.t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case d := <-w.decisions:
			w.take(d)
			continue
		case s := <-w.samples:
			w.ids[s.Host] = s.HostID
			w.evidence.take(s, w.f.ahead(s.Host))
			continue
		case <-look.C:
		}
		w.audit()
		err := check()
		if err == nil {
			w.f.t.Logf("%6.1f s: %s", time.Since(w.began).Seconds(), what)
			return
		}
		select {
		case <-deadline.C:
			w.f.t.Fatalf("not within %s: %s: %s; %s", limit, what, err, w.last())
		default:
		}
	}
}

func (w *fleetWatch) last() string {
	d := w.decision
	return fmt.Sprintf("last decision, of term %d at %s: %q, inputs %+v, shares %+v, hosts %+v",
		d.Term, d.Time.Format(time.TimeOnly), d.Sentence, d.Inputs, d.Shares, d.Hosts)
}

// take keeps a decision that is newer than those before it, and notes what it says of hosts.
func (w *fleetWatch) take(d bus.Decision) {
	held := w.decision
	if d.Group != w.f.group || d.Term < held.Term || d.Term == held.Term && d.Seq <= held.Seq {
		return
	}
	if d.Term != held.Term {
		w.terms = append(w.terms, d.Term)
		w.f.t.Logf("%6.1f s: term %d begins", d.Time.Sub(w.began).Seconds(), d.Term)
	}
	w.decision = d
	for _, h := range w.f.hosts {
		is, was := stateOf(d, h.name), stateOf(held, h.name)
		if is == was {
			continue
		}
		w.changes = append(w.changes, standingChange{h.name, is, d.Time})
		w.f.t.Logf("%6.1f s: %s is %s, was %s", d.Time.Sub(w.began).Seconds(), h.name, is, was)
	}
}

// stateOf is where a host stands by a decision, which names those that are not just up.
func stateOf(d bus.Decision, name string) bus.HostState {
	for _, s := range d.Hosts {
		if s.Host == name {
			return s.State
		}
	}
	return bus.HostUp
}

// after is how long after the fault a host came to stand so for the first time.
func (w *fleetWatch) after(h *fleetHost, state bus.HostState) (time.Duration, bool) {
	for _, c := range w.changes {
		if c.host == h.name && c.state == state && !c.at.Before(w.began) {
			return c.at.Sub(w.began), true
		}
	}
	return 0, false
}

// audit looks at each libvirt: on hosts that are not lost there are never more VMs than max.
func (w *fleetWatch) audit() {
	w.f.t.Helper()
	counting := 0
	for _, h := range w.f.hosts {
		select {
		case p := <-h.w.ended:
			w.f.t.Fatalf("%s ended by itself (%v):\n%s", p.name, p.err, p.text())
		default:
		}
		vms, ok := h.vms()
		if !ok {
			continue
		}
		if !h.excused {
			counting += len(vms)
		}
		w.note(h, vms)
	}
	if w.most = max(w.most, counting); counting > w.f.max {
		w.f.t.Errorf("%d VMs on hosts that are not lost, max is %d: %s; %s", counting, w.f.max, w.where(), w.last())
	}
}

// where are the VMs.
func (w *fleetWatch) where() string {
	var all []string
	for _, h := range w.f.hosts {
		vms, _ := h.vms()
		var names []string
		for _, vm := range vms {
			names = append(names, fmt.Sprintf("%s (%s, %s)", vm.Name, vm.Meta.Phase, vm.State))
		}
		all = append(all, h.name+": "+strings.Join(names, ", "))
	}
	return strings.Join(all, "; ")
}

func (w *fleetWatch) note(h *fleetHost, vms []vm.VM) {
	for _, vm := range vms {
		if w.seen[vm.UUID] == nil {
			w.seen[vm.UUID] = &fleetSeen{name: vm.Name, host: h}
		}
	}
	for uuid, s := range w.seen {
		if s.host == h {
			s.gone = !slices.ContainsFunc(vms, func(vm vm.VM) bool { return vm.UUID == uuid })
		}
	}
}

// vms are the group's VMs on a host, by its libvirt itself; false where that does not run.
func (h *fleetHost) vms() ([]vm.VM, bool) {
	if h.dead {
		return nil, false
	}
	inv, err := vm.ReadInventory(h.w.conn)
	if err != nil {
		return nil, false
	}
	return inv.Group(h.f.group), true
}

// count is how many VMs hosts have.
func count(hosts ...*fleetHost) int {
	n := 0
	for _, h := range hosts {
		vms, _ := h.vms()
		n += len(vms)
	}
	return n
}

// ends checks at the end what must hold of the whole, and stops all.
func (f *hostFleet) ends() {
	f.t.Helper()
	f.settled()
	f.until(fleetStep, "the history is complete", f.historyComplete)
	for _, h := range f.hosts {
		h.foreign()
	}
	for _, h := range f.hosts {
		for _, stage := range h.stages() {
			h.procs[stage].stop()
		}
	}
	f.t.Logf("most VMs at once on hosts that were not lost: %d of at most %d", f.most, f.max)
}

// historyComplete checks that the history knows of each VM that was seen, and that no term acts after a later one.
func (w *fleetWatch) historyComplete() error {
	ctx, cancel := context.WithTimeout(w.f.t.Context(), 20*time.Second)
	defer cancel()
	begun, ended := map[string]int{}, map[string]int{}
	var term int64
	err := client.ReadHistory(ctx, w.conns[0], client.HistoryQuery{Group: w.f.group}, func(e client.HistoryEntry) error {
		switch {
		case e.Decision != nil && e.Decision.Direction != bus.Hold && e.Decision.Term < term:
			return fmt.Errorf("term %d decides %q after term %d", e.Decision.Term, e.Decision.Sentence, term)
		case e.Decision != nil:
			term = max(term, e.Decision.Term)
		case e.Event.Event == bus.EventCreating:
			begun[e.Event.VM]++
		case slices.Contains([]bus.EventType{bus.EventRemoved, bus.EventDied, bus.EventFailed}, e.Event.Event):
			ended[e.Event.VM]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	lives, deaths := map[string]int{}, map[string]int{}
	for uuid, s := range w.seen {
		if slices.Contains(w.ignored, uuid) {
			continue
		}
		if lives[s.name]++; s.gone {
			deaths[s.name]++
		}
	}
	for name, n := range lives {
		if begun[name] < n || ended[name] < deaths[name] {
			return fmt.Errorf("%s: %d beginnings and %d ends of %d and %d", name, begun[name], ended[name], n, deaths[name])
		}
	}
	return nil
}
