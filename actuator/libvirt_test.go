package actuator

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/orphan"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/internal/libvirttest"
)

const (
	testURI  = libvirttest.URI
	testPool = "default-pool"
)

func dialTest(context.Context) (*libvirt.Connect, error) { return libvirt.NewConnect(testURI) }

// testHost is the test driver's host with the template, and what was told.
type testHost struct {
	t    *testing.T
	conn *libvirt.Connect
	vm.Manager
	book *orphan.Records // nil: none are kept

	mu     sync.Mutex
	events []bus.Event
	on     map[bus.EventType]func() // called while the event is told
}

func newHost(t *testing.T) *testHost {
	t.Helper()
	b := &testHost{t: t, conn: libvirttest.NewHost(t), on: map[bus.EventType]func(){}}
	t.Cleanup(func() {
		if n, err := b.conn.Close(); err != nil || n != 0 {
			t.Errorf("%d libvirt objects were not freed (%v)", n, err)
		}
	})
	acc, err := vm.ReadAcceleration(b.conn, vm.AccelerationAuto)
	if err != nil {
		t.Fatal(err)
	}
	b.Manager = vm.Manager{
		Conn:    b.conn,
		Pools:   vm.Pools{Templates: testPool, Disks: testPool},
		Machine: vm.Machine{VirtType: acc.VirtType, Arch: acc.Arch},
		Tell:    b.hear,
	}
	b.makeVolume(template.VolumeName("demo"))
	return b
}

func (b *testHost) hear(e bus.Event) {
	b.mu.Lock()
	b.events = append(b.events, e)
	do := b.on[e.Event]
	b.mu.Unlock()
	if do != nil {
		do()
	}
}

// heard is what was told, in its order.
func (b *testHost) heard() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var words []string
	for _, e := range b.events {
		words = append(words, string(e.Event))
	}
	return strings.Join(words, " ")
}

func (b *testHost) withPool(do func(*libvirt.StoragePool)) {
	b.t.Helper()
	pool, err := b.conn.LookupStoragePoolByName(testPool)
	if err != nil {
		b.t.Fatal(err)
	}
	defer pool.Free()
	do(pool)
}

func (b *testHost) makeVolume(name string) {
	b.t.Helper()
	b.makeLargeVolume(name, 1<<20)
}

func (b *testHost) makeLargeVolume(name string, bytes int) {
	b.t.Helper()
	b.withPool(func(pool *libvirt.StoragePool) {
		vol, err := pool.StorageVolCreateXML(fmt.Sprintf(
			`<volume><name>%s</name><capacity>%d</capacity><target><format type='qcow2'/></target></volume>`, name, bytes), 0)
		if err != nil {
			b.t.Fatal(err)
		}
		vol.Free()
	})
}

// volumes are the pool's, without the template.
func (b *testHost) volumes() []string {
	b.t.Helper()
	names := []string{}
	b.withPool(func(pool *libvirt.StoragePool) {
		vols, err := pool.ListAllStorageVolumes(0)
		if err != nil {
			b.t.Fatal(err)
		}
		for i := range vols {
			if name, err := vols[i].GetName(); err == nil && name != template.VolumeName("demo") {
				names = append(names, name)
			}
			vols[i].Free()
		}
	})
	slices.Sort(names)
	return names
}

func (b *testHost) domains() []string {
	b.t.Helper()
	doms, err := b.conn.ListAllDomains(0)
	if err != nil {
		b.t.Fatal(err)
	}
	var names []string
	for i := range doms {
		if name, err := doms[i].GetName(); err == nil {
			names = append(names, name)
		}
		doms[i].Free()
	}
	slices.Sort(names)
	return names
}

// has says which domains, beside the driver's own, and volumes, beside the template, must be there.
func (b *testHost) has(domains, volumes []string) {
	b.t.Helper()
	got := slices.DeleteFunc(b.domains(), func(n string) bool { return n == "test" })
	if !slices.Equal(got, domains) {
		b.t.Errorf("domains %v, want %v", got, domains)
	}
	if got := b.volumes(); !slices.Equal(got, volumes) {
		b.t.Errorf("volumes %v, want %v", got, volumes)
	}
}

func (b *testHost) hasNothing() { b.t.Helper(); b.has([]string{}, []string{}) }

// define makes a domain by hand.
func (b *testHost) define(name, uuid, metadata string) {
	b.t.Helper()
	dom, err := b.conn.DomainDefineXML(fmt.Sprintf(`<domain type='test'><name>%s</name><uuid>%s</uuid><metadata>%s</metadata>
		<memory unit='MiB'>64</memory><os><type>hvm</type></os></domain>`, name, uuid, metadata))
	if err != nil {
		b.t.Fatal(err)
	}
	dom.Free()
}

func (b *testHost) inventory() vm.Inventory {
	b.t.Helper()
	inv, err := vm.ReadInventory(b.conn)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := inv.ReadPool(b.conn, testPool, b.HostID); err != nil {
		b.t.Fatal(err)
	}
	return inv
}

// plan plans for the group with no worker at it.
func (b *testHost) plan(spec bus.Group, desired int) Actions {
	b.t.Helper()
	inv := b.inventory()
	return Plan(Situation{
		Spec:      spec,
		Desired:   desired,
		Owned:     inv.Group("web"),
		Taken:     inv.Taken,
		BootSlots: 4,
		Numbers:   upTo(20),
		ScaleIn:   true,
	})
}

