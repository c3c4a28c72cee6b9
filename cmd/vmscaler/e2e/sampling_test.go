package e2e

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// TestAgreesWithDomstats compares the counters that samples are made from with the one of `virsh domstats
// --cpu-total`, on a VM under load. Each reading of the one is taken between two of the other, so that no delay can
// make them differ.
func TestAgreesWithDomstats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("max: 1"), "--log-level", "debug")
	p.untilReady(1)
	name := w.group + "-1"
	if w.uri == "qemu:///system" {
		p.says(name, "its CPU time is read from the kernel")
	}
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	go func() { loaded <- runUntil(ctx, w.command("load", name, "--for", "1h")) }()
	busy := func() bool {
		return len(p.sample.VMs) == 1 && p.sample.VMs[0].CPUPercent != nil && *p.sample.VMs[0].CPUPercent > 50
	}
	p.until("the VM is busy", busy)

	dom := w.domain(name)
	start := w.readCounters(dom)
	samples := 0
	p.until("it was busy for five samples", func() bool {
		if busy() {
			samples++
		}
		return samples >= 5
	})
	end := w.readCounters(dom)
	// Info counts in steps of 10 ms; a cgroup's figure can include threads that the process's does not.
	const tolerance = 50 * time.Millisecond
	got := end.domstats - start.domstats
	least, most := end.infoBefore-start.infoAfter-tolerance, end.infoAfter-start.infoBefore+tolerance
	if got < least || got > most {
		t.Errorf("domstats counted %s, info between %s and %s", got, least, most)
	}
	if w.uri == "qemu:///system" {
		least, most = end.clockBefore-start.clockAfter-tolerance, end.clockAfter-start.clockBefore+tolerance
		if got < least || got > most || end.clockAfter < end.infoBefore-tolerance || end.clockBefore > end.infoAfter+tolerance {
			t.Errorf("domstats counted %s, the process's clock between %s and %s: %+v, %+v", got, least, most, start, end)
		}
	}
	cancel()
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	p.stop()
}

type counters struct{ clockBefore, infoBefore, domstats, infoAfter, clockAfter time.Duration }

func (w *world) readCounters(dom *libvirt.Domain) counters {
	w.t.Helper()
	info := func() time.Duration {
		i, err := dom.GetInfo()
		if err != nil {
			w.t.Fatal(err)
		}
		return time.Duration(i.CpuTime)
	}
	c := counters{clockBefore: w.clockOf(dom), infoBefore: info()}
	stats, err := w.conn.GetAllDomainStats([]*libvirt.Domain{dom}, libvirt.DOMAIN_STATS_CPU_TOTAL, 0)
	if err != nil || len(stats) != 1 || stats[0].Cpu == nil || !stats[0].Cpu.TimeSet {
		w.t.Fatalf("domstats: %+v, %v", stats, err)
	}
	c.domstats = time.Duration(stats[0].Cpu.Time)
	_ = stats[0].Domain.Free()
	c.infoAfter, c.clockAfter = info(), w.clockOf(dom)
	return c
}

// clockOf is the clock of the CPU time of a domain's process; 0 where this user's libvirt runs it.
func (w *world) clockOf(dom *libvirt.Domain) time.Duration {
	w.t.Helper()
	if w.uri != "qemu:///system" {
		return 0
	}
	name, err := dom.GetName()
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile("/run/libvirt/qemu/" + name + ".pid")
	if err != nil {
		w.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		w.t.Fatal(err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &now); err != nil { // clock_getcpuclockid(3)
		w.t.Fatal(err)
	}
	return time.Duration(now.Nano())
}

// TestSampleShowsWhatOthersWrite: what another connection writes about a VM is in the next sample or the one after that, long
// before the collector would look for it by itself.
func TestSampleShowsWhatOthersWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("max: 1"))
	p.until("a sample has the VM", func() bool { return len(p.sample.VMs) == 1 })
	dom := w.domain(w.group + "-1")
	for _, element := range []string{bus.Protection{On: true, Since: time.Now()}.XML(), ""} {
		if err := dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, bus.ProtectionKey, bus.ProtectionURI,
			libvirt.DOMAIN_AFFECT_LIVE|libvirt.DOMAIN_AFFECT_CONFIG); err != nil {
			t.Fatal(err)
		}
		written, samples := time.Now(), map[time.Time]bool{}
		p.until("a sample shows "+element, func() bool {
			if p.sample.Time.After(written) {
				samples[p.sample.Time] = true
			}
			return len(p.sample.VMs) == 1 && p.sample.VMs[0].Protected == (element != "")
		})
		if len(samples) > 3 {
			t.Errorf("%d samples did not show %q", len(samples)-1, element)
		}
	}
	p.stop()
}

// TestReadyByLease: a guest whose agent is not asked is ready when it has a DHCP lease.
func TestReadyByLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.network == bus.UserNetwork {
		w.refused([]string{"run", "-c", w.config("ready_when: lease")}, "lease", "user")
		return
	}
	p := w.start(w.config("ready_when: lease"))
	p.untilReady(1)
	addresses, err := w.domain(w.group + "-1").ListAllInterfaceAddresses(libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
	if err != nil || len(addresses) == 0 {
		t.Errorf("ready by a lease, but libvirt knows %v (%v)", addresses, err)
	}
	p.stop()
}

// TestScalesOnWhatIsReceived: a group grows on what its VM receives, as libvirt counts it.
func TestScalesOnWhatIsReceived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 2\npolicy:\n  type: target\n  signal: network_rx\n  target_mib_s: 0.5"))
	p.untilReady(1)
	rates := func() bus.Rates {
		if len(p.sample.VMs) == 0 || p.sample.VMs[0].Rates == nil {
			return bus.Rates{}
		}
		return *p.sample.VMs[0].Rates
	}
	if w.network == bus.UserNetwork { // libvirt has no counters of it
		p.until("what its disk moves is known", func() bool { return rates().DiskRead != nil && rates().DiskWrite != nil })
		if r := rates(); r.NetworkRx != nil || p.decision.Desired != 1 {
			t.Errorf("%+v, %+v", r, p.decision)
		}
		p.stop()
		return
	}
	p.until("all that it moves is known", func() bool {
		r := rates()
		return r.NetworkRx != nil && r.NetworkTx != nil && r.DiskRead != nil && r.DiskWrite != nil
	})
	if d := p.decision; d.Desired != 1 {
		t.Errorf("it has grown without load: %q", d.Sentence)
	}
	addresses, err := w.domain(w.group + "-1").ListAllInterfaceAddresses(libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
	if err != nil || len(addresses) == 0 || len(addresses[0].Addrs) == 0 {
		t.Fatalf("libvirt knows %v (%v)", addresses, err)
	}
	to, err := net.Dial("udp", net.JoinHostPort(addresses[0].Addrs[0].Addr, "9"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = to.Close() }()
	done := make(chan struct{})
	defer func() { <-done }()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			for range 8 { // 1 MiB/s
				_, _ = to.Write(make([]byte, 1300)) // nobody listens there, which the guest says at times
			}
			<-tick.C
		}
	}()
	p.within(2*patience, "it grows", func() bool { return p.decision.Desired == 2 })
	if d, r := p.decision, rates(); !strings.Contains(d.Sentence, "average network_rx ") || *r.NetworkRx < 0.5 || *r.NetworkRx > 2 {
		t.Errorf("it says %q; the VM moves %+v", d.Sentence, r)
	}
	p.stop()
}
