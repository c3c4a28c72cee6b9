package actuator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// keeping is the group web whose VMs have one disk that is kept, and one that is not.
func keeping(keep bus.Keep, changes ...func(*bus.Group)) bus.Group {
	return webSpec(append([]func(*bus.Group){func(g *bus.Group) {
		g.Disks = []bus.Disk{{SizeMiB: 1, Keep: keep}, {SizeMiB: 1}}
		g.Maintenance = bus.Maintenance{MinHealthyPercent: 90, MaxHealthyPercent: 100}
	}}, changes...)...)
}

// volumesOf are those of a VM with the disks of keeping.
func volumesOf(name, uuid string) []string {
	all := []string{bus.VolumeName(name, uuid), bus.DiskName(bus.VolumeName(name, uuid), 2), bus.KeptName("", name, 1)}
	slices.Sort(all)
	return all
}

const otherUUID = "0c1d2e3f-7f0b-4e53-9d6a-0d8a4e6b1c11"

// The disk of a VM that is gone is that of the next one of its name, whatever has become of the first; where the group has one
// less it goes, too, unless it is kept in any case.
func TestKeptDisk(t *testing.T) {
	removal := func(kind vm.RemoveKind) func(*testHost, vm.VM) error {
		return func(b *testHost, v vm.VM) error {
			return b.Remove(t.Context(), vm.Removal{VM: v, Kind: kind, Reason: "x"}, bus.Group{}, nil, "d")
		}
	}
	kept := []string{bus.KeptName("", "web-1", 1)}
	for _, tt := range []struct {
		name   string
		keep   bus.Keep
		end    func(*testHost, vm.VM) error
		leaves []string
	}{
		{"died", bus.KeepReplace, removal(vm.Died), kept},
		{"sick", bus.KeepReplace, removal(vm.Sick), kept},
		{"outdated", bus.KeepReplace, removal(vm.Outdated), kept},
		{"cut off", bus.KeepReplace, removal(vm.Interrupted), kept},
		{"replaced", bus.KeepReplace, func(b *testHost, v vm.VM) error {
			v.Order = &bus.VMOrder{Verb: bus.VMReplace, By: "ann", At: t0}
			return removal(vm.Ordered)(b, v)
		}, kept},
		{"removed", bus.KeepReplace, func(b *testHost, v vm.VM) error {
			v.Order = &bus.VMOrder{Verb: bus.VMRemove, By: "ann", At: t0, Shrinks: true}
			return removal(vm.Ordered)(b, v)
		}, nil},
		{"scaled in", bus.KeepReplace, removal(vm.ScaleIn), nil},
		{"scaled in, kept always", bus.KeepAlways, removal(vm.ScaleIn), kept},
		{"taken down", bus.KeepReplace, removal(vm.Operator), nil},
		{"taken down, kept always", bus.KeepAlways, removal(vm.Operator), kept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newHost(t)
			spec := keeping(tt.keep)
			if err := b.Launch(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
				t.Fatal(err)
			}
			b.has([]string{"web-1"}, volumesOf("web-1", someUUID))
			if tt.name == "died" {
				b.destroy("web-1")
			}
			if err := tt.end(b, b.inventory().Owned[0]); err != nil {
				t.Fatal(err)
			}
			b.has([]string{}, append([]string{}, tt.leaves...))
			inv := b.inventory()
			if got := show(Plan(Situation{
				Spec: spec, Desired: 1, BootSlots: 1, Numbers: []int{7, 8, 1}, Taken: inv.Taken, Kept: inv.Kept,
			})); got != "create web-7" && tt.leaves == nil || got != "create web-1" && tt.leaves != nil {
				t.Errorf("planned %s", got)
			}
			if err := b.Launch(t.Context(), spec, "web-1", otherUUID, "d"); err != nil {
				t.Fatal(err)
			}
			b.has([]string{"web-1"}, volumesOf("web-1", otherUUID))
		})
	}
}

