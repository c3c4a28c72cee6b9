package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/internal/libvirttest"
)

const (
	testURI  = libvirttest.URI
	testPool = "default-pool"

	ourUUID   = "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11"
	otherUUID = "a1b2c3d4-0000-4000-8000-00000000000a"
	copyUUID  = "a1b2c3d4-0000-4000-8000-00000000000b"
	offUUID   = "a1b2c3d4-0000-4000-8000-00000000000c"
)

func TestNewRefuses(t *testing.T) {
	dial := func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }
	groups := []bus.Group{bus.DefaultGroup()}
	for name, cfg := range map[string]Config{
		"no groups":   {Tick: time.Second, Dial: dial, Identify: identify},
		"no tick":     {Groups: groups, Dial: dial, Identify: identify},
		"no identity": {Groups: groups, Tick: time.Second, Dial: dial},
		"no dial":     {Groups: groups, Tick: time.Second},
	} {
		if _, err := New(cfg, nil, zerolog.Nop()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// host connects to the test driver's host.
func host(t *testing.T) *libvirt.Connect {
	t.Helper()
	conn := libvirttest.NewHost(t)
	t.Cleanup(func() { _, _ = conn.Close() })
	return conn
}

func define(t *testing.T, conn *libvirt.Connect, name, uuid, metadata string, start bool) *libvirt.Domain {
	t.Helper()
	dom, err := conn.DomainDefineXML(fmt.Sprintf(`<domain type='test'><name>%s</name><uuid>%s</uuid><metadata>%s</metadata>
		<memory unit='MiB'>256</memory><vcpu>2</vcpu><os><type>hvm</type></os></domain>`, name, uuid, metadata))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dom.Destroy()
		_ = dom.Undefine()
		_ = dom.Free()
	})
	if start {
		if err := dom.Create(); err != nil {
			t.Fatal(err)
		}
	}
	return dom
}

