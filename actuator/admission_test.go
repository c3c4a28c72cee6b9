package actuator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

func TestAdmit(t *testing.T) {
	limits := HostLimits{MemoryReserveMiB: 512, MemoryPromisedPercent: 100, PoolReserveMiB: 1024, VCPUsPerCore: 4}
	spec := webSpec(func(g *bus.Group) { g.VCPUs, g.MemoryMiB = 2, 256 })
	for _, tt := range []struct {
		name  string
		room  room
		n     int
		fit   int
		short string // words of it
	}{
		{"plenty", room{cores: 8, vcpus: 4, memoryMiB: new(8192), poolMiB: new(9000)}, 3, 3, ""},
		{"nothing wanted", room{cores: 1, vcpus: 99, memoryMiB: new(0), poolMiB: new(0)}, 0, 0, ""},
		{"unknown refuses nothing", room{cores: 8}, 3, 3, ""},
		{"the last vCPUs", room{cores: 2, vcpus: 4}, 3, 2, "4 vCPUs run on 2 cores"},
		{"no vCPU", room{cores: 2, vcpus: 7}, 3, 0, "vcpus_per_core 4"},
		{"more vCPUs than allowed", room{cores: 2, vcpus: 20}, 3, 0, "20 vCPUs"},
		{"memory for exactly two", room{cores: 8, memoryMiB: new(1024)}, 3, 2, "memory_reserve 512"},
		{"a little too little memory", room{cores: 8, memoryMiB: new(767)}, 3, 0, "767 MiB of memory"},
		{"less than the reserve", room{cores: 8, memoryMiB: new(100)}, 3, 0, "100 MiB"},
		{"what idle guests may still touch is taken", room{cores: 8, memoryMiB: new(9000), promisedMiB: 7492}, 5, 3, "less 7492"},
		{"more is promised than is free", room{cores: 8, memoryMiB: new(1000), promisedMiB: 7492}, 1, 0, "1000 MiB of memory are free"},
		{"the pool's reserve is there", room{cores: 8, poolMiB: new(1024)}, 3, 3, ""},
		{"the pool's reserve is not", room{cores: 8, poolMiB: new(1023)}, 3, 0, "1023 MiB are free in the storage pool"},
		{"the shortest counts", room{cores: 2, vcpus: 4, memoryMiB: new(800)}, 3, 1, "800 MiB"},
	} {
		fit, short := admit(limits, tt.room, spec, tt.n)
		if fit != tt.fit || (short == "") != (tt.short == "") || !strings.Contains(short, tt.short) {
			t.Errorf("%s: %d, %q; want %d, %q", tt.name, fit, short, tt.fit, tt.short)
		}
	}
	huge := spec
	huge.Hardware.Hugepages = true
	if fit, short := admit(limits, room{cores: 8, memoryMiB: new(0), promisedMiB: 100}, huge, 3); fit != 3 || short != "" {
		t.Errorf("in huge pages, which are not of the available memory: %d, %q", fit, short)
	}
	limits.MemoryPromisedPercent = 25
	if fit, short := admit(limits, room{cores: 64, memoryMiB: new(9000), promisedMiB: 8000}, spec, 30); fit != 25 ||
		!strings.Contains(short, "less 2000") {
		t.Errorf("with a quarter of the promise: %d, %q", fit, short)
	}
	if fit, short := admit(HostLimits{}, room{cores: 1, vcpus: 99, memoryMiB: new(9999), poolMiB: new(0)}, spec, 2); fit != 2 ||
		short != "" {
		t.Errorf("without limits: %d, %q", fit, short)
	}
}