// A host's disks are its own whatever UUID its libvirt has made up for this start.
func TestKeptDiskWithAnotherLibvirtUUID(t *testing.T) {
	b := newHost(t)
	b.HostID = "kvm1"
	kept := []string{bus.KeptName("kvm1", "web-1", 1)}
	for i, uuid := range []string{someUUID, otherUUID} {
		b.LibvirtID = []string{"before", "since"}[i] + "/system"
		if err := b.Launch(t.Context(), keeping(bus.KeepReplace), "web-1", uuid, "d"); err != nil {
			t.Fatal(err)
		}
		v := b.inventory().Owned[0]
		if !slices.Equal(v.Meta.KeptVolumes(), kept) {
			t.Errorf("with libvirt %s it has %v, want %v", b.LibvirtID, v.Meta.KeptVolumes(), kept)
		}
		if err := b.Remove(t.Context(), vm.Removal{VM: v, Kind: vm.Sick, Reason: "x"}, bus.Group{}, nil, "d"); err != nil {
			t.Fatal(err)
		}
		if inv := b.inventory(); !inv.Kept["web-1"] || inv.Taken["web-1"] {
			t.Errorf("kept are %v, taken %v", inv.Kept, inv.Taken)
		}
	}
	b.has([]string{}, kept)
}

func (b *testHost) destroy(name string) {
	b.t.Helper()
	dom, err := b.conn.LookupDomainByName(name)
	if err == nil {
		err = dom.Destroy()
		_ = dom.Free()
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// A VM that is given new disks has its kept one as before, also where the launch behind it fails.
func TestReimageKeepsDisks(t *testing.T) {
	for _, fails := range []bool{false, true} {
		b := newHost(t)
		spec := keeping(bus.KeepReplace)
		if err := b.Launch(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
			t.Fatal(err)
		}
		b.makeVolume("web-1.5c0d2a9e.seed.iso")
		want := volumesOf("web-1", someUUID)
		if fails { // the test driver cannot write a seed
			spec.CloudInit.UserData.Text = "#!/bin/sh"
			want = []string{bus.KeptName("", "web-1", 1)}
		}
		want = append(want, "web-1.5c0d2a9e.seed.iso") // of nobody, and in the way of a seed
		slices.Sort(want)
		err := b.Reimage(t.Context(), spec, b.inventory().Owned[0], &vm.Drain{}, "d")
		if (err != nil) != fails {
			t.Errorf("fails %v: %v", fails, err)
		}
		if got := b.volumes(); !slices.Equal(got, want) {
			t.Errorf("fails %v: volumes %v, want %v", fails, got, want)
		}
		if _, err := b.conn.Close(); err != nil {
			t.Fatal(err)
		}
		b.conn, _ = libvirt.NewConnect(testURI)
	}
}

// A launch that fails, at whatever step, leaves the kept disk for the next one.
func TestKeptDiskOfALaunchThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		spec bus.Group
		err  string
	}{
		"before it starts": {keeping(bus.KeepReplace, func(g *bus.Group) { g.CloudInit.UserData.Text = "#!/bin/sh" }), "seed.iso"},
		"never ready": {
			keeping(bus.KeepReplace, func(g *bus.Group) { g.ReadyAfter, g.BootTimeout = time.Hour, time.Nanosecond }),
			"boot time-out",
		},
	} {
		for _, before := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				b := newHost(t)
				kept := bus.KeptName("", "web-1", 1)
				if before {
					b.makeVolume(kept)
				}
				err := b.Launch(t.Context(), tt.spec, "web-1", someUUID, "d")
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want an error with %q", err, tt.err)
				}
				b.has([]string{}, []string{kept})
			})
		}
	}
}

// A kept disk that anything else needs is nobody's: no VM is made with it, none is deleted, and the reason is said.
func TestKeptDiskThatIsNeeded(t *testing.T) {
	b := newHost(t)
	spec, kept := keeping(bus.KeepReplace), bus.KeptName("", "web-1", 1)
	b.makeVolume(kept)
	dom, err := b.conn.DomainDefineXML(`<domain type='test'><name>rescue</name><memory unit='MiB'>64</memory>
		<os><type>hvm</type></os><devices><disk type='file'>
		<source file='/default-pool/` + kept + `'/><target dev='vda'/></disk></devices></domain>`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dom.Free() }()
	err = b.Launch(t.Context(), spec, "web-1", someUUID, "d")
	if err == nil || !strings.Contains(err.Error(), "disk 1 of web-1") || !strings.Contains(err.Error(), "rescue") {
		t.Errorf("got %v", err)
	}
	b.has([]string{"rescue"}, []string{kept})
	err = vm.DeleteKept(t.Context(), b.conn, testPool, kept, b.HostID)
	if err == nil || !strings.Contains(err.Error(), "rescue") {
		t.Errorf("deleted: %v", err)
	}
	if err := dom.Undefine(); err != nil {
		t.Fatal(err)
	}
	all, err := vm.ListKept(t.Context(), b.conn, testPool, b.HostID)
	if err != nil || len(all) != 1 || all[0].Name != kept || all[0].VM != "web-1" || all[0].Group != "web" || all[0].Disk != 1 ||
		all[0].User != "" {
		t.Errorf("kept are %+v, %v", all, err)
	}
	if err := vm.DeleteKept(t.Context(), b.conn, testPool, kept, b.HostID); err != nil {
		t.Error(err)
	}
	b.hasNothing()
	if err := vm.DeleteKept(t.Context(), b.conn, testPool, "template-demo.qcow2", b.HostID); err == nil {
		t.Error("a template is taken for a kept disk")
	}
}

