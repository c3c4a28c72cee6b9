package actuator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/orphan"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

const anotherUUID = "0badcafe-7f0b-4e53-9d6a-0d8a4e6b1c11"

// withRecords lets a host's actuator keep records. The test driver's volumes have no files, so each is told that it has
// one of the inode that is pretended.
func (b *testHost) withRecords() (inode *atomic.Uint64) {
	b.t.Helper()
	host, err := b.conn.GetHostname()
	if err != nil {
		b.t.Fatal(err)
	}
	inode = &atomic.Uint64{}
	inode.Store(7)
	b.book = orphan.NewRecords(filepath.Join(b.t.TempDir(), "volumes"), testURI, "here", host, zerolog.Nop())
	b.book.Identify = func(string) (*orphan.FileID, error) {
		if inode.Load() == 0 {
			return nil, os.ErrNotExist
		}
		return &orphan.FileID{Inode: inode.Load()}, nil
	}
	b.Records = b.book
	b.End = func(uuid string, e bus.Event) { b.hear(e); b.book.Drop(uuid) }
	return inode
}

// undefineByHand is what a person does: the volume stays.
func (b *testHost) undefineByHand(name string) {
	b.t.Helper()
	dom, err := b.conn.LookupDomainByName(name)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = dom.Free() }()
	if err := errors.Join(dom.Undefine(), dom.Destroy()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *testHost) deleteByHand(volume string) {
	b.t.Helper()
	b.withPool(func(pool *libvirt.StoragePool) {
		vol, err := pool.LookupStorageVolByName(volume)
		if err != nil {
			b.t.Fatal(err)
		}
		defer func() { _ = vol.Free() }()
		if err := vol.Delete(0); err != nil {
			b.t.Fatal(err)
		}
	})
}

// clone makes a volume as an actuator does.
func (b *testHost) clone(name string) {
	b.t.Helper()
	tmpl, err := template.Lookup(b.conn, testPool, "demo")
	if err != nil {
		b.t.Fatal(err)
	}
	b.withPool(func(pool *libvirt.StoragePool) {
		vol, err := vm.CreateVolume(pool, name, tmpl.Path, tmpl.Capacity)
		if err != nil {
			b.t.Fatal(err)
		}
		_ = vol.Free()
	})
}

// A record is there as long as anything of its VM is.
func TestRecordOfALaunch(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	recorded := func() string {
		var all []string
		for _, r := range b.book.Read() {
			all = append(all, fmt.Sprintf("%s %s %t", r.VM, r.Path, r.File != nil))
		}
		return strings.Join(all, ", ")
	}
	atCreating := ""
	b.on[bus.EventCreating] = func() { atCreating = recorded() }
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	path := "web-1 /default-pool/web-1.5c0d2a9e.qcow2"
	if got := recorded(); atCreating != path+" false" || got != path+" true" {
		t.Errorf("before the volume %q, after the launch %q", atCreating, got)
	}
	atRemoved := ""
	b.on[bus.EventRemoved] = func() { atRemoved = recorded() }
	b.settle(webSpec(), 0)
	if got := recorded(); atRemoved == "" || got != "" {
		t.Errorf("when its end is said %q, afterwards %q", atRemoved, got)
	}
}