// settle does what is planned until nothing is left to do.
func (b *testHost) settle(spec bus.Group, desired int) {
	b.t.Helper()
	for range 10 {
		a := b.plan(spec, desired)
		if show(a) == "" {
			return
		}
		for _, r := range a.Remove {
			if err := b.Remove(b.t.Context(), r, bus.Group{ShutdownTimeout: time.Second}, nil, "d"); err != nil {
				b.t.Fatal(err)
			}
		}
		for _, vm := range a.Await {
			if err := b.AwaitReady(b.t.Context(), spec, vm, "d"); err != nil {
				b.t.Fatal(err)
			}
		}
		for _, name := range a.Create {
			if err := b.Launch(b.t.Context(), spec, name, vm.NewUUID(), "d"); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	b.t.Fatal("does not come to rest")
}

func TestLaunchAndRemove(t *testing.T) {
	b := newHost(t)
	b.Machine.Network = "default"
	spec := webSpec(func(g *bus.Group) { g.Network = "" }) // as a file that leaves it open
	if err := b.Launch(t.Context(), spec, "web-1", someUUID, "web-7"); err != nil {
		t.Fatal(err)
	}
	b.has([]string{"web-1"}, []string{"web-1.5c0d2a9e.qcow2"})
	if got := b.heard(); got != "creating started ready" {
		t.Errorf("told %s", got)
	}
	for _, e := range b.events {
		if e.Group != "web" || e.VM != "web-1" || e.DecisionID != "web-7" || e.Sentence == "" || e.Error != "" {
			t.Errorf("event %+v", e)
		}
	}
	inv := b.inventory()
	if len(inv.Owned) != 1 {
		t.Fatalf("owned: %+v", inv.Owned)
	}
	v := inv.Owned[0]
	if v.Name != "web-1" || v.UUID != someUUID || v.State != bus.StateRunning || v.Meta.Phase != bus.PhaseReady ||
		v.Meta.Group != "web" || v.Meta.Template != "demo" || v.Meta.Volume != "web-1.5c0d2a9e.qcow2" || v.Meta.Pool != testPool ||
		v.Meta.Machine != spec.MachineHash() { // the decider's, whatever network this host has chosen
		t.Errorf("owned: %+v", v)
	}
	if !inv.Taken["web-1"] || !inv.Taken["test"] || inv.Taken["web-2"] {
		t.Errorf("taken: %v", inv.Taken)
	}

	b.events = nil
	removal := vm.Removal{VM: v, Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true}
	if err := b.Remove(t.Context(), removal, bus.Group{ShutdownTimeout: time.Second}, nil, "web-8"); err != nil {
		t.Fatal(err)
	}
	b.hasNothing()
	if got := b.heard(); got != "draining stopping removed" {
		t.Errorf("told %s", got)
	}
	if err := b.Remove(t.Context(), removal, bus.Group{ShutdownTimeout: time.Second}, nil, "web-8"); err != nil {
		t.Errorf("a VM that is gone: %v", err)
	}
}

func TestLaunchFailsCleanly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		spec    bus.Group
		prepare func(*testHost)
		err     string
		domains []string
		volumes []string
	}{
		{
			// Once a missing template gave a ghost: "1 VM, 0 %, stable" with no VM at all.
			name: "template missing", spec: webSpec(func(g *bus.Group) { g.Template = "none" }), err: "template not found",
		},
		{
			name: "template still being uploaded", spec: webSpec(), err: "upload",
			prepare: func(b *testHost) { b.makeVolume("template-demo.uploading.qcow2") },
			volumes: []string{"template-demo.uploading.qcow2"},
		},
		{
			name: "a volume of that name is there: it was not made by us", spec: webSpec(), err: "already exists",
			prepare: func(b *testHost) { b.makeVolume("web-1.5c0d2a9e.qcow2") }, volumes: []string{"web-1.5c0d2a9e.qcow2"},
		},
		{
			// Once another user's domain of the next name had its disk overwritten and was undefined later.
			name: "a foreign domain has the name", spec: webSpec(), err: "web-1",
			prepare: func(b *testHost) { b.define("web-1", vm.NewUUID(), "") }, domains: []string{"web-1"},
		},
		{
			name: "a disk smaller than the template", spec: webSpec(func(g *bus.Group) { g.Template, g.DiskMiB = "large", 1 }),
			err:     "want at least 2MiB",
			prepare: func(b *testHost) { b.makeLargeVolume(template.VolumeName("large"), 2<<20) },
			volumes: []string{"template-large.qcow2"},
		},
		{
			// The test driver has no streams, so the seed's volume is made and cannot be written.
			name: "a seed that cannot be written", err: "write volume web-1.5c0d2a9e.seed.iso",
			spec: webSpec(func(g *bus.Group) { g.CloudInit.UserData.Text = "#!/bin/sh" }),
		},
		{
			name: "a further disk's name is taken", err: "already exists",
			spec:    webSpec(func(g *bus.Group) { g.Disks = []bus.Disk{{SizeMiB: 1}, {SizeMiB: 1}} }),
			prepare: func(b *testHost) { b.makeVolume("web-1.5c0d2a9e.disk2.qcow2") }, volumes: []string{"web-1.5c0d2a9e.disk2.qcow2"},
		},
		{
			name: "never ready", spec: webSpec(func(g *bus.Group) { g.ReadyAfter, g.BootTimeout = time.Hour, time.Nanosecond }),
			err: "not ready within the boot time-out",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newHost(t)
			if tt.prepare != nil {
				tt.prepare(b)
			}
			err := b.Launch(t.Context(), tt.spec, "web-1", someUUID, "d")
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want an error with %q", err, tt.err)
			}
			b.has(append([]string{}, tt.domains...), append([]string{}, tt.volumes...))
			for _, vm := range b.inventory().Owned {
				t.Errorf("still owned: %+v", vm)
			}
		})
	}
	t.Run("no such pool", func(t *testing.T) {
		b := newHost(t)
		b.Pools.Disks = "none"
		if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err == nil {
			t.Error("no error")
		}
		b.hasNothing()
	})
}

