package collector

import (
	"slices"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// inventoryOf is one of a connection of its own, as a session has it.
func inventoryOf(t *testing.T) *inventory {
	t.Helper()
	conn, err := dialTest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := newInventory(conn, false)
	t.Cleanup(v.close)
	return v
}

// all are the owned domains at a moment.
func (v *inventory) all(t *testing.T, now time.Time) []reading {
	t.Helper()
	all, err := v.read(now)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// await waits until events have said that domains changed.
func (v *inventory) await(t *testing.T, uuids ...string) {
	t.Helper()
	until(t, "an event of each", func() bool {
		v.changed.mu.Lock()
		defer v.changed.mu.Unlock()
		return !slices.ContainsFunc(uuids, func(uuid string) bool { return !v.changed.uuids[uuid] })
	})
}

func set(t *testing.T, dom *libvirt.Domain, key, uri, element string) {
	t.Helper()
	setAt(t, dom, key, uri, element, libvirt.DOMAIN_AFFECT_LIVE|libvirt.DOMAIN_AFFECT_CONFIG)
}

func setAt(t *testing.T, dom *libvirt.Domain, key, uri, element string, where libvirt.DomainModificationImpact) {
	t.Helper()
	if err := dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, key, uri, where); err != nil {
		t.Fatal(err)
	}
}

// changesOfAVM are what others write about a VM, and whether a reading shows it.
var changesOfAVM = []struct {
	name, key, uri, element string
	shows                   func(reading) bool
}{
	{
		"phase", bus.MetadataKey, bus.MetadataURI, must(bus.Metadata{
			Group: "web", UUID: ourUUID, Created: t0, Phase: bus.PhaseDraining, Since: t0, Pool: testPool, Volume: "x",
		}.XML()),
		func(r reading) bool { return r.meta.Phase == bus.PhaseDraining },
	},
	{
		"protection", bus.ProtectionKey, bus.ProtectionURI, bus.Protection{On: true, Since: t0}.XML(),
		func(r reading) bool { return r.protected },
	},
	{
		"order", bus.OrderKey, bus.OrderURI, must(bus.VMOrder{Verb: bus.VMReplace, At: t0}.XML()),
		func(r reading) bool { return r.order.Is(bus.VMReplace) },
	},
	{
		"restart", bus.RebootKey, bus.RebootURI, bus.Reboot{At: t0}.XML(),
		func(r reading) bool { return r.rebooted != nil && r.rebooted.Equal(t0) },
	},
}

func must(element string, err error) string {
	if err != nil {
		panic(err)
	}
	return element
}

// What another connection writes about a VM is in the first pass after its event, also when that comes at once.
func TestReadAgainAfterAnEvent(t *testing.T) {
	for _, c := range changesOfAVM {
		t.Run(c.name, func(t *testing.T) {
			conn := host(t)
			dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
			v, now := inventoryOf(t), time.Now()
			if all := v.all(t, now); len(all) != 1 || c.shows(all[0]) {
				t.Fatalf("before: %+v", all)
			}
			set(t, dom, c.key, c.uri, c.element)
			v.await(t, ourUUID)
			if all := v.all(t, now); len(all) != 1 || !c.shows(all[0]) {
				t.Fatalf("after the event: %+v", all)
			}
			if c.uri != bus.MetadataURI {
				set(t, dom, c.key, c.uri, "")
				v.await(t, ourUUID)
				if all := v.all(t, now); len(all) != 1 || c.shows(all[0]) {
					t.Fatalf("after it was removed: %+v", all)
				}
			}
		})
	}
}

// What was written about a VM while its memory was saved is kept, and not in what runs: that counts.
func TestReadWhatIsKept(t *testing.T) {
	for _, c := range changesOfAVM {
		t.Run(c.name, func(t *testing.T) {
			conn := host(t)
			dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
			setAt(t, dom, c.key, c.uri, c.element, libvirt.DOMAIN_AFFECT_CONFIG)
			if all := inventoryOf(t).all(t, time.Now()); len(all) != 1 || !c.shows(all[0]) {
				t.Errorf("it does not show: %+v", all)
			}
		})
	}
	t.Run("it was given away", func(t *testing.T) {
		conn := host(t)
		dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
		setAt(t, dom, bus.MetadataKey, bus.MetadataURI, "", libvirt.DOMAIN_AFFECT_CONFIG)
		if all := inventoryOf(t).all(t, time.Now()); len(all) > 0 {
			t.Errorf("it is ours: %+v", all)
		}
	})
	t.Run("nothing is kept", func(t *testing.T) {
		conn := host(t)
		dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
		if err := dom.Undefine(); err != nil {
			t.Fatal(err)
		}
		if all := inventoryOf(t).all(t, time.Now()); len(all) != 1 {
			t.Errorf("it is not ours: %+v", all)
		}
	})
}

// An event that is lost, or never sent, delays a change and hides none.
func TestReadAgainWithoutEvents(t *testing.T) {
	for _, c := range changesOfAVM {
		t.Run(c.name, func(t *testing.T) {
			conn := host(t)
			dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
			lost, none, now := inventoryOf(t), inventoryOf(t), time.Now()
			lost.started, lost.listens = true, true // as it believes
			none.started = true
			for _, v := range []*inventory{lost, none} {
				v.all(t, now)
			}
			set(t, dom, c.key, c.uri, c.element)
			if all := lost.all(t, now); len(all) != 1 || c.shows(all[0]) {
				t.Errorf("events are lost, and it reads all the time: %+v", all)
			}
			if all := lost.all(t, now.Add(rereadAfter)); len(all) != 1 || !c.shows(all[0]) {
				t.Errorf("events are lost, and it never reads again: %+v", all)
			}
			if all := none.all(t, now); len(all) != 1 || !c.shows(all[0]) {
				t.Errorf("a driver without events: %+v", all)
			}
		})
	}
}

// While no event comes, domains that libvirt has told all about are not asked for again, for a while: one that was made, started
// or deleted meanwhile is seen then at the latest.
func TestListAgain(t *testing.T) {
	conn := host(t)
	dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), false)
	v, now := inventoryOf(t), time.Now()
	v.started, v.listens = true, true // as it believes: the events are lost
	see := func(after time.Duration, want ...bus.State) {
		t.Helper()
		var got []bus.State
		for _, r := range v.all(t, now.Add(after)) {
			got = append(got, r.state)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("after %s: %v, want %v", after, got, want)
		}
	}
	see(0, bus.StateShutoff)
	if err := dom.Create(); err != nil {
		t.Fatal(err)
	}
	define(t, conn, "web-2", otherUUID, metadata(t, "web-2", otherUUID, t0), false)
	see(listAfter-1, bus.StateShutoff)
	see(listAfter, bus.StateRunning, bus.StateShutoff)
	if err := dom.Suspend(); err != nil { // its process is not known: it is asked each time, as all are then
		t.Fatal(err)
	}
	see(listAfter, bus.StatePaused, bus.StateShutoff)
	if err := dom.Resume(); err != nil {
		t.Fatal(err)
	}
	see(2*listAfter-1, bus.StatePaused, bus.StateShutoff)
	see(2*listAfter, bus.StateRunning, bus.StateShutoff)

	if _, err := v.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.read(now.Add(2 * listAfter)); err == nil {
		t.Error("the connection is lost, and it goes on")
	}
}

