package collector

import (
	"context"
	"sync/atomic"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// promises are what all running domains, also foreign ones, may still touch of the memory that they were given.
type promises struct {
	at  time.Time
	mib map[string]*int // by UUID; nil is unknown
}

// has reports whether a domain ran when the promises were read.
func (p *promises) has(uuid string) bool {
	if p == nil {
		return false
	}
	_, listed := p.mib[uuid]
	return listed
}

// unused is how much a domain may still touch, nil where that is unknown. Memory in huge pages was taken from what is free when
// the pages were reserved.
func unused(givenMiB int, residentMiB *int, hugePages bool) *int {
	switch {
	case hugePages:
		return new(0)
	case residentMiB == nil:
		return nil
	}
	return new(max(givenMiB-*residentMiB, 0)) // QEMU's own memory is resident, too
}

// promisedMiB sums the promises up for this moment: without own VMs that have ended since, and with all of what those were given
// that were started since. An unknown one counts nothing. Nil is that no promises are known, or only old ones.
//
// running is what each own VM that runs has been given; ended are those that ran before, and do not.
func promisedMiB(p *promises, now time.Time, running map[string]int, ended map[string]bool) *int {
	if p == nil || now.Sub(p.at) >= slowMaxAge {
		return nil
	}
	sum := 0
	for uuid, mib := range p.mib {
		if mib != nil && !ended[uuid] {
			sum += *mib
		}
	}
	for uuid, given := range running {
		if !p.has(uuid) {
			sum += given
		}
	}
	return &sum
}

// promiseReader reads promises again and again. How much is resident needs the QEMU monitor, and a foreign QEMU that does not
// answer must hold up nothing else: so it has a goroutine and a connection of its own, and what it has read grows old then.
type promiseReader struct {
	latest atomic.Pointer[promises]
	asking atomic.Pointer[slowRound] // of the domain that is asked at the moment
}

// overdue reports which domain does not answer, once it has been asked for longer than the deadline: nil before. While it is
// asked here the slow round does not wait for it.
func (r *promiseReader) overdue(now time.Time) error { return r.asking.Load().overdue(now) }

// run reads until ctx ends. What keeps it from reading keeps the stage's own connection from it, too, which says so.
func (r *promiseReader) run(ctx context.Context, dial func(context.Context) (*libvirt.Connect, error)) {
	var conn *libvirt.Connect
	hangUp := func() {
		if conn != nil {
			_, _ = conn.Close()
			conn = nil
		}
	}
	defer hangUp()
	again := time.NewTicker(slowInterval)
	defer again.Stop()
	for {
		var err error
		if conn == nil {
			conn, err = dial(ctx)
		}
		if err == nil {
			var p *promises
			if p, err = r.read(ctx, conn); err == nil {
				r.latest.Store(p)
			}
		}
		if err != nil {
			hangUp()
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func (r *promiseReader) read(ctx context.Context, conn *libvirt.Connect) (*promises, error) {
	defer r.asking.Store(nil)
	p := &promises{at: time.Now(), mib: map[string]*int{}}
	doms, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return nil, err
	}
	defer func() {
		for i := range doms {
			_ = doms[i].Free()
		}
	}()
	for i := range doms {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		uuid, err := doms[i].GetUUIDString()
		if err != nil {
			continue
		}
		name, err := doms[i].GetName()
		if err != nil {
			continue
		}
		asked := &slowRound{started: time.Now()}
		asked.asking.Store(&name)
		r.asking.Store(asked)
		info, err := doms[i].GetInfo()
		if err != nil {
			continue // it is gone
		}
		p.mib[uuid] = unused(int(info.Memory/1024), residentMiB(&doms[i]), inHugePages(&doms[i]))
	}
	return p, nil
}

func residentMiB(dom *libvirt.Domain) *int {
	stats, err := dom.MemoryStats(uint32(libvirt.DOMAIN_MEMORY_STAT_NR), 0)
	if err != nil {
		return nil
	}
	for _, s := range stats {
		if s.Tag == int32(libvirt.DOMAIN_MEMORY_STAT_RSS) {
			return new(int(s.Val / 1024))
		}
	}
	return nil
}

func inHugePages(dom *libvirt.Domain) bool {
	text, err := dom.GetXMLDesc(0)
	var d libvirtxml.Domain
	return err == nil && d.Unmarshal(text) == nil && d.MemoryBacking != nil && d.MemoryBacking.MemoryHugePages != nil
}