// A VM taken over while it boots has nobody who undoes its launch: its phase says that it is to go.
func TestTakenOverVMThatIsNeverReadyIsReplaced(t *testing.T) {
	b := newHost(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	b.on[bus.EventStarted] = func() { cancel(nil) }
	slow := webSpec(func(g *bus.Group) { g.ReadyAfter = time.Hour })
	_ = b.Launch(ctx, slow, "web-1", someUUID, "d")

	a := b.plan(slow, 1)
	if show(a) != "await web-1" {
		t.Fatalf("planned %s", show(a))
	}
	slow.BootTimeout = time.Nanosecond
	a.Await[0].Meta.Since = time.Now().AddDate(10, 0, 0) // as where the host's clock was wrong then
	if err := b.AwaitReady(t.Context(), slow, a.Await[0], "d"); err == nil {
		t.Fatal("no error")
	}
	if got := show(b.plan(slow, 1)); got != "create web-2; remove web-1 (its removal had begun)" {
		t.Errorf("planned %s", got)
	}
	b.settle(webSpec(), 1)
	if inv := b.inventory(); len(inv.Owned) != 1 || inv.Owned[0].UUID == someUUID {
		t.Errorf("owned %+v", inv.Owned)
	}
	b.settle(webSpec(), 0)
	b.hasNothing()
}

// Cut off at whatever step, a launch leaves only what the next plan knows: once a half-made VM came up and was
// never looked at again.
func TestLaunchCutOff(t *testing.T) {
	notWanted := errors.New("cut off")
	for _, tt := range []struct {
		name string
		at   bus.EventType // "" is before anything
		want string        // the next plan, with 1 desired
	}{
		{"at the beginning", "", "remove web-1 (its creation was interrupted)"},
		{"defined", bus.EventCreating, "remove web-1 (its creation was interrupted)"},
		{"started", bus.EventStarted, "await web-1"},
	} {
		for _, desired := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, %d desired", tt.name, desired), func(t *testing.T) {
				b := newHost(t)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tt.at == "" {
					cancel(notWanted)
				} else {
					b.on[tt.at] = func() { cancel(notWanted) }
				}
				slow := webSpec(func(g *bus.Group) { g.ReadyAfter = time.Hour })
				if err := b.Launch(ctx, slow, "web-1", someUUID, "d"); !errors.Is(err, notWanted) {
					t.Errorf("got %v", err)
				}
				var volumes []string
				if tt.at != "" {
					volumes = []string{"web-1.5c0d2a9e.qcow2"}
				}
				b.has([]string{"web-1"}, volumes)
				a := b.plan(slow, 1)
				a.Create = nil
				if got := show(a); got != tt.want {
					t.Errorf("planned %s, want %s", got, tt.want)
				}
				b.settle(webSpec(), desired)
				if n := len(b.inventory().Owned); n != desired || len(b.volumes()) != desired {
					t.Errorf("%d VMs and the volumes %v, want %d", n, b.volumes(), desired)
				}
				b.settle(webSpec(), 0)
				b.hasNothing()
			})
		}
	}
}

func TestRemovalCutOff(t *testing.T) {
	for _, at := range []bus.EventType{"", bus.EventDraining, bus.EventStopping} {
		t.Run("at "+string(at), func(t *testing.T) {
			b := newHost(t)
			if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if at == "" {
				cancel(errScaleIn)
			} else {
				b.on[at] = func() { cancel(errScaleIn) }
			}
			r := vm.Removal{VM: b.inventory().Owned[0], Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true}
			if err := b.Remove(ctx, r, bus.Group{ShutdownTimeout: time.Second}, nil, "d"); !errors.Is(err, errScaleIn) {
				t.Errorf("got %v", err)
			}
			b.has([]string{"web-1"}, []string{"web-1.5c0d2a9e.qcow2"})
			// Even without a decision the removal goes on: it is not a ready VM any more.
			if got := show(b.plan(webSpec(), Unknown)); !strings.HasPrefix(got, "remove web-1 (its removal had begun") {
				t.Errorf("planned %s", got)
			}
			b.settle(webSpec(), Unknown)
			b.hasNothing()
		})
	}
}

