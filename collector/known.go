package collector

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// An event can be lost: the domains are listed again after listAfter, and one is read again after rereadAfter, although none has
// said that anything changed.
const (
	listAfter   = 15 * time.Second
	rereadAfter = 30 * time.Second
)

// known is what is remembered of a domain from one pass to the next.
type known struct {
	reading           // but for how its domain is at the moment
	ours    bool      // vmscaler owns it
	until   time.Time // when it is read again at the latest
	guest
}

// guest is what is remembered of a run of a domain.
type guest struct {
	process    *process // nil: not found, or not to be trusted
	last       counter  // run and vCPUs; exact once both sources have said the same
	givenMiB   int      // and its memory
	distrusted bool     // the kernel's figure of this run does not agree with libvirt's
	rest       *reading // as libvirt told it last, of a domain that does not run; nil: it runs, or how it is is unknown
}

// inventory reads the domains over one connection, and remembers of each what events tell the changes of. It is used by one
// goroutine at a time.
type inventory struct {
	conn     *libvirt.Connect
	local    bool              // libvirt is on this machine
	pids     string            // the folder of libvirt's files with the numbers of QEMU's processes; "": they are out of reach
	domains  map[string]*known // by UUID
	ours     []*known          // those that vmscaler owns, in the order of the list
	listAt   time.Time         // when they are listed again at the latest
	changed  changes
	started  bool  // it has asked for the events, if there are any
	listens  bool  // and gets them
	handlers []int // of the events
}

func newInventory(conn *libvirt.Connect, local bool) *inventory {
	return &inventory{conn: conn, local: local, domains: map[string]*known{}}
}

// changes are the domains that changed since they were last taken, as the goroutine of libvirt's events notes them.
type changes struct {
	mu    sync.Mutex
	uuids map[string]bool
}

func (c *changes) note(dom *libvirt.Domain) {
	uuid, err := dom.GetUUIDString() // which is no call to libvirtd
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.uuids == nil {
		c.uuids = map[string]bool{}
	}
	c.uuids[uuid] = true
}

func (c *changes) take() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.uuids
	c.uuids = nil
	return taken
}

// start finds out where processes are, and asks for the events that say that a domain must be read again. Without them, as of a
// driver that has none, each pass reads everything.
func (v *inventory) start() {
	v.started = true
	if uri, err := v.conn.GetURI(); err == nil && v.local {
		v.pids = pidFolder(uri, os.Getenv("XDG_RUNTIME_DIR"))
	}
	for _, register := range []func() (int, error){
		func() (int, error) {
			return v.conn.DomainEventLifecycleRegister(nil,
				func(_ *libvirt.Connect, dom *libvirt.Domain, _ *libvirt.DomainEventLifecycle) { v.changed.note(dom) })
		},
		func() (int, error) {
			return v.conn.DomainEventMetadataChangeRegister(nil,
				func(_ *libvirt.Connect, dom *libvirt.Domain, _ *libvirt.DomainEventMetadataChange) {
					v.changed.note(dom)
				})
		},
	} {
		id, err := register()
		if err != nil {
			return
		}
		v.handlers = append(v.handlers, id)
	}
	v.listens = true
}

// close ends the events, which would keep the connection, and lets the processes go.
func (v *inventory) close() {
	for _, k := range v.domains {
		k.process.close()
	}
	for _, id := range v.handlers {
		_ = v.conn.DomainEventDeregister(id) // a connection that is lost has none
	}
	_, _ = v.conn.Close()
}

// read is how the domains that vmscaler owns are. Where no event has come since they were listed, and the process of each that
// runs is known, only the kernel is asked.
func (v *inventory) read(now time.Time) ([]reading, error) {
	if !v.started {
		v.start()
	}
	changed := v.changed.take() // before the reading: what changes meanwhile is read again by the next pass
	if v.listens && len(changed) == 0 && now.Before(v.listAt) {
		if all, ok := v.again(); ok {
			return all, nil
		}
	}
	return v.list(changed, now)
}

// again are the domains of the last list as they are now; false where libvirt must be asked.
func (v *inventory) again() ([]reading, bool) {
	if alive, err := v.conn.IsAlive(); err != nil || !alive { // which is no call to libvirtd
		return nil, false
	}
	all := make([]reading, 0, len(v.ours))
	for _, k := range v.ours {
		r, ok := k.again()
		if !ok {
			return nil, false
		}
		all = append(all, r)
	}
	return all, true
}

