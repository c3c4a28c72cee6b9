package actuator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestMACAddress(t *testing.T) {
	mac := func(libvirtID, group, name string, taken ...string) string {
		t.Helper()
		set := map[string]bool{}
		for _, m := range taken {
			set[m] = true
		}
		got, err := macAddress(libvirtID, group, name, set)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got, "52:54:") || len(got) != 17 || set[got] {
			t.Errorf("%q of %s %s", got, group, name)
		}
		return got
	}
	first := mac("kvm1", "web", "web-1")
	if again := mac("kvm1", "web", "web-1"); again != first {
		t.Errorf("%s, and then %s: a replacement would take one more lease", first, again)
	}
	if other := mac("kvm1", "web", "web-1", first); other == first {
		t.Error("taken by somebody else, and used")
	}
	seen := map[string]string{}
	for _, id := range []string{"kvm1", "kvm2"} {
		for _, group := range []string{"web", "db"} {
			for n := range 500 {
				name := fmt.Sprintf("%s-%d", group, n)
				got := mac(id, group, name)
				if other := seen[got]; other != "" {
					t.Errorf("%s/%s and %s have %s", id, name, other, got)
				}
				seen[got] = id + "/" + name
			}
		}
	}
	all := map[string]bool{}
	for range macTries {
		m, err := macAddress("kvm1", "web", "web-1", all)
		if err != nil {
			t.Fatal(err)
		}
		all[m] = true
	}
	if _, err := macAddress("kvm1", "web", "web-1", all); err == nil || !strings.Contains(err.Error(), "web-1") {
		t.Errorf("no free one: %v", err)
	}
}

// A VM that replaces another of its name has its MAC address, and never one that a foreign domain has.
func TestReplacementHasTheSameMAC(t *testing.T) {
	b := newHost(t)
	macs := func() map[string]bool {
		taken, err := takenMACs(b.conn)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	own := func() string {
		mac, err := macAddress(b.libvirtID, "web", "web-1", nil)
		if err != nil {
			t.Fatal(err)
		}
		return mac
	}
	launch := func() {
		if err := b.launch(t.Context(), webSpec(), "web-1", newUUID(), "d"); err != nil {
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
		<devices><interface type='network'><mac address='` + strings.ToUpper(own()) + `'/><source network='default'/></interface></devices></domain>`)
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