// A VM of ours that is defined but off once had its disk overwritten by a new one of its name.
func TestVMThatIsOffIsReplacedByAnother(t *testing.T) {
	b := newHost(t)
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	dom, err := b.conn.LookupDomainByName("web-1")
	if err != nil {
		t.Fatal(err)
	}
	defer dom.Free()
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	if got := show(b.plan(webSpec(), 1)); got != "create web-2; remove web-1 (it is shut off, died)" {
		t.Errorf("planned %s", got)
	}
	b.settle(webSpec(), 1)
	owned := b.inventory().Owned
	if len(owned) != 1 || owned[0].UUID == someUUID || owned[0].Meta.Phase != bus.PhaseReady {
		t.Errorf("owned %+v", owned)
	}
	b.settle(webSpec(), 0)
	b.hasNothing()
}

func TestCopiedDefinitionIsNotOurs(t *testing.T) {
	b := newHost(t)
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	original := b.inventory().Owned[0]
	metadata, err := original.Meta.DefinitionXML()
	if err != nil {
		t.Fatal(err)
	}
	copied := vm.NewUUID()
	b.define("web-1-clone", copied, metadata)
	if owned := b.inventory().Owned; len(owned) != 1 || owned[0].UUID != someUUID {
		t.Errorf("owned %+v", owned)
	}
	// Not even when something takes it for ours.
	r := vm.Removal{VM: vm.VM{Name: "web-1-clone", UUID: copied, Meta: original.Meta, State: bus.StateRunning}, Graceful: true}
	if err := b.Remove(t.Context(), r, bus.Group{ShutdownTimeout: time.Second}, nil, "d"); err != nil {
		t.Errorf("remove: %v", err)
	}
	b.has([]string{"web-1", "web-1-clone"}, []string{"web-1.5c0d2a9e.qcow2"})
	b.settle(webSpec(), 0)
	b.has([]string{"web-1-clone"}, []string{})
}

// A domain whose metadata a person has damaged is left alone, and named: nothing says any more what belongs to it.
func TestDamagedMetadataIsNamed(t *testing.T) {
	b := newHost(t)
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	meta := b.inventory().Owned[0].Meta
	metadata, err := meta.DefinitionXML()
	if err != nil {
		t.Fatal(err)
	}
	other := vm.NewUUID()
	b.define("web-2", other, strings.NewReplacer(someUUID, other, `phase="ready"`, `phase="redy"`).Replace(metadata))
	unheard := vm.NewUUID() // a message with its name would be refused, with all that is beside it
	b.define("web-3\u00a0", unheard, strings.ReplaceAll(metadata, someUUID, unheard))
	inv := b.inventory()
	if len(inv.Owned) != 1 || len(inv.Damaged) != 2 || !containsAll(inv.Damaged["web-2"], "phase", "redy") ||
		!containsAll(inv.Damaged["web-3\u00a0"], "name", "printable") {
		t.Errorf("owned %+v, damaged %v", inv.Owned, inv.Damaged)
	}
	a := &Actuator{cfg: Config{Now: time.Now}, damaged: inv.Damaged}
	if err := a.problem(); err == nil || !containsAll(err.Error(), "web-2", "redy", "virsh edit") {
		t.Errorf("health says %v", err)
	}
	b.settle(webSpec(), 0)
	b.has([]string{"web-2", "web-3\u00a0"}, []string{})
}

// A name in the metadata is not enough to delete a volume.
func TestDeleteVolumeOfAnotherName(t *testing.T) {
	b := newHost(t)
	for _, volume := range []string{
		"somebodys.qcow2", "web-1.5c0d2a9f.qcow2", "5c0d2a9e.qcow2", "web-1.5c0d2a9e.qcow2.bak", "template-demo.qcow2", "",
	} {
		meta := someMetadata()
		meta.Pool, meta.Volume = testPool, volume
		if volume != "" && volume != "template-demo.qcow2" {
			b.makeVolume(volume)
		}
		before := b.volumes()
		if err := vm.DeleteVolumes(t.Context(), b.conn, meta, ""); err == nil || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("%q: %v", volume, err)
		}
		if after := b.volumes(); !slices.Equal(before, after) {
			t.Errorf("%q: left are %v", volume, after)
		}
	}
	meta := someMetadata()
	meta.Pool = testPool
	b.makeVolume(meta.Volume)
	if err := vm.DeleteVolumes(t.Context(), b.conn, meta, ""); err != nil {
		t.Error(err)
	}
	if slices.Contains(b.volumes(), meta.Volume) {
		t.Error("its own volume is still there")
	}
	if err := vm.DeleteVolumes(t.Context(), b.conn, meta, ""); err != nil {
		t.Errorf("a volume that is gone: %v", err)
	}
	meta.Pool = "none"
	if err := vm.DeleteVolumes(t.Context(), b.conn, meta, ""); err == nil {
		t.Error("a pool that is not there: no error")
	}
}

func TestTakenNames(t *testing.T) {
	b := newHost(t)
	b.define("web-1", vm.NewUUID(), "")
	b.makeVolume("web-2.qcow2")
	b.makeVolume("web-3.0badcafe.qcow2")
	if got := show(b.plan(webSpec(), 1)); got != "create web-4" {
		t.Errorf("planned %s", got)
	}
}

