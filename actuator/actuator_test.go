package actuator

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

func TestNewRefuses(t *testing.T) {
	dial := func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }
	for name, cfg := range map[string]Config{
		"no groups":   {Dial: dial, Identify: here},
		"no dial":     {Groups: []bus.Group{webSpec()}, Identify: here},
		"no identity": {Groups: []bus.Group{webSpec()}, Dial: dial},
	} {
		if _, err := New(cfg, nil, zerolog.Nop()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTake(t *testing.T) {
	spec := webSpec()
	decision := func(change func(*bus.Decision)) bus.Decision {
		d := bus.Decision{
			V: bus.Version, Group: "web", Desired: 2, Known: true, Shares: map[bus.HostID]bus.Share{"here": {VMs: 2}}, ID: "new", Term: 10, Seq: 5,
			Time: t0, ExpiresAt: t0.Add(5 * time.Second), SpecHash: spec.Hash(),
		}
		change(&d)
		return d
	}
	for _, tt := range []struct {
		name        string
		d           bus.Decision
		kept, wakes bool
		mismatch    bool
	}{
		{"newer", decision(func(d *bus.Decision) { d.Seq = 6 }), true, false, false},
		{"newer, by a clock that was set back", decision(func(d *bus.Decision) {
			d.Seq, d.Time, d.ExpiresAt = 6, t0.Add(-time.Hour), t0.Add(5*time.Second-time.Hour)
		}), true, false, false},
		{"newer, another number", decision(func(d *bus.Decision) { d.Seq, d.Desired = 6, 3 }), true, true, false},
		{"newer, something is paused", decision(func(d *bus.Decision) { d.Seq, d.Controls.Paused = 6, []bus.Scope{bus.ScopeIn} }), true, true, false},
		{"newer, a dry run", decision(func(d *bus.Decision) { d.Seq, d.Controls.DryRun = 6, true }), true, true, false},
		{"the same again", decision(func(*bus.Decision) {}), false, false, false},
		{"older", decision(func(d *bus.Decision) { d.Seq, d.Desired = 4, 3 }), false, false, false},
		{"a higher term, older number", decision(func(d *bus.Decision) { d.Term, d.Seq = 11, 1 }), true, false, false},
		{"a lower term, newer number", decision(func(d *bus.Decision) { d.Term, d.Seq = 9, 6 }), false, false, false},
		{"expired", decision(func(d *bus.Decision) { d.Seq, d.ExpiresAt = 6, t0.Add(-time.Second) }), false, false, false},
		{"expires now", decision(func(d *bus.Decision) { d.Seq, d.ExpiresAt = 6, t0 }), false, false, false},
		{"another config", decision(func(d *bus.Decision) { d.Seq, d.SpecHash = 6, "other" }), false, false, true},
		{"another group", decision(func(d *bus.Decision) { d.Group, d.Seq = "db", 6 }), false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := New(Config{
				Groups: []bus.Group{spec}, Now: func() time.Time { return t0 },
				Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
			}, nil, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			a.hostID, a.host = "here", "here"
			if wakes, err := a.take(decision(func(d *bus.Decision) { d.ID = "old" })); !wakes {
				t.Fatalf("the first one is refused: %v", err)
			}
			wakes, why := a.take(tt.d)
			kept := a.groups["web"].newest.Decision.ID == "new"
			if kept != tt.kept || wakes != tt.wakes {
				t.Errorf("kept %v, wakes %v; want %v, %v", kept, wakes, tt.kept, tt.wakes)
			}
			if dropped := !tt.kept && !tt.mismatch && tt.d.Group == "web"; (why != nil) != dropped {
				t.Errorf("dropped because %v, want that: %v", why, dropped)
			}
			if err := a.problem(); (err != nil) != tt.mismatch {
				t.Errorf("mismatch: %v", err)
			}
		})
	}
}

// A decider that sees other hosts only, as after a change of this one's name, must not go unnoticed.
func TestNoShareIsReported(t *testing.T) {
	spec := webSpec()
	a := &Actuator{hostID: "here", host: "here", cfg: Config{Now: func() time.Time { return t0 }}, groups: map[string]*group{"web": {spec: spec, hash: spec.Hash()}}}
	if err := a.problem(); err != nil {
		t.Errorf("before any decision: %v", err)
	}
	_, _ = a.take(bus.Decision{Group: "web", Known: true, Shares: map[bus.HostID]bus.Share{"there": {VMs: 3}}, Seq: 1, Time: t0, ExpiresAt: t0.Add(time.Second), SpecHash: spec.Hash()})
	if err := a.problem(); err == nil || !strings.Contains(err.Error(), "here") {
		t.Errorf("got %v, want the host named", err)
	}
}

// A decision is acted on only while it is valid and of the same config.
func TestSituationWithoutAValidDecision(t *testing.T) {
	spec := webSpec()
	now := t0
	a, err := New(Config{
		Groups: []bus.Group{spec}, Now: func() time.Time { return now },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	a.hostID, a.host = "here", "here"
	desired := func() int { return a.situation(a.groups["web"], 2, Inventory{Taken: map[string]bool{}}).Desired }
	if got := desired(); got != Unknown {
		t.Errorf("before any decision: %d", got)
	}
	d := bus.Decision{Group: "web", Known: true, Shares: map[bus.HostID]bus.Share{"here": {VMs: 3}}, Seq: 1, Time: t0, ExpiresAt: t0.Add(5 * time.Second), SpecHash: spec.Hash()}
	_, _ = a.take(d)
	if got := desired(); got != 3 {
		t.Errorf("valid: %d", got)
	}
	other := d
	other.SpecHash, other.Seq = "other", 2
	_, _ = a.take(other)
	if got := desired(); got != Unknown {
		t.Errorf("another config: %d", got)
	}
	d.Seq = 3
	_, _ = a.take(d)
	if got := desired(); got != 3 {
		t.Errorf("the same config again: %d", got)
	}
	now = d.ExpiresAt
	if got := desired(); got != Unknown {
		t.Errorf("expired: %d", got)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 8: time.Minute, 1000: time.Minute,
	} {
		if got := backoff(n); got != want {
			t.Errorf("after %d failures %s, want %s", n, got, want)
		}
	}
}

func TestNewUUID(t *testing.T) {
	format := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		uuid := newUUID()
		if !format.MatchString(uuid) {
			t.Fatalf("%q is not a random UUID", uuid)
		}
		if seen[uuid[:8]] && seen[uuid] {
			t.Fatalf("%q came twice", uuid)
		}
		seen[uuid] = true
	}
}

func TestChooseAcceleration(t *testing.T) {
	host := func(arch string, types ...string) libvirtxml.Caps {
		var c libvirtxml.Caps
		c.Host.CPU = &libvirtxml.CapsHostCPU{Arch: arch}
		g := libvirtxml.CapsGuest{OSType: "hvm"}
		g.Arch.Name = arch
		for _, name := range types {
			g.Arch.Domains = append(g.Arch.Domains, libvirtxml.CapsGuestDomain{Type: name})
		}
		foreign := libvirtxml.CapsGuest{OSType: "hvm"}
		foreign.Arch.Name = "riscv64"
		foreign.Arch.Domains = []libvirtxml.CapsGuestDomain{{Type: "qemu"}}
		c.Guests = []libvirtxml.CapsGuest{foreign, g}
		return c
	}
	const (
		intel = "processor\t: 0\nflags\t\t: fpu vme vmx sse\nprocessor\t: 1\nflags\t\t: fpu vme vmx sse\n"
		amd   = "flags\t\t: fpu svm sse\n"
		none  = "model name\t: vmx svm by name only\nflags\t\t: fpu vme sse svmx\n"
		arm   = "Features\t: fp asimd\n"
	)
	for _, tt := range []struct {
		name          string
		caps          libvirtxml.Caps
		cpuinfo, want string
		virtType      string
		reason, err   string
	}{
		{"Intel", host("x86_64", "qemu", "kvm"), intel, AccelerationAuto, "kvm", "", ""},
		{"AMD", host("x86_64", "qemu", "kvm"), amd, AccelerationAuto, "kvm", "", ""},
		{"KVM is offered, the CPU cannot", host("x86_64", "qemu", "kvm"), none, AccelerationAuto, "qemu", "neither vmx nor svm", ""},
		{"another host's CPU cannot be seen", host("x86_64", "qemu", "kvm"), "", AccelerationAuto, "kvm", "", ""},
		{"aarch64 has no such flags", host("aarch64", "qemu", "kvm"), arm, AccelerationAuto, "kvm", "", ""},
		{"no KVM", host("x86_64", "qemu"), intel, AccelerationAuto, "qemu", "libvirt offers no KVM", ""},
		{"emulation wanted", host("x86_64", "qemu", "kvm"), intel, AccelerationQEMU, "qemu", "configured", ""},
		{"KVM wanted and there", host("x86_64", "qemu", "kvm"), intel, AccelerationKVM, "kvm", "", ""},
		{"KVM wanted in spite of the CPU", host("x86_64", "qemu", "kvm"), none, AccelerationKVM, "kvm", "", ""},
		{"KVM wanted, none there", host("x86_64", "qemu"), intel, AccelerationKVM, "", "", "acceleration kvm: libvirt offers no KVM"},
		{"the test driver's own type", host("i686", "test"), none, AccelerationAuto, "test", "libvirt offers no KVM", ""},
		{"the test driver, emulation wanted", host("i686", "test"), none, AccelerationQEMU, "test", "configured", ""},
		{"no hypervisor", host("x86_64"), intel, AccelerationAuto, "", "", "no hypervisor for x86_64"},
		{"nothing known", libvirtxml.Caps{}, intel, AccelerationAuto, "", "", "no hypervisor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := chooseAcceleration(tt.caps, tt.cpuinfo, tt.want)
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want an error with %q", err, tt.err)
				}
			case err != nil:
				t.Errorf("error %v", err)
			case a.VirtType != tt.virtType || !strings.Contains(a.Reason, tt.reason) || (tt.reason == "") != (a.Reason == ""):
				t.Errorf("got %+v", a)
			case a.Arch != tt.caps.Host.CPU.Arch:
				t.Errorf("architecture %s", a.Arch)
			}
		})
	}
}

