package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// dropTemplates deletes templates of a test, with their records, when it ends.
func (w *world) dropTemplates(names ...string) {
	w.t.Cleanup(func() {
		for _, name := range names {
			_ = os.Remove(filepath.Join(w.dir, template.VolumeName(name)))
			_ = os.Remove(filepath.Join(w.dir, template.RecordName(name)))
		}
	})
}

// volumeSize is how large the file of a template is.
func (w *world) volumeSize(name string) int64 {
	w.t.Helper()
	st, err := os.Stat(filepath.Join(w.dir, template.VolumeName(name)))
	if err != nil {
		w.t.Fatal(err)
	}
	return st.Size()
}

// TestTemplateLife: a template is made, looked at, compared and deleted by the commands that docs/templates.md names, and stays
// while a VM needs it.
func TestTemplateLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("template: web-1\nmin: 1\nmax: 1\ncloud_init: {user_data: \"#cloud-config\"}")
	w.dropTemplates("web-1", "web-2", "copy", "built")
	w.must("template", "import", "web-1", templateFile, "-c", config)
	w.must("template", "seal", "web-2", template.VolumeName("demo"), "-c", config)
	if a, b := w.volumeSize("web-1"), w.volumeSize("web-2"); b > a+a/4 {
		t.Errorf("sealed it has %d bytes, imported %d: it is compressed no more", b, a)
	}
	if out := w.must("template", "diff", "web-1", "web-2", "-c", config); !strings.Contains(out, "source") ||
		strings.Contains(out, "partition") {
		t.Errorf("diff of two with one content:\n%s", out)
	}
	unread := "has no cloud-init" // which nobody is to find out by a key that does not get in
	for _, command := range [][]string{{"config", "check"}, {"check"}} {
		out, _ := w.command(append(command, "-c", config)...).CombinedOutput() // check may find other things here
		if !containsAll(string(out), "warning", unread) {
			t.Errorf("%s says\n%s", command, out)
		}
	}
	w.must("template", "build", "--name", "built", "--cache", packageCache(), "-c", config)
	out := w.must("template", "show", "built", "-c", config)
	if known, _, _ := strings.Cut(out, "boot time"); strings.Contains(known, "unknown") ||
		!containsAll(out, "template build, kernel cloud", "firmware   bios", "cloud-init absent") {
		t.Errorf("show of what was built:\n%s", out)
	}
	p := w.start(config)
	p.untilReady(1)
	if e := p.heard("", bus.EventIgnored); !containsAll(e.Sentence, "template web-1 "+unread) {
		t.Errorf("event %+v", e)
	}

	var one struct {
		State  string
		Clones []struct{ VM, Group, Pool string }
		BootMS int64 `json:"boot_ms"`
	}
	out = w.must("template", "show", "web-1", "-o", "json", "-c", config)
	if err := json.Unmarshal([]byte(out), &one); err != nil || one.State != "ready" || len(one.Clones) != 1 ||
		one.Clones[0].VM != w.group+"-1" || one.Clones[0].Group != w.group || one.BootMS < 100 {
		t.Errorf("show: %v, %s", err, out)
	}
	w.refused([]string{"template", "rm", "web-1", "--yes", "-c", config}, "VM "+w.group+"-1", "vmscaler down "+w.group)
	w.refused([]string{"template", "seal", "copy", w.vms()[0].Meta.Volume, "-c", config}, "domain "+w.group+"-1 runs")
	w.refused([]string{"template", "import", "web-1", templateFile, "-c", config}, "exists already")
	fresh := filepath.Join(t.TempDir(), "fresh.yaml")
	if err := os.WriteFile(fresh, []byte("libvirt: {pool: e2e-nowhere}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.refused([]string{"template", "list", "-c", fresh}, `"e2e-nowhere" does not exist`, "vmscaler setup")
	p.stop()
	w.must("down", w.group, "--yes", "--shutdown-timeout", "5s")

	w.must("template", "rm", "web-1", "--yes", "-c", config)
	w.must("template", "rm", "web-2", "--yes", "-c", config)
	if out := w.must("template", "list", "-c", config); strings.Contains(out, "web-") || !strings.Contains(out, "demo") {
		t.Errorf("list:\n%s", out)
	}
}

// TestTemplateVersions: versions are numbered, a group that names another one has its VMs replaced by those of that one, forward
// and back, and what a VM needs stays.
func TestTemplateVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dropTemplates("ver", "ver:1", "ver:2")
	of := func(name string) string { return w.config("min: 1\nmax: 2\ntemplate: " + name) }
	config := of("ver:1")
	for _, version := range []string{"ver:1", "ver:2"} {
		out := w.must("template", "import", "ver:next", templateFile, "-c", config)
		if !strings.Contains(out, `use it with "template: `+version+`"`) {
			t.Errorf("import of the next version says\n%s", out)
		}
	}
	if list := w.must("template", "list", "-c", config); !strings.Contains(list, "ver:1 ") || !strings.Contains(list, "ver:2 ") {
		t.Errorf("list:\n%s", list)
	}
	p := w.start(config)
	p.untilReady(1)
	for _, version := range []string{"ver:2", "ver:1"} {
		w.must("apply", "-f", of(version), "--nats-url", p.url)
		p.until("the VM is of "+version, func() bool {
			return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone && len(p.sample.VMs) == 1 &&
				p.sample.VMs[0].Template == version
		})
	}
	w.refused([]string{"template", "rm", "ver:1", "--yes", "-c", config}, "VM "+w.group)
	w.must("template", "rm", "ver:2", "--yes", "-c", config)
	p.stop()
	w.must("down", w.group, "--yes", "--shutdown-timeout", "5s")
}