func TestDown(t *testing.T) {
	b := newHost(t)
	b.settle(webSpec(), 3)
	inv := b.inventory()
	if groups := inv.Groups(); !slices.Equal(groups, []string{"web"}) {
		t.Errorf("groups %v", groups)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := vm.Down(ended, b.conn, inv.Owned, time.Second, b.hear); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if len(b.inventory().Owned) != 3 {
		t.Error("cancelled, it removed something")
	}
	if err := vm.Down(t.Context(), b.conn, inv.Owned, time.Second, b.hear); err != nil {
		t.Error(err)
	}
	b.hasNothing()
}

// stage is a running actuator on the host of a testHost.
type stage struct {
	t        *testing.T
	spec     bus.Group
	host     string
	conn     *client.Conn // of the one who plays the decider
	operator *client.Conn // of one who answers hooks
	own      *Actuator
	events   chan bus.Event
	reports  chan error
	sent     int
	controls bus.Controls
	stop     func()
}

func startStage(
	t *testing.T,
	b *testHost,
	spec bus.Group,
	dial func(context.Context) (*libvirt.Connect, error),
	changes ...func(*Config),
) *stage {
	t.Helper()
	host, err := b.conn.GetHostname()
	if err != nil {
		t.Fatal(err)
	}
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
	s := &stage{
		t:        t,
		spec:     spec,
		host:     host,
		conn:     connect("test"),
		operator: connect("operator"),
		events:   make(chan bus.Event, 1024),
		reports:  make(chan error, 4096),
	}
	own := connect("actuator")
	if err := client.Subscribe(s.conn, bus.AllEvents, s.events); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Groups: []bus.Group{
			spec,
		}, Pools: vm.Pools{Templates: testPool, Disks: testPool}, Acceleration: vm.AccelerationAuto, Dial: dial, Identify: here,
		Report: func(err error) { s.reports <- err },
	}
	for _, change := range changes {
		change(&cfg)
	}
	a, err := New(cfg, own, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s.own = a
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		own.Close()
		s.operator.Close()
		s.conn.Close()
		server.Stop()
	})
	t.Cleanup(s.stop)
	return s
}

// want sends a decision, again and again like a decider, until the host is as wanted.
func (s *stage) want(desired int, what string, holds func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		s.sent++
		now := time.Now()
		if err := s.conn.Publish(&bus.Decision{
			V: bus.Version, Group: s.spec.Name, Direction: bus.In, Desired: desired, HasSample: true, Controls: s.controls,
			Shares: map[bus.HostID]bus.Share{"here": {Host: s.host, VMs: desired, Numbers: []int{1, 2, 3, 4, 5, 6, 7, 8}}},
			ID:     fmt.Sprintf("web-1-%d", s.sent), Term: 1, Seq: uint64(s.sent), Time: now, ExpiresAt: now.Add(time.Minute),
			SpecHash: s.spec.Hash(),
		}); err != nil {
			s.t.Fatal(err)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			s.t.Fatalf("never: %s", what)
		}
	}
}

// event is the next event of a type.
func (s *stage) event(want bus.EventType) bus.Event {
	s.t.Helper()
	for {
		select {
		case e := <-s.events:
			if e.Event == want {
				return e
			}
		case <-time.After(60 * time.Second):
			s.t.Fatalf("no event %s came", want)
		}
	}
}

// ready reports whether exactly n VMs are owned, all of them ready and running.
func (b *testHost) ready(n int) func() bool {
	return func() bool {
		owned := b.inventory().Owned
		return len(owned) == n && !slices.ContainsFunc(owned, func(vm vm.VM) bool {
			return vm.Meta.Phase != bus.PhaseReady || vm.State != bus.StateRunning
		})
	}
}

func TestActuatorFollowsDecisions(t *testing.T) {
	b := newHost(t)
	foreign := vm.NewUUID()
	b.define("web-1", foreign, "")
	s := startStage(t, b, webSpec(func(g *bus.Group) { g.Min, g.Max = 1, 3 }), dialTest)

	s.want(2, "2 VMs", b.ready(2))
	if e := s.event(bus.EventTakenName); e.VM != "web-1" {
		t.Errorf("taken: %+v", e)
	}
	if e := s.event(bus.EventReady); e.Host != s.host || !strings.HasPrefix(e.DecisionID, "web-1-") {
		t.Errorf("ready: %+v", e)
	}
	b.has([]string{"web-1", "web-2", "web-3"}, b.volumes())

	s.want(99, "max", b.ready(3)) // whatever a decision says
	oldest := slices.MinFunc(b.inventory().Owned, func(a, c vm.VM) int { return a.Meta.Created.Compare(c.Meta.Created) })
	s.want(0, "min", b.ready(1))
	if vm := b.inventory().Owned[0]; vm.UUID != oldest.UUID {
		t.Errorf("%s is left, want the oldest, %s", vm.Name, oldest.Name)
	}
	s.event(bus.EventRemoved)

	// One that somebody destroys is replaced.
	before := b.inventory().Owned[0].UUID
	dom, err := b.conn.LookupDomainByUUIDString(before)
	if err != nil {
		t.Fatal(err)
	}
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	dom.Free()
	s.want(1, "a replacement", func() bool { return b.ready(1)() && b.inventory().Owned[0].UUID != before })
	if e := s.event(bus.EventDied); e.VM != oldest.Name {
		t.Errorf("died: %+v", e)
	}

	// Stopped, it leaves the VMs as they are, and the foreign domain was never touched.
	s.stop()
	if !b.ready(1)() {
		t.Errorf("left %+v", b.inventory().Owned)
	}
	dom, err = b.conn.LookupDomainByName("web-1")
	if err != nil {
		t.Fatal(err)
	}
	defer dom.Free()
	if uuid, err := dom.GetUUIDString(); err != nil || uuid != foreign {
		t.Errorf("web-1 is now %s (%v)", uuid, err)
	}
}