const someUUID = "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11"

func someMetadata() bus.Metadata {
	return bus.Metadata{
		Group: "web", Template: "demo", UUID: someUUID, Created: t0, Phase: bus.PhaseCreating, Since: t0,
		Pool: "default", Volume: bus.VolumeName("web-1", someUUID),
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), []byte(strings.TrimSpace(got))) {
		t.Errorf("%s differs (write it anew with -update); got\n%s", file, got)
	}
}

func TestDomainXML(t *testing.T) {
	for _, tt := range []struct {
		name, network string
		m             machine
	}{
		{"kvm", "default", machine{"kvm", "x86_64"}},
		{"qemu", "default", machine{"qemu", "x86_64"}},
		{"user-network", bus.UserNetwork, machine{"qemu", "x86_64"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := webSpec(func(g *bus.Group) { g.Network, g.VCPUs, g.MemoryMiB = tt.network, 2, 512 })
			meta := someMetadata()
			text, err := domainXML(spec, tt.m, "web-1", meta, "/pool/"+meta.Volume, "52:54:0a:0b:0c:0d")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/domain-"+tt.name+".xml", text)

			var d libvirtxml.Domain
			if err := d.Unmarshal(text); err != nil {
				t.Fatal(err)
			}
			if d.Name != "web-1" || d.UUID != someUUID || d.Type != tt.m.virtType || d.VCPU.Value != 2 || d.Memory.Value != 512 {
				t.Errorf("read back: %+v", d)
			}
			if back, err := bus.ParseMetadata(d.Metadata.XML, d.UUID); err != nil || back != meta {
				t.Errorf("metadata: %v, %+v", err, back)
			}
			if disk := d.Devices.Disks[0].Source.File.File; disk != "/pool/web-1.5c0d2a9e.qcow2" {
				t.Errorf("disk %s", disk)
			}
			source := d.Devices.Interfaces[0].Source
			if (source.User != nil) != (tt.network == bus.UserNetwork) || source.User == nil && source.Network.Network != tt.network {
				t.Errorf("network %+v", source)
			}
		})
	}
}

