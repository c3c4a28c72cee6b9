package actuator

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// A VM that replaces another of its name has its MAC address, and never one that a foreign domain has.
func TestReplacementHasTheSameMAC(t *testing.T) {
	b := newHost(t)
	macs := func() map[string]bool {
		taken, err := vm.TakenMACs(b.conn, "")
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	own := func() string {
		mac, err := vm.MACAddress(b.LibvirtID, "web", "web-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		return mac
	}
	launch := func() {
		if err := b.Launch(t.Context(), webSpec(), "web-1", vm.NewUUID(), "d"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		launch()
		if !macs()[own()] {
			t.Errorf("%v lack %s", macs(), own())
		}
		b.settle(webSpec(), 0)
	}
	dom, err := b.conn.DomainDefineXML(`<domain type='test'><name>other</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
		<devices><interface type='network'>
			<mac address='` + strings.ToUpper(own()) + `'/><source network='default'/>
		</interface></devices></domain>`)
	if err != nil {
		t.Fatal(err)
	}
	defer dom.Free()
	before := len(macs())
	launch()
	if len(macs()) != before+1 {
		t.Errorf("it shares the MAC address of a foreign domain: %v", macs())
	}
	b.settle(webSpec(func(g *bus.Group) { g.Min = 1 }), 0)
	if err := dom.Undefine(); err != nil {
		t.Fatal(err)
	}
}
