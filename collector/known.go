package collector

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
)

// rereadAfter is after how long a domain is read again although no event has said that it changed: an event can be lost.
const rereadAfter = 10 * time.Second

// known is what is remembered of a domain from one pass to the next.
type known struct {
	reading           // but for what info says, which each pass reads
	ours    bool      // vmscaler owns it
	until   time.Time // when it is read again at the latest
}

// inventory reads the domains over one connection, and remembers of each what events tell the changes of. It is used by one
// goroutine at a time.
type inventory struct {
	conn     *libvirt.Connect
	domains  map[string]*known // by UUID
	changed  changes
	started  bool  // it has asked for the events
	listens  bool  // and gets them
	handlers []int // of the events
}

func newInventory(conn *libvirt.Connect) *inventory {
	return &inventory{conn: conn, domains: map[string]*known{}}
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

// listen asks for the events that say that a domain must be read again. Without them, as of a driver that has none, each pass
// reads everything.
func (v *inventory) listen() {
	v.started = true
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

// close ends the events, which would keep the connection.
func (v *inventory) close() {
	for _, id := range v.handlers {
		_ = v.conn.DomainEventDeregister(id) // a connection that is lost has none
	}
	_, _ = v.conn.Close()
}

// read lists the domains that vmscaler owns. Its calls (list, metadata, info) are answered by libvirt itself in well under
// a millisecond each and never wait for a QEMU process. The bulk statistics call would: its cpu-total group asks the monitor,
// and with one stopped QEMU it hangs for all.
func (v *inventory) read(now time.Time) ([]reading, error) {
	if !v.started {
		v.listen()
	}
	changed := v.changed.take() // before the reading: what changes meanwhile is read again by the next pass
	doms, err := v.conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	defer freeDomains(doms)
	var all []reading
	listed := make(map[string]*known, len(doms))
	for i := range doms {
		uuid, err := doms[i].GetUUIDString()
		if err != nil {
			return nil, fmt.Errorf("read a domain's UUID: %w", err)
		}
		k := v.domains[uuid]
		if k == nil || !v.listens || changed[uuid] || !now.Before(k.until) {
			first := k == nil
			if k, err = readKnown(&doms[i], uuid); err != nil {
				return nil, err
			}
			k.until = now.Add(rereadAfter)
			if first { // not all in the same pass
				k.until = now.Add(rand.N(rereadAfter))
			}
		}
		listed[uuid] = k
		if !k.ours {
			continue
		}
		r := k.reading
		if there := readInfo(&doms[i], &r); there {
			all = append(all, r)
		}
	}
	v.domains = listed
	return all, nil
}
