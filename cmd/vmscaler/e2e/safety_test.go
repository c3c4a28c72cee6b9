package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// foreignDomain defines a domain with a disk of its own that has a name which the group would use next, and no
// metadata. It returns a check that nothing touched it.
func (w *world) foreignDomain(name string) func() {
	w.t.Helper()
	disk := w.foreignFile(name + ".qcow2")
	dom, err := w.conn.DomainDefineXML(fmt.Sprintf(`<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory>
		<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
		<source file='%s'/><target dev='vda' bus='virtio'/></disk></devices></domain>`, name, filepath.Join(w.dir, name+".qcow2")))
	if err != nil {
		w.t.Fatal(err)
	}
	uuid, err := dom.GetUUIDString()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = dom.Undefine()
		_ = dom.Free()
	})
	return func() {
		w.t.Helper()
		now, err := w.conn.LookupDomainByName(name)
		if err != nil {
			w.t.Fatalf("the foreign domain %s: %s", name, err)
		}
		defer func() { _ = now.Free() }()
		if is, err := now.GetUUIDString(); err != nil || is != uuid {
			w.t.Errorf("the foreign domain %s is now %s (%v), it was %s", name, is, err, uuid)
		}
		if active, err := now.IsActive(); err != nil || active {
			w.t.Errorf("the foreign domain %s was started", name)
		}
		disk()
	}
}

// foreignFile puts a file that is not ours into the pool's folder, without libvirt's knowledge.
func (w *world) foreignFile(name string) func() {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	content := []byte("somebody's data in " + name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.Remove(path) })
	return func() {
		w.t.Helper()
		if now, err := os.ReadFile(path); err != nil || string(now) != string(content) {
			w.t.Errorf("the foreign file %s was touched: %q, %v", name, now, err)
		}
	}
}

// TestForeignNamesAreNeverTouched is fault 3 of the Bash loop: another user's domain of our next name had its disk
// overwritten and was later undefined. A domain and a file that are not ours stay as they are, and their names are
// avoided.
func TestForeignNamesAreNeverTouched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	domainIsWhole := w.foreignDomain(w.group + "-1")
	fileIsWhole := w.foreignFile(w.group + "-2.qcow2")
	config := w.config("min: 2")
	p := w.start(config)
	p.untilReady(2)
	var names []string
	for _, vm := range w.vms() {
		names = append(names, vm.Name)
	}
	slices.Sort(names)
	if want := []string{w.group + "-3", w.group + "-4"}; !slices.Equal(names, want) {
		t.Errorf("VMs %v, want %v: the names 1 and 2 are taken", names, want)
	}
	p.stop()
	w.must("down", w.group, "--yes")
	domainIsWhole()
	fileIsWhole()
	for _, name := range []string{w.group + "-1.qcow2", w.group + "-2.qcow2"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestDeadVMIsReplaced is fault 4 of the Bash loop: a VM that died was read as 0 % forever, halved the average and
// was never replaced.
func TestDeadVMIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1"))
	p.untilReady(1)
	first := w.vms()[0]
	dom := w.domain(first.Name)
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	p.untilEvent(first.Name, bus.EventDied)
	p.until("another VM is ready, and no dead one was a number", func() bool {
		for _, vm := range p.sample.VMs {
			if vm.State != bus.StateRunning && vm.CPUPercent != nil {
				t.Fatalf("%s is %s and has a CPU reading of %v", vm.Name, vm.State, *vm.CPUPercent)
			}
		}
		return len(p.sample.VMs) == 1 && p.sample.VMs[0].Phase == bus.PhaseReady && p.sample.VMs[0].UUID != first.UUID
	})
	p.stop()
}

// TestOwnDomainThatIsOffIsReplacedAsAWhole is fault 2 of the Bash loop: started again with its VM defined but off, it
// overwrote that VM's disk under the same definition. Here such a VM is removed as a whole and replaced by a new one.
func TestOwnDomainThatIsOffIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1")
	p := w.start(config)
	p.untilReady(1)
	p.stop()
	old := w.vms()[0]
	if err := w.domain(old.Name).Destroy(); err != nil {
		t.Fatal(err)
	}
	p = w.start(config)
	p.untilEvent(old.Name, bus.EventRemoved)
	p.untilReady(1)
	now := w.vms()[0]
	if now.UUID == old.UUID || now.Meta.Volume == old.Meta.Volume {
		t.Errorf("the VM is %s with %s, want another one than %s with %s", now.UUID, now.Meta.Volume, old.UUID, old.Meta.Volume)
	}
	p.stop()
}