// Started again, it goes on with what is there.
func TestActuatorTakesOver(t *testing.T) {
	b := newHost(t)
	spec := webSpec()
	b.settle(spec, 2)
	ctx, cancel := context.WithCancel(t.Context())
	b.on[bus.EventCreating] = cancel
	_ = b.Launch(ctx, spec, "web-3", someUUID, "d") // half-made
	s := startStage(t, b, spec, dialTest)

	// Before any decision nothing happens, as what a person has paused is not known.
	for range 2 {
		s.event(bus.EventAdopted)
	}
	if n := len(b.inventory().Owned); n != 3 {
		t.Errorf("%d VMs before any decision", n)
	}
	s.want(2, "2 VMs, without the half-made one", b.ready(2))
	if e := s.event(bus.EventRemoved); e.VM != "web-3" {
		t.Errorf("removed: %+v", e)
	}
}

// Whatever is decided in a dry run is said once, and nothing is done: neither a launch, nor a removal, nor a repair.
func TestDryRunDoesNothing(t *testing.T) {
	for _, ofConfig := range []bool{true, false} {
		t.Run(fmt.Sprintf("of the config: %t", ofConfig), func(t *testing.T) {
			b := newHost(t)
			spec := webSpec(func(g *bus.Group) { g.Max, g.DryRun = 9, ofConfig })
			b.settle(spec, 2)
			dom, err := b.conn.LookupDomainByName("web-2")
			if err != nil {
				t.Fatal(err)
			}
			err = dom.Destroy()
			_ = dom.Free()
			if err != nil {
				t.Fatal(err)
			}
			s := startStage(t, b, spec, dialTest)
			s.controls.DryRun = !ofConfig
			before := map[string]bool{}
			said := func(sentence string) func() bool {
				return func() bool {
					for {
						select {
						case e := <-s.events:
							switch {
							case e.Event == bus.EventDryRun && !before[e.Sentence]:
								before[e.Sentence] = true
							case e.Event != bus.EventAdopted:
								t.Errorf("it did something, or said it again: %+v", e)
							}
						default:
							return before[sentence]
						}
					}
				}
			}
			s.want(3, "word of a launch", said("would launch web-3, web-4; remove web-2 (it is shut off)"))
			s.want(1, "word of a removal", said("would remove web-2 (it is shut off)"))
			if n := len(b.inventory().Owned); n != 2 {
				t.Errorf("%d VMs afterwards", n)
			}
			if ofConfig {
				return
			}
			s.controls.DryRun = false
			s.want(1, "one VM", b.ready(1))
		})
	}
}

// Beyond the budget VMs in service stay, which is said once.
func TestRemovalBudget(t *testing.T) {
	b := newHost(t)
	spec := webSpec(func(g *bus.Group) { g.Brakes.Removals, g.Brakes.RemovalWindow = 1, time.Hour })
	b.withRecords()
	b.settle(spec, 3)
	s := startStage(t, b, spec, dialTest, b.sweeps)
	var braked, removed []bus.Event
	s.want(1, "the first goes, and the budget is used up", func() bool {
		for {
			select {
			case e := <-s.events:
				switch e.Event {
				case bus.EventBraked:
					braked = append(braked, e)
				case bus.EventRemoved:
					removed = append(removed, e)
				}
			default:
				return len(removed) > 0 && len(braked) > 0 && s.sent > 40
			}
		}
	})
	if len(removed) != 1 || len(braked) != 1 || braked[0].VM != "" ||
		!strings.Contains(braked[0].Sentence, "1 VMs too many are kept") {
		t.Errorf("removed %+v, braked %+v", removed, braked)
	}
	if n := len(b.inventory().Owned); n != 2 {
		t.Errorf("%d VMs are left, want 2", n)
	}
	s.stop()
	s = startStage(t, b, spec, dialTest, b.sweeps) // another process counts them as well
	s.want(1, "none goes", func() bool {
		for {
			select {
			case e := <-s.events:
				if e.Event == bus.EventBraked {
					return true
				}
				if e.Event == bus.EventDraining {
					t.Fatalf("event %+v", e)
				}
			default:
				return false
			}
		}
	})
}

