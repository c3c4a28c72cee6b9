package actuator

import (
	"errors"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// A VM that restarts says so in its metadata, from where the collector reads it; its start by a launch is none.
func TestRestartIsNoted(t *testing.T) {
	b := newHost(t)
	s := startStage(t, b, webSpec(func(g *bus.Group) { g.Min, g.Max = 1, 3 }), dialTest)
	s.controls = bus.Controls{Paused: []bus.Scope{bus.ScopeRepair}} // else one that is off is replaced
	s.want(1, "a VM", b.ready(1))
	dom, err := b.conn.LookupDomainByUUIDString(b.inventory().Owned[0].UUID)
	if err != nil {
		t.Fatal(err)
	}
	defer dom.Free()
	noted := func() time.Time {
		element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.RebootURI, 0)
		if errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
			return time.Time{}
		}
		if err != nil {
			t.Fatal(err)
		}
		return bus.ParseReboot(element).At
	}
	if at := noted(); !at.IsZero() {
		t.Errorf("its launch is a restart at %s", at)
	}
	before := time.Now()
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	if err := dom.Create(); err != nil {
		t.Fatal(err)
	}
	s.want(1, "the restart is noted", func() bool { return !noted().Before(before) })
	restarted := noted()
	for _, sign := range []vm.Sign{vm.SignLeft, vm.SignBack} { // its agent is restarted
		if err := (vm.Manager{Conn: b.conn}).MarkRestart(vm.GuestSign{UUID: b.inventory().Owned[0].UUID, Sign: sign},
			time.Now()); err != nil {
			t.Fatal(err)
		}
		element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.RebootURI, 0)
		if err != nil {
			t.Fatal(err)
		}
		if r := bus.ParseReboot(element); r.Left.IsZero() == (sign == vm.SignLeft) || !r.At.Equal(restarted) {
			t.Errorf("after sign %d its metadata is %s", sign, element)
		}
	}
	if own := b.inventory().Owned[0]; own.Meta.Phase != bus.PhaseReady || own.Meta.Booted.IsZero() {
		t.Errorf("its own metadata changed: %+v", own.Meta)
	}
	s.stop()
}
