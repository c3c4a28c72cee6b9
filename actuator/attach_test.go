package actuator

import (
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// only is the one VM that is owned.
func (b *testHost) only() vm.VM {
	b.t.Helper()
	inv, err := vm.ReadInventory(b.conn)
	if err != nil || len(inv.Owned) != 1 {
		b.t.Fatalf("%+v owned, %v", inv.Owned, err)
	}
	return inv.Owned[0]
}

// away launches a VM and gives it away.
func (b *testHost) away() vm.VM {
	b.t.Helper()
	if err := b.Launch(b.t.Context(), webSpec(), "web-1", someUUID, "d"); err != nil {
		b.t.Fatal(err)
	}
	before := b.only()
	if _, err := b.SetOrder(b.t.Context(), before, bus.VMOrder{Verb: bus.VMDetach, At: t0}); err != nil {
		b.t.Fatal(err)
	}
	if err := b.Detach(b.t.Context(), webSpec(), b.only(), "d"); err != nil {
		b.t.Fatal(err)
	}
	return before
}

func (b *testHost) domain(name string) *libvirt.Domain {
	b.t.Helper()
	dom, err := b.conn.LookupDomainByName(name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = dom.Free() })
	return dom
}

// situationOf is a group that wants what it has.
func situationOf(spec bus.Group, owned ...vm.VM) Situation {
	s := Situation{
		Spec: spec, Desired: len(owned), Owned: owned, Work: map[string]Work{}, Taken: map[string]bool{}, BootSlots: 9,
		Numbers: upTo(20), Sick: map[string]string{}, CPU: map[string]float64{}, Now: t0,
	}
	for _, v := range owned {
		s.Taken[v.Name] = true
	}
	s.Build = (*bus.Refresh)(nil).Build(spec)
	return s
}

var askedFor = bus.Attachment{VM: "web-1", By: "ann", Reason: "looked at", At: t0, Until: t0.Add(time.Minute)}

// A VM that was given away comes back as it was, is removed with its disk like any other, and its record authorizes that.
func TestAttach(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	before := b.away()
	if err := b.Attach(t.Context(), webSpec(), askedFor); err != nil {
		t.Fatal(err)
	}
	v := b.only()
	if !v.Order.Same(new(askedFor.Order())) || v.Order.Reason != "looked at" || v.Meta.Phase != bus.PhaseLaunching {
		t.Errorf("it is %+v, %+v", v.Meta, v.Order)
	}
	if v.UUID != before.UUID || v.Meta.Volume != before.Meta.Volume || v.Meta.Pool != before.Meta.Pool ||
		v.Meta.Template != before.Meta.Template || !v.Meta.Booted.Equal(v.Meta.Created) {
		t.Errorf("it is %+v, was %+v", v.Meta, before.Meta)
	}
	if r := b.book.Read(); len(r) != 1 || r[0].File == nil || r[0].Detached != nil || r[0].Volume != v.Meta.Volume {
		t.Errorf("records %+v", r)
	}
	if err := b.Attach(t.Context(), webSpec(), askedFor); err != nil { // by an actuator that was killed before it could say so
		t.Error(err)
	}
	if err := b.AwaitReady(t.Context(), webSpec(), v, "d"); err != nil || b.only().Meta.Phase != bus.PhaseReady {
		t.Fatalf("%v, it is %s", err, b.only().Meta.Phase)
	}
	b.settle(webSpec(), 0)
}

// What is not as a VM's is left as it is, with what was found.
func TestAttachRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(*testHost, *bus.Attachment, *bus.Group)
		want string
	}{
		"no domain": {func(_ *testHost, a *bus.Attachment, _ *bus.Group) { a.VM = "web-9" }, "no domain of this name"},
		"another template": {
			func(_ *testHost, _ *bus.Attachment, g *bus.Group) { g.Template = "other" },
			"not a clone of the group's template other",
		},
		"no template": {func(_ *testHost, _ *bus.Attachment, g *bus.Group) { g.Template = "none" }, "template not found"},
		"off": {func(b *testHost, _ *bus.Attachment, _ *bus.Group) {
			if err := b.domain("web-1").Destroy(); err != nil {
				b.t.Fatal(err)
			}
		}, "shut off: want it running"},
		"another name": {func(b *testHost, a *bus.Attachment, _ *bus.Group) {
			dom := b.domain("web-1")
			if err := dom.Destroy(); err != nil {
				b.t.Fatal(err)
			}
			if err := dom.Rename("web-7", 0); err != nil {
				b.t.Fatal(err)
			}
			if err := dom.Create(); err != nil {
				b.t.Fatal(err)
			}
			a.VM = "web-7"
		}, "want /default-pool/web-7.5c0d2a9e.qcow2 among them"},
		"a disk of a person's": {func(b *testHost, _ *bus.Attachment, _ *bus.Group) {
			dom := b.domain("web-1")
			text, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
			if err != nil {
				b.t.Fatal(err)
			}
			disk := "<disk type='file' device='disk'><source file='/srv/mine.img'/><target dev='vdz' bus='virtio'/></disk></devices>"
			if err := dom.Destroy(); err != nil {
				b.t.Fatal(err)
			}
			again, err := b.conn.DomainDefineXML(strings.Replace(text, "</devices>", disk, 1))
			if err != nil {
				b.t.Fatal(err)
			}
			_ = again.Free()
			if err := dom.Create(); err != nil {
				b.t.Fatal(err)
			}
		}, "found /srv/mine.img, want none but"},
		"a VM of another group": {func(b *testHost, a *bus.Attachment, g *bus.Group) {
			if err := b.Attach(b.t.Context(), *g, *a); err != nil {
				b.t.Fatal(err)
			}
			g.Name = "db"
		}, "it is a VM of group web"},
		"metadata that cannot be read": {func(b *testHost, _ *bus.Attachment, _ *bus.Group) {
			err := b.domain("web-1").SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, "<vm uuid='"+someUUID+"'/>", bus.MetadataKey,
				bus.MetadataURI, libvirt.DOMAIN_AFFECT_CURRENT)
			if err != nil {
				b.t.Fatal(err)
			}
		}, "that cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newHost(t)
			b.makeVolume(template.VolumeName("other"))
			b.away()
			a, g := askedFor, webSpec()
			tt.set(b, &a, &g)
			owned := func() int {
				inv, err := vm.ReadInventory(b.conn)
				if err != nil {
					t.Fatal(err)
				}
				return len(inv.Owned)
			}
			before := owned()
			if err := b.Attach(t.Context(), g, a); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if owned() != before {
				t.Error("it is a VM now")
			}
		})
	}
}