// Of a pool that hosts share each deletes its own kept disks alone, as it does not know the domains of the others.
func TestKeptDiskOfAnotherHost(t *testing.T) {
	b := newHost(t)
	own, other := bus.KeptName("kvm1", "web-1", 1), bus.KeptName("kvm2", "web-2", 1)
	b.makeVolume(own)
	b.makeVolume(other)
	all, err := vm.ListKept(t.Context(), b.conn, testPool, "kvm1")
	if err != nil || len(all) != 2 || all[0].Name != own || all[0].Foreign || all[1].Name != other || !all[1].Foreign {
		t.Errorf("kept are %+v, %v", all, err)
	}
	err = vm.DeleteKept(t.Context(), b.conn, testPool, other, "kvm1")
	if err == nil || !strings.Contains(err.Error(), "another host") {
		t.Errorf("deleted: %v", err)
	}
	b.has([]string{}, []string{own, other})
	if err := vm.DeleteKept(t.Context(), b.conn, testPool, own, "kvm1"); err != nil {
		t.Error(err)
	}
	b.has([]string{}, []string{other})
}

// A removal that was cut off goes on as it began.
func TestSheddingIsNoted(t *testing.T) {
	for kind, want := range map[vm.RemoveKind]bool{vm.ScaleIn: true, vm.Outdated: false} {
		b := newHost(t)
		if err := b.Launch(t.Context(), keeping(bus.KeepReplace), "web-1", someUUID, "d"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		b.on[bus.EventStopping] = cancel
		err := b.Remove(ctx, vm.Removal{VM: b.inventory().Owned[0], Kind: kind, Reason: "x"}, bus.Group{}, nil, "d")
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("it was not cut off: %v", err)
		}
		v := b.inventory().Owned[0]
		if v.Meta.Sheds != want {
			t.Errorf("kind %d: %+v", kind, v.Meta)
		}
		if err := b.Remove(t.Context(), vm.Removal{VM: v, Kind: vm.Interrupted, Reason: "x"}, bus.Group{}, nil, "d"); err != nil {
			t.Fatal(err)
		}
		if left := b.volumes(); (len(left) == 0) != want {
			t.Errorf("kind %d leaves %v", kind, left)
		}
		if _, err := b.conn.Close(); err != nil {
			t.Fatal(err)
		}
		b.conn, _ = libvirt.NewConnect(testURI)
	}
}

