package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// TestLibvirtGoesAndComesBack: started before libvirtd the program waits and says for what; when libvirtd ends and
// comes back it goes on with the same VMs.
func TestLibvirtGoesAndComesBack(t *testing.T) {
	t.Parallel()
	l := newPrivateLibvirt(t)
	w := l.world()
	config := w.config("min: 1")
	reconnect := func() {
		t.Helper()
		_, _ = w.conn.Close()
		var err error
		if w.conn, err = libvirt.NewConnect(w.uri); err != nil {
			t.Fatal(err)
		}
	}

	l.stop()
	waiting := w.spawnRun(config)
	waiting.says("waiting: libvirt does not answer")
	l.start()
	reconnect()
	p := run{waiting, w.watchOf(waiting)}
	p.untilReady(1)
	before := w.vms()[0]

	l.stop()
	p.until("both stages say that libvirt is gone", func() bool {
		c, a := p.stages["collector"], p.stages["actuator"]
		return !c.OK && strings.Contains(c.Message, "libvirt") && !a.OK && strings.Contains(a.Message, "libvirt")
	})
	l.start()
	reconnect()
	p.until("both stages are well again, and samples come", func() bool {
		return p.stages["collector"].OK && p.stages["actuator"].OK && p.decision.Inputs.Ready == 1 && p.decision.Rule != bus.RuleNoData
	})
	if after := w.vms(); len(after) != 1 || after[0].UUID != before.UUID {
		t.Errorf("VMs after libvirtd came back: %+v, want the same one, %s", after, before.UUID)
	}
	p.stop()
}

// TestStorageFull: where no volume can be made nothing half made stays, the error says why, it is not tried in a
// tight loop, and it goes on when there is room.
func TestStorageFull(t *testing.T) {
	t.Parallel()
	l := newPrivateLibvirt(t)
	l.mkdir("pool")
	mountSmall(t, filepath.Join(l.dir, "pool"))
	w := l.world()
	filler := filepath.Join(w.dir, "filler")
	fill(t, filler)
	p := w.start(w.config("min: 1"))
	e := p.untilEvent("", bus.EventFailed)
	if !strings.Contains(e.Error, "volume") || !strings.Contains(e.Sentence, "next try in") {
		t.Errorf("event %+v, want the volume and the next try named", e)
	}
	if vms := w.vms(); len(vms) != 0 {
		t.Errorf("left by a clone that failed: %+v", vms)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p.untilReady(1)
	p.stop()
}

// TestNetworkInactive: while the group's network is down a launch fails and says so; it goes on when the network is back.
func TestNetworkInactive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.network == bus.UserNetwork {
		t.Fatal("this test needs a libvirt with networks: qemu:///system")
	}
	p := w.start(w.config("min: 1"))
	p.untilReady(1)
	network, err := w.conn.LookupNetworkByName(w.network)
	if err != nil {
		t.Fatal(err)
	}
	definition, err := network.GetXMLDesc(0)
	if err == nil {
		err = network.Destroy()
	}
	_ = network.Free()
	if err != nil {
		t.Fatal(err)
	}
	gone := w.vms()[0]
	if err := w.domain(gone.Name).Destroy(); err != nil {
		t.Fatal(err)
	}
	if e := p.untilEvent("", bus.EventFailed); !strings.Contains(e.Error, w.network) {
		t.Errorf("event %+v, want the network named", e)
	}
	if network, err = w.conn.NetworkCreateXML(definition); err != nil {
		t.Fatal(err)
	}
	_ = network.Free()
	p.untilReady(1)
	p.stop()
}
