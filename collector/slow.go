package collector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// slowReading is what needs the QEMU monitor, or may wait for a lock in libvirt. It is read beside the tick.
type slowReading struct {
	at            time.Time
	memoryUsedMiB *int
	delay         time.Duration // cumulated wait of all vCPUs for a host core
	delayKnown    bool
	run           uint
	delayPercent  *float64
	traffic       traffic
	rates         *bus.Rates // nil where they were not asked for
	address       string     // as the host sees it; "" is not known
}

// traffic is what a run of a domain has moved since its start, in bytes.
type traffic struct {
	asked        bool
	rx, tx       uint64
	read, write  uint64
	nics, disks  int  // whose counters these are
	nicsComplete bool // that is all of them
}

// trafficOf sums the counters of a domain's devices up. A NIC of user-mode networking has none.
func trafficOf(s *libvirt.DomainStats) traffic {
	t := traffic{asked: true, nics: len(s.Net), nicsComplete: true, disks: len(s.Block)}
	for _, n := range s.Net {
		t.nicsComplete = t.nicsComplete && n.RxBytesSet && n.TxBytesSet
		t.rx, t.tx = t.rx+n.RxBytes, t.tx+n.TxBytes
	}
	for _, b := range s.Block {
		if !b.RdBytesSet || !b.WrBytesSet {
			t.disks = 0 // it did not say, as where another job keeps the monitor busy
			break
		}
		t.read, t.write = t.read+b.RdBytes, t.write+b.WrBytes
	}
	return t
}

// ratesBetween are what a domain moved between two readings; nil where they were not asked for.
func ratesBetween(before, now slowReading) *bus.Rates {
	b, n := before.traffic, now.traffic
	if !n.asked {
		return nil
	}
	rates, window := &bus.Rates{}, now.at.Sub(before.at)
	if !b.asked || before.run != now.run || window <= 0 {
		return rates
	}
	rate := func(before, now uint64) *float64 {
		if now < before {
			return nil
		}
		const mib = 1 << 20
		return new(math.Round(float64(now-before)/mib/window.Seconds()*1000) / 1000)
	}
	if n.nics > 0 && n.nics == b.nics && n.nicsComplete && b.nicsComplete {
		rates.NetworkRx, rates.NetworkTx = rate(b.rx, n.rx), rate(b.tx, n.tx)
	}
	if n.disks > 0 && n.disks == b.disks {
		rates.DiskRead, rates.DiskWrite = rate(b.read, n.read), rate(b.write, n.write)
	}
	return rates
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

type runningVM struct {
	name, uuid string
	rates      bool // its group follows what it moves
}

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
		if r, err := readSlowDomain(conn, dom, vm.rates); err == nil {
			res.vms[vm.uuid] = r
		}
		_ = dom.Free()
	}
	return res
}

func readSlowDomain(conn *libvirt.Connect, dom *libvirt.Domain, rates bool) (slowReading, error) {
	run, err := dom.GetID()
	if err != nil {
		return slowReading{}, err
	}
	kinds := libvirt.DOMAIN_STATS_BALLOON | libvirt.DOMAIN_STATS_VCPU
	if rates {
		kinds |= libvirt.DOMAIN_STATS_INTERFACE | libvirt.DOMAIN_STATS_BLOCK
	}
	stats, err := conn.GetAllDomainStats([]*libvirt.Domain{dom}, kinds, libvirt.CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)
	if err != nil {
		return slowReading{}, err
	}
	r := slowReading{at: time.Now(), run: run, address: addressOf(dom)}
	for _, s := range stats {
		if b := s.Balloon; b != nil && b.AvailableSet && b.UsableSet && b.Usable <= b.Available {
			mib := int((b.Available - b.Usable) / 1024)
			r.memoryUsedMiB = &mib
		}
		if rates {
			r.traffic = trafficOf(&s)
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

// addressOf is where others reach a VM, as its host sees it: by its DHCP lease, or else by ARP. Neither asks the guest, though
// ARP is what the guest says on its network.
func addressOf(dom *libvirt.Domain) string {
	for _, source := range []libvirt.DomainInterfaceAddressesSource{
		libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP,
	} {
		interfaces, err := dom.ListAllInterfaceAddresses(source)
		if err != nil {
			continue // a libvirt that does not know its networks
		}
		var texts []string
		for _, i := range interfaces {
			for _, a := range i.Addrs {
				texts = append(texts, a.Addr)
			}
		}
		if address := bus.ChooseAddress(texts); address != "" {
			return address
		}
	}
	return ""
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