// Names come from outside: whatever they hold stays a name.
func TestDomainXMLEscapes(t *testing.T) {
	meta := someMetadata()
	meta.Template, meta.Pool = `a"<&>'b`, `<metadata><x>`
	text, err := domainXML(webSpec(), machine{"qemu", "x86_64"}, `w"<&>`, meta, `/p/<&>".qcow2`, "52:54:0a:0b:0c:0d")
	if err != nil {
		t.Fatal(err)
	}
	var d libvirtxml.Domain
	if err := d.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	if back, err := bus.ParseMetadata(d.Metadata.XML, someUUID); err != nil || back != meta {
		t.Errorf("metadata: %v, %+v", err, back)
	}
	if d.Name != `w"<&>` || d.Devices.Disks[0].Source.File.File != `/p/<&>".qcow2` {
		t.Errorf("name %q, disk %q", d.Name, d.Devices.Disks[0].Source.File.File)
	}
}

func TestVolumeXML(t *testing.T) {
	text, err := volumeXML("web-1.5c0d2a9e.qcow2", "/pool/template-demo.qcow2", 10<<30)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/volume.xml", text)
	var v libvirtxml.StorageVolume
	if err := v.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	if v.Capacity.Value != 10<<30 || v.Target.Format.Type != "qcow2" || v.BackingStore.Path != "/pool/template-demo.qcow2" ||
		v.BackingStore.Format.Type != "qcow2" || v.Target.Permissions.Mode != "0600" {
		t.Errorf("read back: %+v", v)
	}
}