func metadata(t *testing.T, name, uuid string, created time.Time) string {
	t.Helper()
	text, err := bus.Metadata{
		Group: "web", Template: "demo", UUID: uuid, Created: created, Phase: bus.PhaseReady, Since: created,
		Pool: testPool, Volume: bus.VolumeName(name, uuid),
	}.DefinitionXML()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bench is a running collector.
type bench struct {
	own     *Collector
	t       *testing.T
	samples chan bus.Sample
	ticks   chan time.Time
	reports chan error
	pauses  chan time.Duration // between two tries to reach libvirt
	flush   func()
}

func start(t *testing.T, dial func(context.Context) (*libvirt.Connect, error)) *bench {
	t.Helper()
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	connect := func(name string) *client.Conn {
		c, err := server.Connect(name, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	watcher, own := connect("watcher"), connect("collector")
	b := &bench{
		t:       t,
		samples: make(chan bus.Sample, 256),
		ticks:   make(chan time.Time),
		reports: make(chan error, 4096),
		pauses:  make(chan time.Duration, 64),
	}
	b.flush = func() {
		for _, c := range []*client.Conn{own, watcher} {
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := client.Subscribe(watcher, bus.AllSamples, b.samples); err != nil {
		t.Fatal(err)
	}
	web, db := bus.DefaultGroup(), bus.DefaultGroup()
	web.Name, db.Name = "web", "db"
	c, err := New(Config{
		Groups: []bus.Group{web, db}, Pool: testPool, Tick: 200 * time.Millisecond, Dial: dial, Identify: identify, Ticks: b.ticks,
		Report: func(err error) { b.reports <- err },
	}, own, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	b.own = c
	c.after = func(pause time.Duration) <-chan time.Time {
		b.pauses <- pause
		over := make(chan time.Time)
		close(over)
		return over
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		own.Close()
		watcher.Close()
		server.Stop()
	})
	return b
}

// dialTest connects as the stage does, so that a call that libvirt allows to nobody who only reads fails here.
func dialTest(context.Context) (*libvirt.Connect, error) { return libvirt.NewConnectReadOnly(testURI) }

func (b *bench) tick() {
	b.t.Helper()
	select {
	case b.ticks <- time.Now():
	case <-time.After(30 * time.Second):
		b.t.Fatal("the collector takes no tick")
	}
}

// sample is the next sample of a group.
func (b *bench) sample(group string) bus.Sample {
	b.t.Helper()
	for {
		select {
		case s := <-b.samples:
			if s.Group == group {
				return s
			}
		case <-time.After(30 * time.Second):
			b.t.Fatalf("no sample of %s came", group)
		}
	}
}

// until ticks until a sample of group web is as wanted.
func (b *bench) until(what string, wanted func(bus.Sample) bool) bus.Sample {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond) // the collector's own tick and a little
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.tick()
		case s := <-b.samples:
			if s.Group == "web" && wanted(s) {
				return s
			}
		case <-ctx.Done():
			b.t.Fatalf("never: %s", what)
		}
	}
}

func find(s bus.Sample, name string) *bus.VM {
	for i := range s.VMs {
		if s.VMs[i].Name == name {
			return &s.VMs[i]
		}
	}
	return nil
}

func TestSampleHasExactlyOurVMs(t *testing.T) {
	conn := host(t)
	created := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	define(t, conn, "web-2", ourUUID, metadata(t, "web-2", ourUUID, created), true)
	define(t, conn, "web-1", offUUID, metadata(t, "web-1", offUUID, created.Add(time.Minute)), false)
	define(t, conn, "web-3", otherUUID, "", true)                                    // somebody's, with a name like ours
	define(t, conn, "web-4", copyUUID, metadata(t, "web-2", ourUUID, created), true) // virt-clone copies metadata
	define(t, conn, "web-5", strings.Replace(copyUUID, "b", "d", 1), "<vmscaler:vm xmlns:vmscaler='urn:vmscaler:vm:1'/>", true)

	unnamed := strings.Replace(copyUUID, "b", "e", 1) // a sample with its name would be refused
	define(t, conn, "web-6\u00a0", unnamed, metadata(t, "web-6", unnamed, created), true)

	b := start(t, dialTest)
	s := b.sample("web")
	if len(s.VMs) != 2 || s.VMs[0].Name != "web-2" || s.VMs[1].Name != "web-1" {
		t.Fatalf("got %+v, want web-2 and web-1, the oldest first", s.VMs)
	}
	vm := s.VMs[0]
	if vm.UUID != ourUUID || vm.State != bus.StateRunning || vm.Phase != bus.PhaseReady || vm.VCPUs != 2 || vm.MemoryMiB != 256 ||
		!vm.Created.Equal(created) || !vm.PhaseSince.Equal(created) || vm.Error != "" {
		t.Errorf("got %+v", vm)
	}
	if vm.CPUPercent != nil {
		t.Errorf("the first reading says %g %%", *vm.CPUPercent)
	}
	if s.V != bus.Version || s.Host == "" || s.Time.IsZero() || s.SpecHash == "" || s.HostLoad.Cores != 16 ||
		s.HostLoad.MemoryMiB == 0 {
		t.Errorf("sample %+v", s)
	}

	b.until("a CPU reading", func(s bus.Sample) bool {
		// The driver's CPU time is the wall clock, also of a domain that is off: libvirtd's own would be as wrong.
		if off := find(s, "web-1"); off == nil || off.State != bus.StateShutoff || off.CPUPercent != nil {
			t.Fatalf("a VM that is off: %+v", off)
		}
		vm := find(s, "web-2")
		return vm != nil && vm.CPUPercent != nil && *vm.CPUPercent > 0
	})
	b.until("the free space of the pool", func(s bus.Sample) bool {
		return s.HostLoad.PoolFreeMiB != nil && *s.HostLoad.PoolFreeMiB > 0
	})
}

func TestSampleSaysWhatIsProtected(t *testing.T) {
	conn := host(t)
	dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, time.Now()), true)
	b := start(t, dialTest)
	if vm := b.sample("web").VMs[0]; vm.Protected {
		t.Errorf("got %+v, want it not protected", vm)
	}
	protect := func(element string) {
		t.Helper()
		if err := dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, bus.ProtectionKey, bus.ProtectionURI,
			libvirt.DOMAIN_AFFECT_LIVE|libvirt.DOMAIN_AFFECT_CONFIG); err != nil {
			t.Fatal(err)
		}
	}
	protect(bus.Protection{On: true, Since: time.Now()}.XML())
	b.until("protected", func(s bus.Sample) bool { return s.VMs[0].Protected })
	protect("")
	b.until("not protected any more", func(s bus.Sample) bool { return !s.VMs[0].Protected })
}