// A VM that drains serves again when it is needed again, or is protected; one whose time is over goes. A drain that
// was cut off goes on.
func TestDrainIsCalledOff(t *testing.T) {
	b := newHost(t)
	spec := webSpec(func(g *bus.Group) { g.Drain, g.ShutdownTimeout = time.Hour, time.Second })
	b.settle(spec, 2)
	before := b.inventory().Owned
	s := startStage(t, b, spec, dialTest)
	drains := func() bool {
		return slices.ContainsFunc(
			b.inventory().Owned,
			func(vm vm.VM) bool { return vm.Name == "web-2" && vm.Meta.Phase == bus.PhaseDraining },
		)
	}
	s.want(1, "web-2 drains", drains)
	if e := s.event(bus.EventDraining); e.VM != "web-2" || e.Deadline == nil || time.Until(*e.Deadline) < 59*time.Minute {
		t.Errorf("event %+v, want the deadline in an hour", e)
	}
	s.want(2, "web-2 serves again", b.ready(2))
	if e := s.event(bus.EventKept); e.VM != "web-2" || !strings.Contains(e.Sentence, "needed again") {
		t.Errorf("event %+v", e)
	}
	s.want(1, "web-2 drains again", drains)
	deadline := s.event(bus.EventDraining).Deadline
	s.stop()

	s = startStage(t, b, spec, dialTest)
	var again bus.Event
	s.want(1, "the drain goes on", func() bool {
		select {
		case again = <-s.events:
		default:
		}
		return again.Event == bus.EventDraining
	})
	if again.Deadline == nil || again.Deadline.Sub(*deadline).Abs() > time.Second {
		t.Errorf("drains until %v after a restart, before it until %v", again.Deadline, deadline)
	}
	if err := vm.Protect(b.conn, before[1], bus.Protection{On: true}); err != nil {
		t.Fatal(err)
	}
	s.want(1, "web-1 drains in its place", func() bool {
		phases := map[string]bus.Phase{}
		for _, vm := range b.inventory().Owned {
			phases[vm.Name] = vm.Meta.Phase
		}
		return phases["web-1"] == bus.PhaseDraining && phases["web-2"] == bus.PhaseReady
	})
	s.stop()
	if now := b.inventory().Owned; len(now) != 2 || now[0].UUID != before[0].UUID || now[1].UUID != before[1].UUID {
		t.Errorf("VMs %+v, want the same as before, %+v", now, before)
	}

	s = startStage(t, b, webSpec(func(g *bus.Group) { g.Drain, g.ShutdownTimeout = 0, time.Second }), dialTest)
	s.want(1, "it goes when its time is over", func() bool { return b.ready(1)() && b.inventory().Owned[0].Name == "web-2" })
}

// A VM whose drain is called off while its remove hook waits goes through its launch hook again, before it serves again.
func TestCalledOffDuringItsHook(t *testing.T) {
	b := newHost(t)
	spec := webSpec()
	b.settle(spec, 2)
	spec.Hooks.Launch, spec.Hooks.Remove = busHooks(), busHooks()
	s := startStage(t, b, spec, dialTest)
	var waiting bus.Event
	s.want(1, "the remove hook waits", func() bool {
		select {
		case e := <-s.events:
			waiting = e
		default:
		}
		return waiting.Event == bus.EventWaiting
	})
	if waiting.VM != "web-2" || !strings.Contains(waiting.Sentence, "remove hook") {
		t.Errorf("event %+v", waiting)
	}
	waiting = bus.Event{}
	kept := false
	s.want(2, "the launch hook waits", func() bool {
		select {
		case e := <-s.events:
			waiting, kept = e, kept || e.Event == bus.EventKept
		default:
		}
		return waiting.Event == bus.EventWaiting
	})
	if waiting.VM != "web-2" || !strings.Contains(waiting.Sentence, "launch hook") || !kept {
		t.Errorf("event %+v, kept %t", waiting, kept)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := client.Ask[bus.HookAnswer](ctx, s.operator, bus.VerbHook,
		bus.Query{Token: waiting.Token, Action: bus.HookContinue}); err != nil {
		t.Fatal(err)
	}
	s.want(2, "it serves again", b.ready(2))
}

func TestProtect(t *testing.T) {
	b := newHost(t)
	spec := webSpec()
	b.settle(spec, 2)
	newest := b.inventory().Owned[1]
	for _, on := range []bool{true, true, false, false} {
		if err := vm.Protect(b.conn, newest, bus.Protection{On: on}); err != nil {
			t.Fatal(err)
		}
		if vm := b.inventory().Owned[1]; vm.Protected != on || vm.Meta.Phase != bus.PhaseReady {
			t.Errorf("protected %t, want %t; phase %s", vm.Protected, on, vm.Meta.Phase)
		}
	}
	if err := vm.Protect(b.conn, newest, bus.Protection{On: true}); err != nil {
		t.Fatal(err)
	}
	// A phase that is written later leaves the mark.
	dom, err := b.conn.LookupDomainByUUIDString(newest.UUID)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dom.Free() }()
	if err := vm.SetPhase(dom, &newest.Meta, bus.PhaseReady); err != nil {
		t.Fatal(err)
	}
	b.settle(spec, 1)
	if owned := b.inventory().Owned; len(owned) != 1 || owned[0].UUID != newest.UUID {
		t.Errorf("left %+v, want the protected one", owned)
	}
	if err := vm.Protect(b.conn, vm.VM{Name: "gone", UUID: vm.NewUUID()}, bus.Protection{On: true}); err == nil {
		t.Error("a VM that is not there is protected")
	}
	foreign := vm.NewUUID()
	b.define("foreign", foreign, "")
	if err := vm.Protect(b.conn, vm.VM{Name: "foreign", UUID: foreign}, bus.Protection{On: true}); err == nil {
		t.Error("a foreign domain is written to")
	}
}