// No VM is made in the place of one that is still there.
func TestPlanWaitsForKeptDisks(t *testing.T) {
	work := func(n int, w Work) func(*Situation) {
		return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = w }
	}
	sick := func(n int) func(*Situation) { return func(s *Situation) { s.Sick[vmOf(n, "", "").UUID] = "silent" } }
	retiring := func(v vm.VM) vm.VM { v.Meta.Retiring, v.Meta.Template = t0, "old"; return v }
	shedding := func(v vm.VM) vm.VM { v.Meta.Sheds = true; return v }
	removed := func(v vm.VM) vm.VM {
		v.Order = &bus.VMOrder{Verb: bus.VMRemove, By: "ann", At: t0, Shrinks: true}
		return v
	}
	refresh := func(retire, release int) func(*Situation) {
		return func(s *Situation) { s.Refresh = RefreshShare{Active: true, Retire: retire, Release: release} }
	}
	kept := func(names ...string) func(*Situation) {
		return func(s *Situation) {
			for _, name := range names {
				s.Kept[name] = true
			}
		}
	}
	vacated := func(names ...string) func(*Situation) { return func(s *Situation) { s.Vacated = names } }
	for _, tt := range []struct {
		name    string
		owned   []vm.VM
		desired int
		changes []func(*Situation)
		want    string
	}{
		{"a new one", nil, 1, nil, "create web-1"},
		{
			"the one that went last before one that is vacant for long", nil, 1,
			[]func(*Situation){kept("web-1", "web-2"), vacated("web-1", "web-2")},
			"create web-2",
		},
		{
			"also where others were never here", nil, 2,
			[]func(*Situation){kept("web-1", "web-2", "web-3"), vacated("web-3")},
			"create web-3; create web-1",
		},
		{
			"the one with a disk first",
			[]vm.VM{running(1)},
			3,
			[]func(*Situation){kept("web-1", "web-4")},
			"create web-4; create web-2",
		},
		{
			"one that is off goes first",
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutoff)},
			1, nil,
			"remove web-1 (it is shut off, died)",
		},
		{"one that is going", []vm.VM{running(1), running(2)}, 2, []func(*Situation){work(2, Removing)}, ""},
		{"one whose removal has failed", []vm.VM{running(1), running(2)}, 2, []func(*Situation){work(2, Resting)}, ""},
		{"beside one that is going", []vm.VM{running(1), running(2)}, 3, []func(*Situation){work(2, Removing)}, "create web-3"},
		{
			"beside one that is scaled in",
			[]vm.VM{running(1), shedding(running(2))},
			2,
			[]func(*Situation){work(2, Removing)},
			"create web-3",
		},
		{
			"beside one by whose removal the group shrinks",
			[]vm.VM{running(1), removed(running(2))},
			2,
			[]func(*Situation){work(2, Removing)},
			"create web-3",
		},
		{
			"a sick one goes first",
			[]vm.VM{running(1), running(2)},
			2,
			[]func(*Situation){sick(2)},
			"remove web-2 (silent, gracefully)",
		},
		{"a retiring one that may not go", []vm.VM{running(1), retiring(running(2))}, 2, []func(*Situation){refresh(1, 0)}, ""},
		{
			"a retiring one that may go",
			[]vm.VM{running(1), retiring(running(2))},
			2,
			[]func(*Situation){refresh(0, 1)},
			"remove web-2 (others have taken its place, gracefully)",
		},
		{
			"its own before one that is vacant",
			[]vm.VM{running(2), running(3)},
			3,
			[]func(*Situation){kept("web-1", "web-4", "web-5")},
			"create web-1",
		},
		{"it is gone", []vm.VM{running(1)}, 2, []func(*Situation){kept("web-1", "web-2")}, "create web-2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Situation{
				Spec: keeping(bus.KeepReplace), Now: t0.Add(time.Hour), Desired: tt.desired, Owned: tt.owned,
				BootSlots: 4, Numbers: upTo(5),
				Work: map[string]Work{}, Sick: map[string]string{}, Taken: map[string]bool{}, Kept: map[string]bool{},
				Build: bus.Build{Template: "demo"},
			}
			for _, v := range tt.owned {
				s.Taken[v.Name] = true
			}
			for _, change := range tt.changes {
				change(&s)
			}
			if got := show(Plan(s)); got != tt.want {
				t.Errorf("planned %q, want %q", got, tt.want)
			}
		})
	}
}

// A VM that a person undefines is followed by one of its name that has its disk, although the other volumes of the first are
// still there; and one that is scaled in leaves nothing that is kept for another.
func TestActuatorKeepsDisks(t *testing.T) {
	b := newHost(t)
	s := startStage(t, b, keeping(bus.KeepReplace, func(g *bus.Group) { g.Min, g.Max = 1, 3 }), dialTest)
	kept := func() (names []string) {
		for _, name := range b.volumes() {
			if _, _, _, is := bus.ParseKeptName(name); is {
				names = append(names, name)
			}
		}
		return names
	}
	s.want(2, "2 VMs", b.ready(2))
	before := kept()
	if want := []string{bus.KeptName("here", "web-1", 1), bus.KeptName("here", "web-2", 1)}; !slices.Equal(before, want) {
		t.Fatalf("kept are %v, want %v", before, want)
	}
	dom, err := b.conn.LookupDomainByName("web-1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dom.Free() }()
	uuid, err := dom.GetUUIDString()
	if err == nil {
		err = errors.Join(dom.Undefine(), dom.Destroy())
	}
	if err != nil {
		t.Fatal(err)
	}
	s.want(2, "another one", func() bool {
		return b.ready(2)() && !slices.ContainsFunc(b.inventory().Owned, func(v vm.VM) bool { return v.UUID == uuid })
	})
	if now := kept(); !slices.Equal(now, before) {
		t.Errorf("kept are %v, want %v", now, before)
	}
	b.has([]string{"web-1", "web-2"}, b.volumes())
	s.want(1, "1 VM", b.ready(1))
	left := b.inventory().Owned[0]
	if now := kept(); len(now) != 1 || !strings.HasPrefix(now[0], left.Name+".") {
		t.Errorf("%s is left, and kept are %v", left.Name, now)
	}
	s.stop()
}