func TestSampleOfAnEmptyGroupIsAnEmptyList(t *testing.T) {
	host(t)
	b := start(t, dialTest)
	s := b.sample("db")
	if s.VMs == nil || len(s.VMs) != 0 {
		t.Errorf("got %#v", s.VMs)
	}
	data, err := json.Marshal(s)
	if err != nil || !strings.Contains(string(data), `"vms":[]`) {
		t.Errorf("%v: %s", err, data)
	}
}

func TestSampleFollowsTheVM(t *testing.T) {
	conn := host(t)
	dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, time.Now()), true)
	b := start(t, dialTest)
	known := func(s bus.Sample) bool { vm := find(s, "web-1"); return vm != nil && vm.CPUPercent != nil }
	b.until("a CPU reading", known)

	if err := dom.Suspend(); err != nil {
		t.Fatal(err)
	}
	b.until("suspended", func(s bus.Sample) bool {
		vm := find(s, "web-1")
		return vm != nil && vm.State == bus.StatePaused && vm.CPUPercent == nil
	})
	if err := dom.Resume(); err != nil {
		t.Fatal(err)
	}
	b.until("a CPU reading again", known)

	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	if err := dom.Create(); err != nil { // between two ticks: only the run's id tells
		t.Fatal(err)
	}
	b.tick()
	b.until("restarted", func(s bus.Sample) bool {
		vm := find(s, "web-1")
		return vm != nil && vm.State == bus.StateRunning
	})

	element, err := bus.Metadata{
		Group: "web", UUID: ourUUID, Created: time.Now(), Phase: bus.PhaseDraining, Since: time.Now(), Pool: testPool, Volume: "x",
	}.XML()
	if err != nil {
		t.Fatal(err)
	}
	if err := dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, bus.MetadataKey, bus.MetadataURI,
		libvirt.DOMAIN_AFFECT_LIVE|libvirt.DOMAIN_AFFECT_CONFIG); err != nil {
		t.Fatal(err)
	}
	b.until("its phase", func(s bus.Sample) bool { return find(s, "web-1").Phase == bus.PhaseDraining })

	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	if err := dom.Undefine(); err != nil {
		t.Fatal(err)
	}
	b.until("gone", func(s bus.Sample) bool { return len(s.VMs) == 0 })
}

// Restarted VMs have no reading: their counter is another one.
func TestReadDomainsOfARestartedVM(t *testing.T) {
	conn := host(t)
	dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, time.Now()), true)
	domains := newInventory(conn, false)
	t.Cleanup(domains.close)
	first, err := domains.read(time.Now())
	if err != nil || len(first) != 1 {
		t.Fatalf("%v: %+v", err, first)
	}
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	if err := dom.Create(); err != nil {
		t.Fatal(err)
	}
	second, err := domains.read(time.Now())
	if err != nil || len(second) != 1 {
		t.Fatalf("%v: %+v", err, second)
	}
	if pct, known := percent(first[0].counter, second[0].counter, 0, time.Hour); known {
		t.Errorf("got %g %%", pct)
	}
}

func TestCollectorWaitsForLibvirt(t *testing.T) {
	host(t)
	down := errors.New("connection refused")
	answers := make(chan error, 8)
	b := start(t, func(ctx context.Context) (*libvirt.Connect, error) {
		select {
		case err := <-answers:
			if err != nil {
				return nil, err
			}
			return dialTest(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	for i := range 3 {
		answers <- down
		select {
		case err := <-b.reports:
			if !errors.Is(err, down) || !strings.Contains(err.Error(), "reach libvirt") {
				t.Fatalf("reported %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nothing was reported")
		}
		if pause, want := <-b.pauses, firstPause<<i; pause != want {
			t.Errorf("it waits for %s before the next try, want %s", pause, want)
		}
	}
	b.flush()
	if len(b.samples) > 0 {
		t.Errorf("without libvirt it said %+v", <-b.samples)
	}
	answers <- nil
	b.sample("web")
	if err := <-b.reports; err != nil {
		t.Errorf("reported %v", err)
	}
}

func TestCollectorStopsWhileDialling(t *testing.T) {
	dialling := make(chan struct{})
	start(t, func(ctx context.Context) (*libvirt.Connect, error) {
		close(dialling)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	<-dialling // the clean-up stops it
}
