package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// TestSweep, with the disks in a pool of their own: domains that a person undefined leave their disks behind. What vmscaler made
// is deleted by its record of it; the file that a person put in the place of one is left, and so is a disk that a domain of
// theirs has.
func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.separateDisks()
	config := w.config("min: 3")
	p := w.start(config)
	p.untilReady(3)
	vms := w.vms()
	path := func(i int) string { return filepath.Join(w.disks, vms[i].Meta.Volume) }
	if entries, err := os.ReadDir(w.dir); err != nil || len(entries) != 1 {
		t.Errorf("the templates' pool has %v, %v, want the template alone", entries, err)
	}
	sweep := func(args ...string) []string { return append([]string{"sweep", "-c", config}, args...) }
	w.refused(sweep("--yes"), "vmscaler run", fmt.Sprint(p.cmd.Process.Pid), "stop it first")
	if out := w.must(sweep("--dry-run")...); !strings.Contains(out, "nothing is without its counterpart") {
		t.Errorf("with all VMs there sweep says\n%s", out)
	}
	p.stop()
	for _, vm := range vms {
		dom := w.domain(vm.Name)
		if err := errors.Join(dom.Undefine(), dom.Destroy()); err != nil {
			t.Fatal(err)
		}
	}
	// The second one's is another file now, with the same content; the third's is the disk of a domain.
	content, err := os.ReadFile(path(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(path(1), path(1)+".theirs"), os.WriteFile(path(1), content, 0o600),
		os.Remove(path(1)+".theirs")); err != nil {
		t.Fatal(err)
	}
	theirs, err := w.conn.DomainDefineXML(fmt.Sprintf(`<domain type='qemu'><name>%s-theirs</name><memory unit='MiB'>64</memory>
		<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
		<source file='%s'/><target dev='vda' bus='virtio'/></disk></devices></domain>`, w.group, path(2)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Free() })

	lists := func(out, path string, words ...string) {
		t.Helper()
		for line := range strings.Lines(out) {
			if strings.Contains(line, path) && containsAll(line, words...) {
				return
			}
		}
		t.Errorf("sweep says\n%s\nwant %s with %q", out, path, words)
	}
	there := func(want ...bool) {
		t.Helper()
		for i, want := range want {
			if _, err := os.Stat(path(i)); (err == nil) != want {
				t.Errorf("%s: %v, want it to be there: %t", path(i), err, want)
			}
		}
	}
	lists(w.must(sweep("--dry-run")...), path(0), "wait: ", "made by this vmscaler")
	w.must(sweep("--yes")...) // all are too young
	out := w.must(sweep("--dry-run", "--grace", "0s")...)
	lists(out, path(0), vms[0].Name, "delete: ")
	lists(out, path(1), vms[1].Name, "leave: ", "another file")
	lists(out, path(2), vms[2].Name, "leave: ", w.group+"-theirs uses it")
	w.refused(sweep("--grace", "0s"), "--yes") // no terminal to ask on
	there(true, true, true)
	if out := w.must(sweep("--grace", "0s", "--yes")...); !strings.Contains(out, "deleted "+path(0)) {
		t.Errorf("sweep says\n%s", out)
	}
	there(false, true, true)
	if err := theirs.Undefine(); err != nil {
		t.Fatal(err)
	}
	w.must(sweep("--grace", "0s", "--yes")...)
	there(false, true, false)

	// The next start gives both an end in the history, and not the one whose name is still taken.
	p = w.start(config)
	p.until("the end of both is in the history", func() bool { // it may have been said before anybody could listen
		ended := map[string]bool{}
		for line := range strings.Lines(w.must("events", w.group, "-o", "json", "--nats-url", p.url)) {
			var r client.HistoryEntry
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			if r.Event != nil && r.Event.Event == bus.EventRemoved {
				ended[r.Event.VM] = true
			}
		}
		if ended[vms[1].Name] {
			t.Errorf("%s is said to be removed", vms[1].Name)
		}
		return ended[vms[0].Name] && ended[vms[2].Name]
	})
	p.untilReady(3)
	p.stop()
	there(false, true, false)
	if err := os.Remove(path(1)); err != nil {
		t.Fatal(err)
	}
}

// TestSweepRefuses: wrong input is said as such.
func TestSweepRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1")
	w.refused([]string{"sweep", "-c", config, "--grace", "-1s"}, "--grace", "-1s")
	w.refused([]string{"sweep", "-c", config, "now"}, "now")
	w.refused([]string{"sweep", "-c", config + ".none"}, "does not exist")
	pool, err := w.conn.LookupStoragePoolByName(w.pool)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Free() }()
	if err := pool.Destroy(); err != nil {
		t.Fatal(err)
	}
	w.refused([]string{"sweep", "-c", config}, w.pool, "not active")
	if err := pool.Create(0); err != nil {
		t.Fatal(err)
	}
}