// One that was attached and does not come to serve is a person's again, with its disk, also where it went off.
func TestAttachGivesBack(t *testing.T) {
	b := newHost(t)
	b.withRecords()
	b.away()
	if err := b.Attach(t.Context(), webSpec(), askedFor); err != nil {
		t.Fatal(err)
	}
	never := webSpec(func(g *bus.Group) {
		g.ReadyWhen, g.ReadyAfter, g.BootTimeout = bus.ReadyUptime, time.Hour, time.Millisecond
	})
	if err := b.AwaitReady(t.Context(), never, b.only(), "d"); err == nil {
		t.Fatal("it is ready")
	}
	v := b.only()
	if !v.Order.Is(bus.VMDetach) || v.Order.By != "ann" || v.Meta.Phase != bus.PhaseLaunching {
		t.Errorf("it is %s with the order %+v", v.Meta.Phase, v.Order)
	}
	s := situationOf(webSpec(), v)
	s.Orders = map[string]bus.VMOrder{v.UUID: askedFor.Order()} // of a sample before
	if a := Plan(s); len(a.Detach) != 1 || len(a.Remove)+len(a.Note)+len(a.Await) != 0 {
		t.Errorf("%+v", a)
	}
	off := v
	off.Order, off.State = new(askedFor.Order()), bus.StateShutoff
	if a := Plan(situationOf(webSpec(), off)); len(a.Note) != 1 || !a.Note[0].Order.Is(bus.VMDetach) || len(a.Remove) != 0 {
		t.Errorf("off: %+v", a)
	}
	if err := b.Detach(t.Context(), webSpec(), v, "d"); err != nil {
		t.Fatal(err)
	}
	b.domain("web-1")
}

// Domains are taken in as far as max has room beside what is made, and no other VM gets their place.
func TestPlanOfAttaching(t *testing.T) {
	for _, tt := range []struct {
		name             string
		most, attaching  int
		attach, creating int // that are wanted
		want, made       int
	}{
		{"it has room", 3, 0, 1, 3, 1, 1},
		{"it is being looked at", 3, 1, 0, 3, 0, 1},
		{"one of two", 2, 0, 2, 2, 1, 0},
		{"none at max", 1, 0, 1, 1, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := situationOf(webSpec(func(g *bus.Group) { g.Max = tt.most }), running(1))
			s.Attaching, s.Desired, s.Attach = tt.attaching, tt.creating, make([]bus.Attachment, tt.attach)
			if a := Plan(s); len(a.Attach) != tt.want || len(a.Create) != tt.made {
				t.Errorf("%d are taken in and %d made, want %d and %d", len(a.Attach), len(a.Create), tt.want, tt.made)
			}
		})
	}
}

// For one that a person has just returned or attached nobody goes before it serves, and then it is the last to go.
func TestReturnedVMIsNoFirstVictim(t *testing.T) {
	for _, verb := range []bus.VMVerb{bus.VMExitStandby, bus.VMAttach} {
		third := vmOf(3, bus.PhaseLaunching, bus.StateRunning)
		third.Order = &bus.VMOrder{Verb: verb, At: t0}
		s := situationOf(webSpec(), running(1), running(2), third)
		s.Desired, s.ScaleIn = 2, true
		if a := Plan(s); len(a.Remove) != 0 {
			t.Errorf("%s: %+v go for one that may never serve", verb, a.Remove)
		}
		s.Owned[2].Meta.Phase = bus.PhaseReady
		if a := Plan(s); len(a.Remove) != 1 || a.Remove[0].VM.Name != "web-2" {
			t.Errorf("%s: %+v", verb, a.Remove)
		}
	}
}