// A domain whose info could not be read is not taken for one that runs on with a clock that stands.
func TestNotMeasured(t *testing.T) {
	conn := host(t)
	dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
	_, folder := standIn(t, "web-1", ourUUID)
	p, err := findProcess(folder, "web-1", ourUUID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	run, err := dom.GetID()
	if err != nil {
		t.Fatal(err)
	}
	k := &known{
		reading: reading{name: "web-1", uuid: ourUUID}, ours: true,
		guest: guest{process: p, last: counter{run: run, vcpus: 2, exact: true}},
	}
	if _, ok := k.again(); !ok {
		t.Fatal("it is not read from its process")
	}
	k.take(reading{err: libvirt.ERR_OPERATION_TIMEOUT}, true)
	if r, ok := k.again(); ok {
		t.Errorf("then: %+v", r)
	}
}

// Whose a domain is can change, too.
func TestOwnershipFollowsTheDefinition(t *testing.T) {
	conn := host(t)
	define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), false)
	define(t, conn, "web-2", otherUUID, "", false)
	v, now := inventoryOf(t), time.Now()
	names := func() string {
		var all []string
		for _, r := range v.all(t, now) {
			all = append(all, r.name)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	if got := names(); got != "web-1" {
		t.Fatalf("got %s, want web-1", got)
	}
	define(t, conn, "web-1", ourUUID, "", false)
	define(t, conn, "web-2", otherUUID, metadata(t, "web-2", otherUUID, t0), false)
	v.await(t, ourUUID, otherUUID)
	if got := names(); got != "web-2" {
		t.Errorf("got %s, want web-2, which is ours now, alone", got)
	}
}

// Domains that were read first at one moment are not read again in one and the same pass.
func TestReadAgainInTurn(t *testing.T) {
	conn := host(t)
	var uuids []string
	for i := range 20 {
		uuid := strings.Replace(otherUUID, "0000", "0000"[:3]+string(rune('a'+i%6)), 1)
		uuid = uuid[:len(uuid)-2] + string(rune('0'+i/10)) + string(rune('0'+i%10))
		define(t, conn, "web-"+string(rune('a'+i)), uuid, metadata(t, "web-1", uuid, t0), false)
		uuids = append(uuids, uuid)
	}
	v, now := inventoryOf(t), time.Now()
	v.all(t, now)
	until := map[time.Time]bool{}
	for _, uuid := range uuids {
		at := v.domains[uuid].until
		if !at.After(now) || at.After(now.Add(rereadAfter)) {
			t.Errorf("it is read again after %s, want up to %s", at.Sub(now), rereadAfter)
		}
		until[at] = true
	}
	if len(until) < 2 {
		t.Errorf("all %d are read again at %v", len(uuids), until)
	}
}

// That libvirt could not say whether memory is saved does not make it gone.
func TestOffState(t *testing.T) {
	for _, tt := range []struct {
		name  string
		saved bool
		err   error
		want  bus.State
	}{
		{"saved", true, nil, bus.StateSaved},
		{"off", false, nil, bus.StateShutoff},
		{"a driver without", false, libvirt.Error{Code: libvirt.ERR_NO_SUPPORT}, bus.StateShutoff},
		{"not known", false, libvirt.Error{Code: libvirt.ERR_RPC}, bus.StateUnknown},
	} {
		got, err := offState(tt.saved, tt.err)
		if got != tt.want || (err != nil) != (tt.want == bus.StateUnknown) {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}