// throwAways are the VMs of trials with their disks in the test's pool.
func (w *world) throwAways() []string {
	w.t.Helper()
	inv, err := vm.ReadInventory(w.conn)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, one := range inv.Owned {
		if bus.IsThrowAway(one.Meta.Group) && one.Meta.Pool == w.diskPool() {
			names = append(names, one.Name)
		}
	}
	return names
}

// TestTemplateCheck: of the demo template all is well; one whose boot sector says nothing fails. However a check ends nothing
// of it stays, or the next one removes it.
func TestTemplateCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("template: demo\nmax: 1")
	out := w.must("template", "check", "demo", "-c", config)
	for _, want := range []string{
		"ok       boots ", "ok       console ", "ok       agent ", "ok       boot time ", "ok       idle CPU ", "ok       address ",
		"ok       shutdown ", "ok       host name   each has its VM's name", "ok       machine id ",
		"ok       SSH keys ", "ok       cloud-init ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	t.Log(out)

	w.dropTemplates("broken")
	raw := filepath.Join(t.TempDir(), "disk")
	image := filepath.Join(w.dir, template.VolumeName("broken"))
	convert := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("qemu-img", append([]string{"convert"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("qemu-img: %v\n%s", err, out)
		}
	}
	convert("-O", "raw", templateFile, raw)
	f, err := os.OpenFile(raw, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 512), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	convert("-O", "qcow2", raw, image) // import would refuse it
	w.refreshPool()
	check := []string{"template", "check", "broken", "--boot-timeout", "5s", "-c", config}
	w.refused(check, "fail     boots ", "nothing was heard of it", "VMs of it will not work")

	p := w.spawn(check...)
	p.says("-1: boots")
	p.says("-2: boots")
	w.refused(check, "vmscaler template check (process", "acts on templates of")
	p.willEnd()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.says("interrupted")
	if left := w.throwAways(); len(left) > 0 {
		t.Errorf("left behind by Ctrl-C: %q", left)
	}

	p = w.spawn(check...)
	p.says("-1: boots")
	p.says("-2: boots")
	p.kill()
	left := w.throwAways()
	if len(left) != 2 {
		t.Fatalf("a killed check has left %q, want its two clones", left)
	}
	if out := w.must("sweep", "--dry-run", "-c", config); !strings.Contains(out, left[0]) || len(w.throwAways()) != 2 {
		t.Errorf("sweep --dry-run:\n%s", out)
	}
	w.refused(check, "removed "+left[0], "fail     boots ")
	if left := w.throwAways(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
