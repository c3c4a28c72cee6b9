//go:build long

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestHostNICsAndHugepages: a VM reaches the host by a bridge and by macvtap on a device, and its memory is in huge pages.
func TestHostNICsAndHugepages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := fmt.Sprintf("e2e%06x", rand.N(1<<24))
	bridge, device, peer := id+"b", id+"d", id+"p"
	onBridge, onDevice := fmt.Sprintf("10.%d.%d", 192+rand.N(32), rand.N(256)), fmt.Sprintf("10.%d.%d", 224+rand.N(32), rand.N(256))
	asRoot(t, "ip", "link", "add", bridge, "type", "bridge")
	t.Cleanup(func() { asRoot(t, "ip", "link", "del", bridge) })
	asRoot(t, "ip", "link", "add", device, "type", "veth", "peer", "name", peer)
	t.Cleanup(func() { asRoot(t, "ip", "link", "del", device) })
	asRoot(t, "ip", "address", "add", onBridge+".1/24", "dev", bridge)
	asRoot(t, "ip", "address", "add", onDevice+".1/24", "dev", peer)
	for _, link := range []string{bridge, device, peer} {
		asRoot(t, "ip", "link", "set", link, "up")
	}
	const pages = 128
	before := hugepages(t, "Total")
	asRoot(t, "sysctl", "-q", fmt.Sprintf("vm.nr_hugepages=%d", before+pages))
	t.Cleanup(func() { asRoot(t, "sysctl", "-q", fmt.Sprintf("vm.nr_hugepages=%d", before)) })
	if got := hugepages(t, "Total"); got != before+pages {
		t.Fatalf("the kernel has %d huge pages, want %d", got, before+pages)
	}

	free := hugepages(t, "Free")
	p := w.start(w.withoutNetwork(fmt.Sprintf(`min: 1
memory: 128MiB
hugepages: true
nics: [{source: %s}, {type: bridge, source: %s}, {type: macvtap, source: %s}]`, w.network, bridge, device)))
	p.untilReady(1)
	name := w.vms()[0].Name
	if used := free - hugepages(t, "Free"); used <= 0 {
		t.Errorf("the VM uses %d huge pages", used)
	}
	for nic, subnet := range map[string]string{"eth1": onBridge, "eth2": onDevice} {
		said := w.guestPrints(name, fmt.Sprintf(
			"ip address add %[1]s.2/24 dev %[2]s && ip link set %[2]s up && busybox ping -c 3 -W 5 %[1]s.1", subnet, nic))
		if !strings.Contains(said, " 0% packet loss") {
			t.Errorf("by %s:\n%s", nic, said)
		}
	}
	p.stop()
	w.must("down", w.group, "--yes")
	if left := hugepages(t, "Free"); left != free {
		t.Errorf("%d huge pages are free after the VM, %d were before", left, free)
	}
}

// hugepages is one of the kernel's counts of its huge pages.
func hugepages(t *testing.T, which string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`HugePages_` + which + `: +(\d+)`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("the kernel has no huge pages:\n%s", text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