// A VM is given away: nothing of ours is in its metadata, its end is said, and from before that moment on no record says that its
// disk may be deleted. Cut off anywhere it is ours and to be detached, or a domain like any other.
func TestDetach(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	owned := func() []vm.VM {
		inv, err := vm.ReadInventory(b.conn)
		if err != nil {
			t.Fatal(err)
		}
		return inv.Owned
	}
	one := owned()[0]
	if err := b.Detach(t.Context(), webSpec(), one, "d"); err != nil || len(owned()) != 1 {
		t.Fatalf("one of which that is not wanted: %v, %d owned", err, len(owned()))
	}
	order := bus.VMOrder{Verb: bus.VMDetach, By: "ann", Reason: "mine", At: t0}
	if done, err := b.SetOrder(t.Context(), one, order); !done || err != nil {
		t.Fatal(done, err)
	}
	if err := vm.Protect(b.conn, one, bus.Protection{On: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.book.Release(someUUID); err != nil { // and killed
		t.Fatal(err)
	}
	if r := b.book.Read(); len(r) != 1 || r[0].File != nil || r[0].Detached == nil {
		t.Errorf("the record authorizes something still: %+v", r)
	}
	removal := vm.Removal{VM: owned()[0], Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true}
	if err := b.Remove(t.Context(), removal, webSpec(), nil, "d"); err != nil || len(owned()) != 1 {
		t.Errorf("it is removed all the same: %v", err)
	}
	if err := b.Detach(t.Context(), webSpec(), owned()[0], "d"); err != nil || len(owned()) != 0 {
		t.Fatalf("%v, %d owned", err, len(owned()))
	}
	if r := b.book.Read(); len(r) != 0 {
		t.Errorf("left is a record: %+v", r)
	}
	if heard := b.heard(); !strings.HasSuffix(heard, "ready detached") || b.events[len(b.events)-1].Reason != "mine" {
		t.Errorf("heard %s", heard)
	}
	dom, err := b.conn.LookupDomainByName("web-1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := dom.GetXMLDesc(0)
	_ = dom.Free()
	if err != nil || strings.Contains(text, "urn:vmscaler") || !strings.Contains(text, "web-1.5c0d2a9e.qcow2") {
		t.Errorf("its definition (%v):\n%s", err, text)
	}
	b.undefineByHand("web-1")
	sweeper, err := orphan.NewSweeper(b.conn, b.book, b.Pools)
	if err != nil {
		t.Fatal(err)
	}
	all, err := sweeper.List(0)
	if err != nil || len(all) != 1 || all[0].Action != orphan.Keep {
		t.Errorf("its disk (%v): %+v", err, all)
	}
}

// A VM leaves service, which nothing but its metadata shows, and serves again; both only while that is wanted.
func TestStandby(t *testing.T) {
	b := newHost(t)
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	one := func() vm.VM {
		inv, err := vm.ReadInventory(b.conn)
		if err != nil || len(inv.Owned) != 1 {
			t.Fatal(inv, err)
		}
		return inv.Owned[0]
	}
	for _, step := range []struct {
		order bus.VMVerb
		do    func(context.Context, bus.Group, vm.VM, string) error
		phase bus.Phase
		rest  bus.Rest
		state bus.State
	}{
		{"", b.StandBy, bus.PhaseReady, "", bus.StateRunning},
		{"", b.Return, bus.PhaseReady, "", bus.StateRunning},
		{bus.VMExitStandby, b.Return, bus.PhaseReady, "", bus.StateRunning},
		{bus.VMStandby, b.StandBy, bus.PhaseStandby, bus.RestSuspend, bus.StatePaused},
		{bus.VMExitStandby, b.Return, bus.PhaseReady, "", bus.StateRunning},
		{bus.VMStandby, b.StandBy, bus.PhaseStandby, bus.RestStop, bus.StateShutoff},
		{bus.VMExitStandby, b.Return, bus.PhaseReady, "", bus.StateRunning},
		{bus.VMStandby, b.StandBy, bus.PhaseStandby, "", bus.StateRunning},
		{"", b.StandBy, bus.PhaseStandby, "", bus.StateRunning},
		{"", b.Return, bus.PhaseStandby, "", bus.StateRunning},
		{bus.VMExitStandby, b.Return, bus.PhaseReady, "", bus.StateRunning},
	} {
		if step.order != "" {
			if _, err := b.SetOrder(t.Context(), one(), bus.VMOrder{Verb: step.order, At: t0, Rest: step.rest}); err != nil {
				t.Fatal(err)
			}
		}
		if err := step.do(t.Context(), webSpec(), one(), "d"); err != nil || one().Meta.Phase != step.phase ||
			one().State != step.state {
			t.Errorf("%+v: %v, it is %s and %s", step, err, one().Meta.Phase, one().State)
		}
	}
	if heard := b.heard(); !strings.HasSuffix(heard, "ready standby ready standby ready standby ready") {
		t.Errorf("heard %s", heard)
	}
	if done, err := b.SetOrder(t.Context(), one(), bus.VMOrder{}); !done || err != nil || one().Order != nil {
		t.Errorf("taken back: %v, %v, %+v", done, err, one().Order)
	}
}

// A VM that was given new disks has them in its record, so that they are known as ours when a person undefines it.
func TestRecordOfAReimage(t *testing.T) {
	b := newHost(t)
	inode := b.withRecords()
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	owned, err := vm.ReadInventory(b.conn)
	if err != nil {
		t.Fatal(err)
	}
	before := b.book.Read()[0]
	inode.Store(8)
	larger := webSpec(func(g *bus.Group) { g.MemoryMiB++ })
	if err := b.Reimage(t.Context(), larger, owned.Owned[0], &vm.Drain{}, "d"); err != nil {
		t.Fatal(err)
	}
	after := b.book.Read()
	if len(after) != 1 || after[0].UUID != someUUID || after[0].File == nil || after[0].File.Inode != 8 ||
		after[0].Template != before.Template {
		t.Errorf("there are the records %+v", after)
	}
	now, err := vm.ReadInventory(b.conn)
	if err != nil || len(now.Owned) != 1 || now.Owned[0].UUID != someUUID || now.Owned[0].Reimaging() ||
		now.Owned[0].Meta.Machine == owned.Owned[0].Meta.Machine || !now.Owned[0].Serves() {
		t.Errorf("there are %+v, %v", now.Owned, err)
	}
	b.settle(webSpec(), 0)
}

// What a person has laid over a VM's disk, or attached it to, needs that disk: it outlives the VM, and its record does, too.
func TestDiskThatIsNeededStays(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	const disk = "web-1.5c0d2a9e.qcow2"
	b.withPool(func(pool *libvirt.StoragePool) {
		vol, err := vm.CreateVolume(pool, "copy.qcow2", "/default-pool/"+disk, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		_ = vol.Free()
	})
	said := ""
	b.on[bus.EventRemoved] = func() { said = b.events[len(b.events)-1].Sentence }
	b.settle(webSpec(), 0)
	if want := "its disk stays, as it is needed by volume copy.qcow2 of storage pool"; !strings.Contains(said, want) {
		t.Errorf("said %q, want %q in it", said, want)
	}
	if records := b.book.Read(); len(records) != 1 || records[0].UUID != someUUID {
		t.Errorf("there are the records %+v", records)
	}
	b.withPool(func(pool *libvirt.StoragePool) {
		if vol, err := pool.LookupStorageVolByName(disk); err != nil {
			t.Errorf("the disk is gone: %s", err)
		} else {
			_ = vol.Free()
		}
	})
	b.deleteByHand("copy.qcow2")
	b.deleteByHand(disk)
}

// A VM's end is said once all that was made for it is gone, also if it has more than one volume.
func TestDeleteOrphansOfOneVM(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	spec := webSpec(func(g *bus.Group) { g.Disks = []bus.Disk{{SizeMiB: 1}} })
	if err := b.Launch(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	b.undefineByHand("web-1")
	found := func() []orphan.Orphan {
		t.Helper()
		s, err := orphan.Read(b.conn, b.book, b.Pools, nil)
		if err != nil {
			t.Fatal(err)
		}
		return orphan.Find(s, time.Now(), 0, nil)
	}
	all := found()
	if len(all) != 2 || all[0].Action != orphan.Delete || all[1].Action != orphan.Delete || all[0].Path == all[1].Path {
		t.Fatalf("found %+v, want both volumes", all)
	}
	for i, o := range all {
		d, err := orphan.DeleteVolume(b.conn, b.book, o.VolumeRecord)
		if err != nil || !d.Deleted || d.Last != (i == 1) {
			t.Errorf("%s: %+v, %v", o.Path, d, err)
		}
	}
	if all := found(); len(all) != 1 || all[0].Action != orphan.Forget {
		t.Errorf("then %+v, want its end", all)
	}
}

// What must not be deleted is left even if somebody asks for it.
func TestDeleteOrphan(t *testing.T) {
	volume := bus.VolumeName("web-1", someUUID)
	for _, tt := range []struct {
		name    string
		change  func(b *testHost, inode *atomic.Uint64, r *orphan.VolumeRecord)
		deleted bool
		err     string
	}{
		{name: "all is as it was", deleted: true},
		{
			name: "another file", change: func(_ *testHost, inode *atomic.Uint64, _ *orphan.VolumeRecord) { inode.Store(8) },
			err: "another file",
		},
		{
			name: "no file", change: func(_ *testHost, inode *atomic.Uint64, _ *orphan.VolumeRecord) { inode.Store(0) },
			err: "cannot be looked at",
		},
		{
			name:   "its domain is there again",
			change: func(b *testHost, _ *atomic.Uint64, _ *orphan.VolumeRecord) { b.define("mine", someUUID, "") },
		},
		{name: "a foreign disk", err: "domain theirs uses it", change: func(b *testHost, _ *atomic.Uint64, _ *orphan.VolumeRecord) {
			dom, err := b.conn.DomainDefineXML(`<domain type='test'><name>theirs</name>
				<memory unit='MiB'>64</memory><os><type>hvm</type></os>
				<devices><disk type='volume' device='disk'>
					<source pool='` + testPool + `' volume='` + volume + `'/><target dev='vda'/>
				</disk></devices></domain>`)
			if err != nil {
				b.t.Fatal(err)
			}
			_ = dom.Free()
		}},
		{
			name: "an overlay on it", err: "volume theirs.qcow2 uses it",
			change: func(b *testHost, _ *atomic.Uint64, r *orphan.VolumeRecord) {
				b.withPool(func(pool *libvirt.StoragePool) {
					vol, err := vm.CreateVolume(pool, "theirs.qcow2", r.Path, 1<<20)
					if err != nil {
						b.t.Fatal(err)
					}
					_ = vol.Free()
				})
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newHost(t)
			inode := b.withRecords()
			if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
				t.Fatal(err)
			}
			b.undefineByHand("web-1")
			r := b.book.Read()[0]
			if tt.change != nil {
				tt.change(b, inode, &r)
			}
			d, err := orphan.DeleteVolume(b.conn, b.book, r)
			deleted := d.Deleted
			if deleted != tt.deleted || d.Last != deleted || (err != nil) != (tt.err != "") || err != nil &&
				!strings.Contains(err.Error(), tt.err) {
				t.Errorf("deleted %t, %v; want %t, %q", deleted, err, tt.deleted, tt.err)
			}
			if there := slices.Contains(b.volumes(), volume); there == tt.deleted {
				t.Errorf("the volume is there: %t", there)
			}
		})
	}
}

// sweeps lets a stage sweep all the time, with the records of a host.
func (b *testHost) sweeps(cfg *Config) {
	cfg.RecordDir, cfg.sweepEvery, cfg.SweepGrace, cfg.identify = b.book.Dir, time.Nanosecond, -1, b.book.Identify
}

// until takes events until all the wanted ones came; each is its type, its VM and a part of its sentence.
func (s *stage) until(desired int, want ...string) (all []bus.Event) {
	s.t.Helper()
	s.want(desired, strings.Join(want, "; "), func() bool {
		for {
			select {
			case e := <-s.events:
				all = append(all, e)
				want = slices.DeleteFunc(want, func(w string) bool {
					words := strings.SplitN(w, " ", 3)
					return words[0] == string(e.Event) && words[1] == e.VM && strings.Contains(e.Sentence, words[2])
				})
			default:
				return len(want) == 0
			}
		}
	})
	return all
}

func TestActuatorSweeps(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	for name, uuid := range map[string]string{"web-1": someUUID, "web-2": anotherUUID} {
		if err := b.Launch(t.Context(), webSpec(), name, uuid, "d"); err != nil {
			t.Fatal(err)
		}
		b.undefineByHand(name)
	}
	b.deleteByHand(bus.VolumeName("web-2", anotherUUID)) // its actuator was killed before it could say that nothing is left
	b.clone("db-3.0badcafe.qcow2")                       // of an actuator whose records are lost
	b.makeVolume("web-9.qcow2")                          // somebody's
	b.settle(webSpec(), 1)
	running := b.inventory().Owned[0]
	s := startStage(t, b, webSpec(), dialTest, b.sweeps)

	all := s.until(1,
		"orphan web-1 deleted, as it was made by this vmscaler", "removed web-1 its volume is deleted", "removed web-2 found gone",
		"orphan db-3 left alone: there is no record")
	if owned := b.inventory().Owned; len(owned) != 1 || owned[0].UUID != running.UUID {
		t.Errorf("owned %+v", owned)
	}
	if got, want := b.volumes(), []string{"db-3.0badcafe.qcow2", running.Meta.Volume, "web-9.qcow2"}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	// Each is said once, however often it is swept.
	next := running.Name
	b.undefineByHand(next)
	all = append(all, s.until(1, "orphan "+next+" deleted", "removed "+next+" its volume")...)
	said := map[string]int{}
	for _, e := range all {
		if e.Event == bus.EventOrphan || e.Event == bus.EventRemoved {
			said[string(e.Event)+" "+e.VM+" "+e.Sentence]++
		}
	}
	for what, n := range said {
		if n != 1 {
			t.Errorf("%s is said %d times", what, n)
		}
	}
	s.want(1, "a VM, and its record alone", func() bool {
		records := b.book.Read()
		return b.ready(1)() && len(records) == 1 && records[0].UUID == b.inventory().Owned[0].UUID
	})
}

// A VM that runs without its volume is left to a person.
func TestSweepOfAVMWithoutItsVolume(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	b.deleteByHand(bus.VolumeName("web-1", someUUID))
	s := startStage(t, b, webSpec(), dialTest, b.sweeps)
	s.until(1, "orphan web-1 left alone: its volume is gone, and it runs")
	if !b.ready(1)() {
		t.Errorf("owned %+v", b.inventory().Owned)
	}
}

// In a dry run nothing is deleted, and before a decision was heard it could be one.
func TestSweepIsHeld(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	b.undefineByHand("web-1")
	volume := []string{bus.VolumeName("web-1", someUUID)}
	spec := webSpec(func(g *bus.Group) { g.Min = 0 })
	s := startStage(t, b, spec, dialTest, b.sweeps)
	if e := s.event(bus.EventOrphan); !strings.Contains(e.Sentence, "no decision was heard") {
		t.Errorf("said %q", e.Sentence)
	}
	b.has([]string{}, volume)
	s.controls.DryRun = true
	s.until(0, "orphan web-1 left alone for now: dry run")
	b.has([]string{}, volume)
	s.controls = bus.Controls{Paused: bus.Scopes()}
	s.until(0, "orphan web-1 left alone for now: the group is paused")
	b.has([]string{}, volume)
	s.controls = bus.Controls{}
	s.until(0, "removed web-1 its volume is deleted")
	b.hasNothing()
}

// A VM that it did not make gets a record, so that its end is said too. A launch that fails has ended with that.
func TestEveryVMHasAnEnd(t *testing.T) {
	b := newHost(t)
	b.settle(webSpec(), 1)
	adopted := b.inventory().Owned[0]
	b.withRecords()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := startStage(t, b, webSpec(), dialTest, b.sweeps)
	s.want(1, "a record", func() bool { return len(b.book.Read()) == 1 })
	s.stop()
	// Removed, and killed before it is said.
	if err := b.Remove(ctx, vm.Removal{VM: adopted}, bus.Group{ShutdownTimeout: time.Second}, nil, "d"); err != nil {
		t.Fatal(err)
	}
	b.book.Begin(adopted.Name, adopted.Meta, "", "")
	down := orphan.Ended{At: time.Now().UTC(), By: "ann@kvm1", Reason: "moved"} // as the command does that removes a group
	if err := b.book.End(adopted.UUID, down); err != nil {
		t.Fatal(err)
	}
	spec := webSpec(func(g *bus.Group) { g.Min, g.ReadyAfter, g.BootTimeout = 0, time.Hour, time.Nanosecond })
	s = startStage(t, b, spec, dialTest, b.sweeps)
	// By the third failure the first has been swept.
	all := s.until(1, "removed "+adopted.Name+" taken down on", "failed web-1 next try in 4s")
	ends := 0
	for _, e := range all {
		if e.Event == bus.EventRemoved {
			ends++
			if e.Sentence != down.Sentence() || e.By != down.By || e.Reason != down.Reason {
				t.Errorf("the end is %+v, want %q", e, down.Sentence())
			}
		}
	}
	if ends != 1 {
		t.Errorf("%d ends are said, want that of the adopted one alone: %+v", ends, all)
	}
	s.want(0, "no VM and no record", func() bool { return len(b.inventory().Owned) == 0 && len(b.book.Read()) == 0 })
	b.hasNothing()
}

// An end that the bus did not get is said again.
func TestRecordStaysUntilItsEndIsSaid(t *testing.T) {
	b := orphan.NewRecords(t.TempDir(), testURI, "here", "here", zerolog.Nop())
	b.Begin("web-1", someMetadata(), "", "/pool/template-demo.qcow2")
	conn, err := client.Dial(client.Remote{URL: "nats://127.0.0.1:1"}, "test", zerolog.Nop()) // where nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	a := &Actuator{outbox: client.NewOutbox(conn, zerolog.Nop()), log: zerolog.Nop()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.outbox.Run(ctx) }()
	a.end("here", b, someUUID, bus.Event{Group: "web", VM: "web-1", Event: bus.EventRemoved})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(b.Read()) != 1 {
		t.Error("the record is gone, and nobody knows of the end")
	}
}

// What a worker is at, or was since the survey began, may look like an orphan.
func TestOrphansWithoutThoseOfWorkers(t *testing.T) {
	found := orphan.Scan{
		Records: []orphan.VolumeRecord{{UUID: someUUID, VM: "web-1", Group: "web", Pool: "default"}},
		Pools:   map[string]map[string]bool{"default": {}},
	}
	for name, tt := range map[string]struct {
		a    *Actuator
		want int
	}{
		"idle":     {&Actuator{}, 1},
		"busy":     {&Actuator{workers: map[string]*worker{someUUID: {}}}, 0},
		"has been": {&Actuator{sweeper: sweeper{ended: map[string]bool{someUUID: true}}}, 0},
	} {
		tt.a.cfg.Now = func() time.Time { return t0 }
		if got := tt.a.orphans(found); len(got) != tt.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