// What boots has not taken its memory yet, and is promised it; an old measurement is unknown.
func TestHostRoom(t *testing.T) {
	now := t0
	a := &Actuator{
		cfg: Config{Now: func() time.Time { return now }}, hostID: "here", host: "here", cores: 4, load: load{},
		groups:  map[string]*group{"web": {spec: webSpec(func(g *bus.Group) { g.MemoryMiB, g.VCPUs = 256, 2 })}},
		workers: map[string]*worker{"a": {group: "web", up: true}, "b": {group: "web"}},
	}
	if r := a.hostRoom(3); r.memoryMiB != nil || r.poolMiB != nil || r.cores != 4 || r.vcpus != 5 {
		t.Errorf("before any sample: %+v", r)
	}
	sample := bus.Sample{Group: "web", HostID: "there", Time: t0, HostLoad: bus.Host{MemoryFreeMiB: new(1000), PoolFreeMiB: new(7)}}
	a.load.take(sample, a.hostID, now)
	if r := a.hostRoom(3); r.memoryMiB != nil {
		t.Errorf("with another host's sample: %+v", r)
	}
	sample.HostID = "here"
	a.load.take(sample, a.hostID, now)
	for range 2 { // asking changes nothing
		if r := a.hostRoom(3); r.memoryMiB == nil || *r.memoryMiB != 744 || r.poolMiB == nil || *r.poolMiB != 7 {
			t.Errorf("with a sample: %+v", r)
		}
	}
	// What the collector calls promised has all of what it saw running, booting or not.
	sample.Time, sample.HostLoad.MemoryPromisedMiB = t0.Add(time.Second), new(500)
	sample.VMs = []bus.VM{{UUID: "b", State: bus.StateRunning}}
	a.load.take(sample, a.hostID, now)
	if r := a.hostRoom(3); r.memoryMiB == nil || *r.memoryMiB != 744 || r.promisedMiB != 500 {
		t.Errorf("with a VM that boots and was not seen yet: %+v", r)
	}
	sample.Time, sample.VMs = t0.Add(2*time.Second), []bus.VM{{UUID: "a", State: bus.StateRunning}}
	a.load.take(sample, a.hostID, now)
	if r := a.hostRoom(3); r.memoryMiB == nil || *r.memoryMiB != 1000 || r.promisedMiB != 500 {
		t.Errorf("with a VM that boots and was seen: %+v", r)
	}
	sample.Time, sample.VMs[0].State = t0.Add(3*time.Second), bus.StateShutoff
	a.load.take(sample, a.hostID, now)
	if r := a.hostRoom(3); r.memoryMiB == nil || *r.memoryMiB != 744 {
		t.Errorf("with a VM that is not started yet: %+v", r)
	}
	now = now.Add(freshFor + time.Second)
	if r := a.hostRoom(3); r.memoryMiB != nil || r.poolMiB != nil {
		t.Errorf("with an old sample: %+v", r)
	}
}

// A VM that runs asks for what it gets beyond what it has, one that is off for all of it; what is full lets none begin.
func TestAdmittedInPlace(t *testing.T) {
	limits := HostLimits{MemoryReserveMiB: 512, PoolReserveMiB: 1024, VCPUsPerCore: 4}
	one := func(name string, state bus.State) vm.VM { return vm.VM{Name: name, UUID: name, State: state} }
	running := []vm.VM{one("web-1", bus.StateRunning), one("web-2", bus.StateRunning)}
	for _, tt := range []struct {
		name     string
		vms      []vm.VM
		room     room
		fit      int
		short    string // words of it
		restarts bool
	}{
		{"each gets 256 MiB more", running, room{cores: 4, memoryMiB: new(512 + 2*256)}, 2, "", false},
		{
			"for one alone", running,
			room{cores: 4, memoryMiB: new(512 + 256)},
			1, "256 for a VM would leave less than memory_reserve", false,
		},
		{
			"one that is off takes all",
			[]vm.VM{one("web-1", bus.StateShutoff)},
			room{cores: 4, memoryMiB: new(1000)},
			0, "512 for a VM", false,
		},
		{"no vCPU more is no matter", running, room{cores: 1, vcpus: 99, memoryMiB: new(9999)}, 2, "", false},
		{
			"the pool is full", running,
			room{cores: 4, memoryMiB: new(9999), poolMiB: new(1000)},
			0, "1000 MiB are free in the", false,
		},
		{"unknown refuses nothing", running, room{cores: 4}, 2, "", false},
		{"a restart needs no pool", running, room{cores: 4, memoryMiB: new(9999), poolMiB: new(1000)}, 2, "", true},
		{"but memory", running, room{cores: 4, memoryMiB: new(512 + 256)}, 1, "256 for a VM would leave", true},
	} {
		a := &Actuator{cfg: Config{Limits: limits, Now: func() time.Time { return t0 }}, load: load{}}
		a.load.take(bus.Sample{Group: "web", Time: t0, VMs: []bus.VM{
			{UUID: "web-1", State: tt.vms[0].State, MemoryMiB: 256, VCPUs: 1}, {UUID: "web-2", MemoryMiB: 256, VCPUs: 1},
		}}, "", t0)
		g := &group{spec: webSpec(func(g *bus.Group) { g.MemoryMiB, g.VCPUs = 512, 1 })}
		fit, what, short := a.admittedInPlace(g, tt.vms, tt.restarts, &tt.room)
		does := map[bool]string{false: "new disks of ", true: "the restart of "}[tt.restarts]
		if len(fit) != tt.fit || (short == "") != (tt.short == "") || !strings.Contains(short, tt.short) ||
			short != "" && what != does+tt.vms[tt.fit].Name {
			t.Errorf("%s: %d, %q, %q; want %d, %q", tt.name, len(fit), what, short, tt.fit, tt.short)
		}
	}
}