// list asks libvirt for them. Its calls (list, metadata, info) are answered by libvirt itself in well under a millisecond each
// and never wait for a QEMU process. The bulk statistics call would: its cpu-total group asks the monitor, and with one stopped
// QEMU it hangs for all.
func (v *inventory) list(changed map[string]bool, now time.Time) ([]reading, error) {
	doms, err := v.conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	defer freeDomains(doms)
	runs, err := v.runs()
	if err != nil {
		return nil, err
	}
	var all []reading
	var ours []*known
	listed := make(map[string]bool, len(doms))
	for i := range doms {
		uuid, err := doms[i].GetUUIDString()
		if err != nil {
			return nil, fmt.Errorf("read a domain's UUID: %w", err)
		}
		listed[uuid] = true
		k, again, err := v.know(&doms[i], uuid, !v.listens || changed[uuid], now)
		if err != nil {
			return nil, err
		}
		v.domains[uuid] = k
		if !k.ours {
			continue
		}
		r, there := k.quick(&doms[i], runs)
		if again || !there {
			r, there = k.measure(&doms[i], v.pids)
		}
		if there {
			all, ours = append(all, r), append(ours, k)
		}
	}
	for uuid, k := range v.domains {
		if !listed[uuid] {
			k.process.close()
			delete(v.domains, uuid)
		}
	}
	v.ours, v.listAt = ours, now.Add(listAfter)
	return all, nil
}

// runs are those of the domains that run at the moment. This list is quicker than to ask each one.
func (v *inventory) runs() (map[uint]bool, error) {
	if v.pids == "" {
		return nil, nil //nolint:nilnil // each is asked
	}
	doms, err := v.conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_RUNNING)
	if err != nil {
		return nil, fmt.Errorf("list the domains that run: %w", err)
	}
	defer freeDomains(doms)
	runs := make(map[uint]bool, len(doms))
	for i := range doms {
		if run, err := doms[i].GetID(); err == nil {
			runs[run] = true
		}
	}
	return runs, nil
}

// know is what is known of a domain. It is read where it is not known, where that is asked for, and when it is time; again
// reports whether it was.
func (v *inventory) know(dom *libvirt.Domain, uuid string, ask bool, now time.Time) (k *known, again bool, err error) {
	before := v.domains[uuid]
	if before != nil && !ask && now.Before(before.until) {
		return before, false, nil
	}
	if k, err = readKnown(dom, uuid); err != nil {
		return nil, false, err
	}
	if before == nil {
		k.until = now.Add(rand.N(rereadAfter)) // not all in the same pass
		return k, true, nil
	}
	k.until, k.guest = now.Add(rereadAfter), before.guest
	if !k.ours {
		k.drop()
	}
	return k, true, nil
}

// quick is a reading of a domain that runs, as the last one but for the CPU time; false where it needs more than that.
func (k *known) quick(dom *libvirt.Domain, runs map[uint]bool) (reading, bool) {
	if k.process == nil || !k.last.exact || !runs[k.last.run] {
		return reading{}, false
	}
	if run, err := dom.GetID(); err != nil || run != k.last.run {
		return reading{}, false
	}
	k.rest = nil
	return k.again()
}

// again is the last reading of a domain, with the CPU time of now where it runs; false where libvirt must be asked. While the
// process goes on the run does.
func (k *known) again() (reading, bool) {
	if k.rest != nil {
		return *k.rest, true
	}
	if !k.last.exact {
		return reading{}, false
	}
	cpu, err := k.process.cpu()
	if err != nil {
		return reading{}, false
	}
	r := k.reading
	r.state, r.memoryMiB, r.counter = bus.StateRunning, k.givenMiB, k.last
	r.counter.cpu, r.counter.at = cpu, time.Now()
	return r, true
}

// measure asks libvirt how a domain is, finds its process in a folder of libvirt's, and compares what the two say. Whatever is
// odd about the process leaves libvirt's own figure.
func (k *known) measure(dom *libvirt.Domain, pids string) (r reading, there bool) {
	run, err := dom.GetID()
	active := err == nil
	if !active || run != k.last.run {
		k.drop()
		k.guest = guest{last: counter{run: run}}
	}
	if active && k.process == nil && !k.distrusted && pids != "" {
		k.process, _ = findProcess(pids, k.name, k.uuid) // it may not be there yet, or never: then libvirt is asked each time
	}
	before, early := k.process.cpu()
	r, k.rest = k.reading, nil
	there = readInfo(dom, &r)
	if k.take(r, there); !there || r.state != bus.StateRunning {
		return r, there
	}
	after, late := k.process.cpu()
	at := time.Now()
	k.last, k.givenMiB = r.counter, r.memoryMiB
	switch {
	case early != nil || late != nil:
		k.drop()
	case !agrees(before, r.counter.cpu, after):
		k.drop()
		k.distrusted = true
	default:
		r.counter.cpu, r.counter.at, r.counter.exact = after, at, true
		k.last = r.counter
	}
	return r, true
}

// take remembers how a domain is that does not run. Where that is not known, nothing of before holds.
func (k *known) take(r reading, there bool) {
	switch {
	case r.err != nil:
		k.last.exact = false
	case there && r.state != bus.StateRunning:
		k.rest = &r
	}
}

// drop lets the process go.
func (g *guest) drop() {
	g.process.close()
	g.process = nil
}
