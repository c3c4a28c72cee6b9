//go:build long

package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// TestReplacementsKeepTheAddresses: more VMs one after the other than their network has addresses, and each has one when
// it is ready.
func TestReplacementsKeepTheAddresses(t *testing.T) {
	t.Parallel()
	if strings.Contains(os.Getenv("LIBVIRT_DEFAULT_URI"), "/session") {
		t.Skip("a session has no network that hands out addresses")
	}
	w := newWorldAt(t, "qemu:///system", poolFolder(t))
	w.network = w.makeNetwork(3)
	p := w.start(w.config("min: 1\nmax: 2"))
	var last vm.VM
	var leases []string
	for range 5 {
		p.until("a VM that is new is ready", func() bool {
			return len(p.sample.VMs) == 1 && p.sample.VMs[0].Phase == bus.PhaseReady && p.sample.VMs[0].UUID != last.UUID
		})
		last = w.vms()[0]
		lease := w.lease()
		if lease == "" {
			t.Fatalf("%s is ready and has no address", last.Name)
		}
		if !slices.Contains(leases, lease) {
			leases = append(leases, lease)
		}
		if err := w.domain(last.Name).Destroy(); err != nil {
			t.Fatal(err)
		}
	}
	if len(leases) > 2 {
		t.Errorf("a group of at most 2 VMs had the addresses %v", leases)
	}
	p.stop()
}

// lease is the address of the group's first VM by its network's DHCP server.
func (w *world) lease() string {
	w.t.Helper()
	interfaces, err := w.domain(w.vms()[0].Name).ListAllInterfaceAddresses(0)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range interfaces {
		for _, a := range i.Addrs {
			return a.Addr
		}
	}
	return ""
}
