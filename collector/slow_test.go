package collector

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// A round that does not come back is reported with what it waits for, and not before its deadline.
func TestOverdueRound(t *testing.T) {
	start := time.Now()
	name := "web-2"
	asking := func(vm *string) *slowRound {
		r := &slowRound{started: start}
		r.asking.Store(vm)
		return r
	}
	for _, c := range []struct {
		name  string
		round *slowRound
		after time.Duration
		want  string // "" is nothing to report
	}{
		{"none under way", nil, time.Hour, ""},
		{"in time", asking(&name), slowDeadline - 1, ""},
		{"a VM does not answer", asking(&name), slowDeadline, "web-2"},
		{"the pool does not", asking(nil), slowDeadline, "storage pool"},
	} {
		err := c.round.overdue(start.Add(c.after))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestTraffic(t *testing.T) {
	nic := func(rx, tx uint64) libvirt.DomainStatsNet {
		return libvirt.DomainStatsNet{RxBytesSet: true, RxBytes: rx, TxBytesSet: true, TxBytes: tx}
	}
	disk := func(read, written uint64) libvirt.DomainStatsBlock {
		return libvirt.DomainStatsBlock{RdBytesSet: true, RdBytes: read, WrBytesSet: true, WrBytes: written}
	}
	got := trafficOf(&libvirt.DomainStats{
		Net:   []libvirt.DomainStatsNet{nic(1, 2), nic(10, 20)},
		Block: []libvirt.DomainStatsBlock{disk(3, 4), disk(30, 40)},
	})
	want := traffic{asked: true, rx: 11, tx: 22, read: 33, write: 44, nics: 2, disks: 2, nicsComplete: true}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got = trafficOf(&libvirt.DomainStats{
		Net:   []libvirt.DomainStatsNet{nic(1, 2), {}}, // the second is of user-mode networking
		Block: []libvirt.DomainStatsBlock{{NameSet: true}},
	})
	if got.nicsComplete || got.disks != 0 {
		t.Errorf("devices without counters: %+v", got)
	}
}

func TestRates(t *testing.T) {
	const mib = 1 << 20
	start := time.Now()
	at := func(seconds int, moved uint64, change ...func(*slowReading)) slowReading {
		r := slowReading{at: start.Add(time.Duration(seconds) * time.Second), run: 7, traffic: traffic{
			asked: true, rx: moved, tx: 2 * moved, read: 3 * moved, write: 4 * moved, nics: 1, disks: 1, nicsComplete: true,
		}}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	all := &bus.Rates{NetworkRx: new(1.5), NetworkTx: new(3.), DiskRead: new(4.5), DiskWrite: new(6.)}
	for _, tt := range []struct {
		name        string
		before, now slowReading
		want        *bus.Rates
	}{
		{"ten seconds", at(0, 5*mib), at(10, 20*mib), all},
		{
			"nothing moved", at(0, mib), at(10, mib),
			&bus.Rates{NetworkRx: new(0.), NetworkTx: new(0.), DiskRead: new(0.), DiskWrite: new(0.)},
		},
		{"not asked for", at(0, 0), at(10, mib, func(r *slowReading) { r.traffic = traffic{} }), nil},
		{"asked for the first time", slowReading{}, at(10, mib), &bus.Rates{}},
		{"another run", at(0, 0), at(10, mib, func(r *slowReading) { r.run = 8 }), &bus.Rates{}},
		{"counters went back", at(0, 2*mib), at(10, mib), &bus.Rates{}},
		{"no time has passed", at(0, 0), at(0, mib), &bus.Rates{}},
		{
			"another NIC", at(0, 0), at(10, 15*mib, func(r *slowReading) { r.traffic.nics = 2 }),
			&bus.Rates{DiskRead: all.DiskRead, DiskWrite: all.DiskWrite},
		},
		{
			"no NIC", at(0, 0, func(r *slowReading) { r.traffic.nics = 0 }), at(10, 15*mib, func(r *slowReading) { r.traffic.nics = 0 }),
			&bus.Rates{DiskRead: all.DiskRead, DiskWrite: all.DiskWrite},
		},
		{
			"a NIC without counters", at(0, 0), at(10, 15*mib, func(r *slowReading) { r.traffic.nicsComplete = false }),
			&bus.Rates{DiskRead: all.DiskRead, DiskWrite: all.DiskWrite},
		},
		{
			"disks did not say", at(0, 0), at(10, 15*mib, func(r *slowReading) { r.traffic.disks = 0 }),
			&bus.Rates{NetworkRx: all.NetworkRx, NetworkTx: all.NetworkTx},
		},
	} {
		if got := ratesBetween(tt.before, tt.now); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