// Who has protected a VM, and who has taken that back, is an event, and at the next start a part of one.
func TestProtectionIsTold(t *testing.T) {
	b := newHost(t)
	spec := webSpec()
	b.settle(spec, 1)
	one := b.inventory().Owned[0]
	ann := bus.Protection{On: true, By: "ann@kvm1", Reason: "I debug it"}
	if err := vm.Protect(b.conn, one, ann); err != nil {
		t.Fatal(err)
	}
	const says = `protected from scaling in, by ann@kvm1 ("I debug it")`
	s := startStage(t, b, spec, dialTest)
	if e := s.event(bus.EventAdopted); e.VM != one.Name || !strings.HasSuffix(e.Sentence, " UTC "+says) {
		t.Errorf("event %+v, want it to end in %q", e, says)
	}
	for _, p := range []bus.Protection{{By: "bob@kvm1", Reason: "found it"}, ann} {
		if err := vm.Protect(b.conn, one, p); err != nil {
			t.Fatal(err)
		}
		if e := s.event(bus.EventOrdered); e.VM != one.Name || e.By != p.By || e.Reason != p.Reason || e.Sentence != p.Sentence() {
			t.Errorf("event %+v, want %q", e, p.Sentence())
		}
	}
	s.stop()
}

// What a group keeps its VMs from is at each new VM, and follows the config at those that are there. Nothing else of them
// changes.
func TestProtectionFollowsTheConfig(t *testing.T) {
	b := newHost(t)
	spec := webSpec()
	spec.ProtectNew, spec.DeletionProtection = true, bus.DeletionPreventAll
	b.settle(spec, 1)
	made := b.inventory().Owned[0]
	if !made.Protected || made.Deletion != bus.DeletionPreventAll || made.Meta.Phase != bus.PhaseReady {
		t.Fatalf("a new VM is %+v", made)
	}
	for _, level := range []bus.DeletionProtection{bus.DeletionPreventForce, bus.DeletionAllowed} {
		spec.ProtectNew, spec.DeletionProtection = false, level
		s := startStage(t, b, spec, dialTest)
		s.want(1, "its VM has "+string(level), func() bool { return b.inventory().Owned[0].Deletion == level })
		s.stop()
		if left := b.inventory().Owned[0]; left.UUID != made.UUID || !left.Protected || !reflect.DeepEqual(left.Meta, made.Meta) {
			t.Errorf("%s: left %+v, want %+v", level, left, made)
		}
	}
}

func TestActuatorBacksOffWithoutATemplate(t *testing.T) {
	b := newHost(t)
	spec := webSpec(func(g *bus.Group) { g.Template = "none" })
	s := startStage(t, b, spec, dialTest)
	failed := false
	s.want(1, "a failure", func() bool {
		for !failed {
			select {
			case e := <-s.events:
				failed = e.Event == bus.EventFailed && strings.Contains(e.Error, "template not found") &&
					strings.Contains(e.Sentence, "next try in 1s")
			default:
				return false
			}
		}
		return true
	})
	b.hasNothing()
	if e := s.event(bus.EventFailed); !strings.Contains(e.Sentence, "next try in 2s") {
		t.Errorf("second: %s", e.Sentence)
	}
}

func TestActuatorWaitsForLibvirt(t *testing.T) {
	b := newHost(t)
	down := errors.New("connection refused")
	answers := make(chan error, 1)
	answers <- down
	s := startStage(t, b, webSpec(), func(ctx context.Context) (*libvirt.Connect, error) {
		select {
		case err := <-answers:
			return nil, err
		default:
			return dialTest(ctx)
		}
	})
	select {
	case err := <-s.reports:
		if !errors.Is(err, down) {
			t.Errorf("reported %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was reported")
	}
	s.want(1, "a VM once libvirt is back", b.ready(1))
	select {
	case err := <-s.reports:
		if err != nil {
			t.Errorf("reported %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was reported")
	}
}

func TestActuatorIgnoresAnotherConfigsDecisions(t *testing.T) {
	b := newHost(t)
	s := startStage(t, b, webSpec(), dialTest)
	s.spec = webSpec(func(g *bus.Group) { g.Max = 9 }) // the decider's
	s.want(1, "a report of it", func() bool {
		for {
			select {
			case err := <-s.reports:
				if err != nil && strings.Contains(err.Error(), "another config") {
					return true
				}
			default:
				return false
			}
		}
	})
	b.hasNothing()
}

// A launch that is not wanted any more is given up.
func TestActuatorCancelsALaunch(t *testing.T) {
	b := newHost(t)
	spec := webSpec(func(g *bus.Group) { g.Min, g.ReadyAfter = 0, time.Hour })
	s := startStage(t, b, spec, dialTest)
	s.want(1, "a launching VM", func() bool {
		owned := b.inventory().Owned
		return len(owned) == 1 && owned[0].Meta.Phase == bus.PhaseLaunching && owned[0].State == bus.StateRunning
	})
	s.want(0, "no VM", func() bool { return len(b.inventory().Owned) == 0 })
	s.stop()
	b.hasNothing()
}