func TestPoolDir(t *testing.T) {
	for _, tt := range []struct{ name, xml, want, err string }{
		{"directory", "<pool type='dir'><name>p</name><target><path>/a/b</path></target></pool>", "/a/b", ""},
		{"no target", "<pool type='rbd'><name>p</name></pool>", "", `storage pool "p" of type "rbd" has no folder`},
		{"no path", "<pool type='dir'><name>p</name><target/></pool>", "", "has no folder"},
		{"damaged", "<pool", "", "read the storage pool"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := poolDir(tt.xml)
			if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestFindVMs(t *testing.T) {
	db := running(7)
	db.Name, db.Meta.Group = "db-1", "db"
	inv := Inventory{Owned: []VM{running(1), db, running(2)}}
	for _, tt := range []struct{ name, want string }{
		{"web", "web-1 web-2"},
		{"web-2", "web-2"},
		{"db", "db-1"},
	} {
		vms, err := inv.FindVMs(tt.name)
		var names []string
		for _, vm := range vms {
			names = append(names, vm.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v", tt.name, got, err)
		}
	}
	if _, err := inv.FindVMs("other"); err == nil || !strings.Contains(err.Error(), "there are the groups db, web") {
		t.Errorf("other: %v", err)
	}
	if _, err := (Inventory{}).FindVMs("web"); err == nil || !strings.Contains(err.Error(), "owns no VMs") {
		t.Errorf("none: %v", err)
	}
}

// Of two actuators on one libvirt, wherever they run, the one that was there first acts; the other does nothing, and names it.
func TestSecondActuatorDoesNothing(t *testing.T) {
	spec := webSpec()
	now := t0
	newActuator := func(instance string, since time.Time) *Actuator {
		a, err := New(Config{
			Groups: []bus.Group{spec}, Now: func() time.Time { return now }, Instance: instance, Since: since, Identify: here,
			Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") },
		}, nil, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		a.hostID, a.host = "here", "here"
		_, _ = a.take(bus.Decision{
			Group: "web", ID: "x", Known: true, Shares: map[bus.HostID]bus.Share{"here": {VMs: 2, Numbers: []int{1, 2}}}, Seq: 1,
			Time: now, ExpiresAt: now.Add(time.Minute), SpecHash: spec.Hash(),
		})
		return a
	}
	health := func(instance string, since time.Time, id bus.HostID) bus.Health {
		return bus.Health{Stage: "actuator", Instance: instance, Since: since, Acts: &bus.Acts{HostID: id}}
	}
	makes := func(a *Actuator) int {
		return len(Plan(a.situation(a.groups["web"], 4, Inventory{Taken: map[string]bool{}})).Create)
	}

	first, second := newActuator("kvm-1", t0.Add(-time.Hour)), newActuator("clone-2", t0)
	first.meet(health("clone-2", t0, "here"))
	second.meet(health("kvm-1", t0.Add(-time.Hour), "here"))
	second.meet(health("clone-2", t0, "here")) // its own
	if n := makes(first); n != 2 || first.problem() != nil {
		t.Errorf("the first makes %d VMs: %v", n, first.problem())
	}
	if n, err := makes(second), second.problem(); n != 0 || err == nil || !strings.Contains(err.Error(), "kvm-1") {
		t.Errorf("the second makes %d VMs: %v", n, err)
	}
	now = now.Add(rivalAge + 1)
	if n := makes(second); n != 2 {
		t.Errorf("after the first has ended the second makes %d VMs", n)
	}
	second.meet(health("kvm-1", t0.Add(-time.Hour), "there"))
	if n := makes(second); n != 2 {
		t.Errorf("beside one of another host it makes %d VMs", n)
	}
}
