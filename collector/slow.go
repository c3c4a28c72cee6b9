package collector

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"libvirt.org/go/libvirt"
)

// slowReading is what needs the QEMU monitor, or may wait for a lock in libvirt. It is read beside the tick.
type slowReading struct {
	at            time.Time
	memoryUsedMiB *int
	delay         time.Duration // cumulated wait of all vCPUs for a host core
	delayKnown    bool
	run           uint
	delayPercent  *float64
}

// slowRound is one round over the domains, which the goroutine that reads and the stage's own share.
type slowRound struct {
	started time.Time
	asking  atomic.Pointer[string] // the name of the VM that is being asked; nil before the first
}

// overdue reports which figures do not come, once the round has taken longer than the deadline: nil before.
func (r *slowRound) overdue(now time.Time) error {
	if r == nil || now.Sub(r.started) < slowDeadline {
		return nil
	}
	if vm := r.asking.Load(); vm != nil {
		return fmt.Errorf(
			"the QEMU process of %s does not answer (it may be stopped): memory and delay figures stay unknown until it does",
			*vm,
		)
	}
	return errors.New(
		"libvirt does not say how full the storage pool is: free space, memory and delay figures stay unknown until it does",
	)
}

type runningVM struct{ name, uuid string }

// slowResult is what a round returns.
type slowResult struct {
	vms         map[string]slowReading // by UUID
	poolFreeMiB *int
	at          time.Time // when the round began
	err         error
}

// slowReader makes the rounds, over a connection of its own.
type slowReader struct {
	dial func(context.Context) (*libvirt.Connect, error)
	conn *libvirt.Connect // nil before the first round
}

func (r *slowReader) close() {
	if r.conn != nil {
		_, _ = r.conn.Close()
	}
}

func (r *slowReader) read(ctx context.Context, round *slowRound, vms []runningVM, pool string, local bool) slowResult {
	if r.conn != nil {
		if alive, err := r.conn.IsAlive(); err != nil || !alive {
			r.close()
			r.conn = nil
		}
	}
	if r.conn == nil {
		conn, err := r.dial(ctx)
		if err != nil {
			return slowResult{at: round.started, err: fmt.Errorf("reach libvirt: %w", err)}
		}
		r.conn = conn
	}
	return readSlow(r.conn, round, vms, pool, local)
}

// readSlow asks one domain after the other, so that at most one call is in flight. A stopped QEMU holds it up
// until that process goes on; the caller gives up on the whole round at its deadline, says so, and starts no other
// one until this one has returned.
func readSlow(conn *libvirt.Connect, round *slowRound, vms []runningVM, pool string, local bool) slowResult {
	res := slowResult{vms: map[string]slowReading{}, at: round.started}
	if free, err := poolFreeMiB(conn, pool, local); err == nil {
		res.poolFreeMiB = &free
	} else {
		res.err = err
	}
	for _, vm := range vms {
		round.asking.Store(&vm.name)
		dom, err := conn.LookupDomainByUUIDString(vm.uuid)
		if err != nil {
			continue // gone since the tick
		}
		if r, err := readSlowDomain(conn, dom); err == nil {
			res.vms[vm.uuid] = r
		}
		_ = dom.Free()
	}
	return res
}

func readSlowDomain(conn *libvirt.Connect, dom *libvirt.Domain) (slowReading, error) {
	run, err := dom.GetID()
	if err != nil {
		return slowReading{}, err
	}
	stats, err := conn.GetAllDomainStats([]*libvirt.Domain{dom}, libvirt.DOMAIN_STATS_BALLOON|libvirt.DOMAIN_STATS_VCPU,
		libvirt.CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
	if err != nil {
		return slowReading{}, err
	}
	r := slowReading{at: time.Now(), run: run}
	for _, s := range stats {
		if b := s.Balloon; b != nil && b.AvailableSet && b.UsableSet && b.Usable <= b.Available {
			mib := int((b.Available - b.Usable) / 1024)
			r.memoryUsedMiB = &mib
		}
		for _, v := range s.Vcpu {
			if v.DelaySet {
				r.delay += time.Duration(v.Delay)
				r.delayKnown = true
			}
		}
		_ = s.Domain.Free()
	}
	return r, nil
}

// runDelayPercent is the share of time that a VM's vCPUs waited for a host core between two readings, 100 being
// all vCPUs all the time; nil where it is unknown.
func runDelayPercent(before, now slowReading, vcpus int) *float64 {
	window := now.at.Sub(before.at)
	if !before.delayKnown || !now.delayKnown || before.run != now.run || now.delay < before.delay || window <= 0 || vcpus < 1 {
		return nil
	}
	p := 100 * float64(now.delay-before.delay) / (float64(window) * float64(vcpus))
	return &p
}