// A refusal is one event with numbers until there was room again, and shown as long as it lasts. Two groups share the room.
// A VM that is to wait with its memory saved is not made where that would leave less than the pool's reserve, which health says.
func TestRoomForSavedMemory(t *testing.T) {
	a := &Actuator{cfg: Config{Limits: HostLimits{PoolReserveMiB: 1024}}}
	spec := poolSpec(bus.WarmSaved)
	for _, tt := range []struct {
		name string
		as   bus.WarmState
		free *int
		fit  bool
	}{
		{"room", bus.WarmSaved, new(1024 + spec.MemoryMiB), true},
		{"a little too little", bus.WarmSaved, new(1023 + spec.MemoryMiB), false},
		{"others take none", bus.WarmPaused, new(1024), true},
		{"not known", bus.WarmSaved, nil, true},
	} {
		g := &group{spec: spec, saveShort: "as before"}
		plan := Actions{Prepare: []string{"web-1"}, PrepareAs: tt.as}
		a.admitPool(g, &plan, &room{cores: 1, poolMiB: tt.free})
		if fit := len(plan.Prepare) == 1; fit != tt.fit {
			t.Errorf("%s: it fits: %t", tt.name, fit)
		}
		if told := len(g.restlessTroubles()) == 1; told == tt.fit {
			t.Errorf("%s: it is told: %t (%s)", tt.name, told, g.saveShort)
		}
	}
}

func TestFitIn(t *testing.T) {
	outbox, events := listen(t)
	a, err := New(Config{
		Groups: []bus.Group{webSpec()}, Limits: HostLimits{MemoryReserveMiB: 100}, Now: func() time.Time { return t0 },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	a.outbox = outbox
	g := a.groups["web"]
	r := room{cores: 1, memoryMiB: new(100 + 2*g.spec.MemoryMiB)}
	plan := func(names ...string) *Actions { return &Actions{Create: names} }
	unmeasured := plan("web-1")
	if a.fitIn(g, unmeasured, false, &r) || len(unmeasured.Create) > 0 || !a.launches {
		t.Errorf("before the room is measured: %v", unmeasured.Create)
	}
	if got := plan("web-1"); !a.fitIn(g, got, true, &r) || len(got.Create) != 1 || g.shortage != "" {
		t.Errorf("with room: %v, %q", got.Create, g.shortage)
	}
	for range 3 {
		if got := plan("web-2", "web-3"); !a.fitIn(g, got, true, &r) || len(got.Create) > 1 || g.shortage == "" {
			t.Errorf("with room for one: %v, %q", got.Create, g.shortage)
		}
	}
	if e := <-events; e.Event != bus.EventRefused || !strings.Contains(e.Sentence, "no room for 1 more") ||
		!strings.Contains(e.Sentence, "memory_reserve 100") {
		t.Errorf("event %+v", e)
	}
	if err := a.problem(); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("reported %v", err)
	}
	a.fitIn(g, plan("web-2"), true, &room{cores: 1})
	a.tell(bus.Event{Group: "web", Event: "end"})
	if e := <-events; e.Event != "end" {
		t.Errorf("a second event %+v", e)
	}
	if err := a.problem(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// The demo's group fits into a host of 8 GiB with half of them in use, however little of its memory the guests have touched.
func TestDemoFitsIntoASmallHost(t *testing.T) {
	spec := bus.DefaultGroup()
	limits := HostLimits{MemoryReserveMiB: 512, MemoryPromisedPercent: 100, PoolReserveMiB: 1024, VCPUsPerCore: 16} // the defaults
	for up := range spec.Max {
		r := room{cores: 4, vcpus: up, memoryMiB: new(4096), promisedMiB: up * spec.MemoryMiB}
		if fit, short := admit(limits, r, spec, spec.Max-up); fit != spec.Max-up {
			t.Errorf("with %d VMs: %d more, %s", up, fit, short)
		}
	}
}

// Groups that somebody made up, in this host's name, take no memory.
func TestSamplesOfUnknownGroupsAreNotKept(t *testing.T) {
	a := &Actuator{cfg: Config{Now: time.Now}, groups: map[string]*group{"web": {}}, load: load{}, hostID: "kvm1"}
	for i := range 1000 {
		a.recordSample(bus.Sample{Group: fmt.Sprint("invented", i), HostID: "kvm1", Time: time.Now()})
	}
	a.recordSample(bus.Sample{Group: "web", HostID: "kvm1", Time: time.Now()})
	if len(a.load) != 1 {
		t.Errorf("the samples of %d groups are kept, want 1", len(a.load))
	}
}