// TestStartsQuietlyAndHonoursMin is faults 1, 7 and 9 of the Bash loop: started with no load its boot made a second
// VM, min was not honoured at the start, and each creation printed an error.
func TestStartsQuietlyAndHonoursMin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 2"))
	p.until("the group is idle at its min", func() bool {
		if p.decision.Desired > 2 || len(p.sample.VMs) > 2 {
			t.Fatalf("%d VMs, %d wanted, with no load at all: %s", len(p.sample.VMs), p.decision.Desired, p.decision.Sentence)
		}
		return p.decision.Guard == bus.GuardAtMin && p.decision.Inputs.Ready == 2
	})
	p.stop()
	for line := range strings.Lines(p.text()) {
		if strings.Contains(line, "is not configured") { // another group on this libvirt
			continue
		}
		if strings.Contains(strings.ToLower(line), "error") || strings.Contains(line, "WRN") || strings.Contains(line, "ERR") {
			t.Errorf("a start with no trouble says %q", line)
		}
	}
}

// TestDown: refused while another process acts, and for a group that nobody has; then it removes all, and again is a success.
func TestDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1")
	p := w.start(config)
	p.untilReady(1)
	w.refused([]string{"down", w.group, "--yes"}, "vmscaler run", fmt.Sprint(p.cmd.Process.Pid), "stop it first")
	w.refused(
		[]string{"run", "--no-dashboard", "-c", config},
		"vmscaler run",
		fmt.Sprint(p.cmd.Process.Pid),
		"vmscaler dashboard --nats-url "+p.url,
	)
	p.stop()
	w.refused([]string{"down", w.group}, "--yes") // no terminal to ask on
	w.refused([]string{"down", w.group + "x", "--yes"}, "found no group "+w.group+"x", "did you mean "+w.group)
	w.must("down", w.group, "--yes", "-c", config, "--reason", "moved to kvm2")
	if vms, files := w.vms(), w.files(); len(vms) > 0 || len(files) > 0 {
		t.Errorf("left behind: %v %v", vms, files)
	}
	w.must("down", w.group, "--yes", "-c", config)
	p = w.start(config)
	var told bus.Event // perhaps before the test listens
	until(t, "the history is told of the end", func() bool {
		for line := range strings.Lines(w.must("events", w.group, "-o", "json", "--nats-url", p.url)) {
			var r client.HistoryEntry
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			if r.Event != nil && r.Event.Event == bus.EventRemoved {
				told = *r.Event
			}
		}
		return told.VM != ""
	})
	if told.VM != w.group+"-1" || told.By == "" || told.Reason != "moved to kvm2" ||
		!strings.Contains(told.Sentence, "taken down on ") {
		t.Errorf("the history is told %+v, want who has removed it, and why", told)
	}
	p.stop()
}

// TestTemplateVanishes is fault 5 of the Bash loop: without its template it showed a VM that does not exist at 0 %.
// Here the launch fails with the reason, no ghost is sampled, and it goes on when the template is back.
func TestTemplateVanishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1"))
	p.untilReady(1)
	back := w.hideTemplate()
	if err := w.domain(w.group + "-1").Destroy(); err != nil {
		t.Fatal(err)
	}
	if e := p.untilEvent("", bus.EventFailed); !strings.Contains(e.Error, "template") {
		t.Errorf("event %+v, want the template named", e)
	}
	p.until("the empty group is sampled as empty", func() bool { return len(p.sample.VMs) == 0 })
	back()
	p.untilReady(1)
	p.stop()
}

// hideTemplate takes the template away, until back is called.
func (w *world) hideTemplate() (back func()) {
	w.t.Helper()
	hidden := w.templatePath() + ".hidden"
	move := func(from, to string) {
		w.t.Helper()
		if err := os.Rename(from, to); err != nil {
			w.t.Fatal(err)
		}
		w.refreshPool()
	}
	move(w.templatePath(), hidden)
	return func() { move(hidden, w.templatePath()) }
}
