package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// outcome is what becomes of a VM of a group of two that a person did something to.
type outcome string

const (
	stays    outcome = "stays"    // it serves on, and nothing is made or removed
	aside    outcome = "aside"    // it is left as it is, and another serves in its place until the person ends it
	replaced outcome = "replaced" // it is removed, and another serves in its place
	leaves   outcome = "leaves"   // it is not vmscaler's any more, and another serves in its place
)

// virshVerb is something that people do with virsh.
type virshVerb struct {
	name string
	// do are lines for virsh, or for vmscaler, of which the test fills in VM, VOLUME, UUID, POOL, FOLDER (the pool's),
	// NET, GROUP and DIR: a person's own folder.
	do   []string
	then outcome
	// undo are the same, once the outcome was seen. After it the group comes to rest with two VMs.
	undo []string
	// says has words that the actuator's health says between do and undo. Then the outcome is that of undo.
	says []string
	left []string // files that are a person's: they must be there in the end
	keep bool     // the VM is as good as new, so the next verb may have it
}

// The verbs, the harmless ones first: in the end one VM that all of them were done to must go without a trace.
var virshVerbs = []virshVerb{
	{name: "reset", do: []string{"reset VM"}, then: stays, keep: true},
	{name: "reboot", do: []string{"reboot VM --mode acpi"}, then: stays, keep: true},
	{name: "autostart", do: []string{"autostart VM"}, then: stays, keep: true},
	{name: "desc", do: []string{"desc VM --config --live --title somebody's"}, then: stays, keep: true},
	{name: "edit", do: []string{"edit VM"}, then: stays, keep: true},
	{name: "setmem", do: []string{"setmem VM 24M --live"}, then: stays, keep: true},
	{name: "setvcpus", do: []string{"setvcpus VM 2 --maximum --config", "setvcpus VM 2 --config"}, then: stays, keep: true},
	{name: "attach-device", do: []string{"attach-device VM DIR/interface.xml --live --config"}, then: stays, keep: true},
	{name: "detach-device", do: []string{"detach-device VM DIR/interface.xml --config"}, then: stays, keep: true},
	{
		name: "attach-interface",
		do:   []string{"attach-interface VM network NET --mac 52:54:00:12:34:56 --model virtio --live --config"},
		then: stays,
		keep: true,
	},
	{
		name: "detach-interface", do: []string{"detach-interface VM network --mac 52:54:00:12:34:56 --config"},
		then: stays, keep: true,
	},
	{name: "checkpoint-create", do: []string{"checkpoint-create-as VM mark"}, then: stays, keep: true},
	{name: "checkpoint-delete", do: []string{"checkpoint-delete VM mark", "checkpoint-create-as VM another"}, then: stays},
	{name: "snapshot-create", do: []string{"snapshot-create-as VM first"}, then: stays, keep: true},
	{name: "snapshot-revert", do: []string{"snapshot-revert VM first --running"}, then: stays, keep: true},
	{name: "snapshot-delete", do: []string{"snapshot-create-as VM second", "snapshot-delete VM second"}, then: stays},
	{name: "blockpull", do: []string{"blockpull VM vda --wait"}, then: stays, keep: true},
	{name: "blockresize", do: []string{"blockresize VM vda 2M"}, then: stays, keep: true},
	{name: "vol-resize", do: []string{"?vol-resize VOLUME 3M --pool POOL"}, then: stays}, // libvirt refuses it while the VM runs
	{
		name: "snapshot-create --disk-only",
		do:   []string{"snapshot-create-as VM outside --disk-only --diskspec vda,file=DIR/outside.qcow2 --diskspec vdb,snapshot=no"},
		then: stays, left: []string{"outside.qcow2"},
	},
	{
		name: "blockcommit", do: []string{
			"snapshot-create-as VM outside --disk-only --diskspec vda,file=DIR/back.qcow2 --diskspec vdb,snapshot=no",
			"?blockcommit VM vda --active --pivot --wait",
		},
		then: stays, left: []string{"back.qcow2"},
	},
	{
		name: "blockcopy", do: []string{"blockcopy VM vda DIR/copy.qcow2 --transient-job --wait --pivot"},
		then: stays, left: []string{"copy.qcow2"},
	},
	{
		name: "attach-disk",
		do:   []string{"attach-disk VM DIR/data.qcow2 vdx --subdriver qcow2 --persistent"},
		then: stays,
		left: []string{"data.qcow2"},
	},
	{
		name: "detach-disk",
		do:   []string{"attach-disk VM DIR/data.qcow2 vdx --subdriver qcow2 --config", "detach-disk VM vdx --config"},
		then: stays, left: []string{"data.qcow2"}, keep: true,
	},
	{name: "suspend", do: []string{"suspend VM"}, then: aside, undo: []string{"resume VM"}},
	{name: "managedsave", do: []string{"managedsave VM"}, then: aside, undo: []string{"start VM"}},
	{name: "managedsave-remove", do: []string{"managedsave VM"}, then: aside, undo: []string{"managedsave-remove VM"}},
	{name: "save", do: []string{"save VM DIR/memory"}, then: replaced, left: []string{"memory"}},
	// What is in the file is a VM whose disk is gone, and libvirt refuses it.
	{
		name: "restore",
		do:   []string{"save VM DIR/memory"},
		then: replaced,
		undo: []string{"?restore DIR/memory"},
		left: []string{"memory"},
	},
	{name: "shutdown", do: []string{"shutdown VM"}, then: replaced},
	{name: "destroy", do: []string{"destroy VM"}, then: replaced},
	{name: "undefine", do: []string{"undefine VM"}, then: stays},
	{name: "destroy, undefine", do: []string{"undefine VM", "destroy VM"}, then: replaced},
	{name: "metadata", do: []string{"metadata VM URI --live --config --remove"}, then: leaves},
	{
		name: "domrename", do: []string{"!pause GROUP repair", "destroy VM", "domrename VM VM-renamed", "!resume GROUP"},
		then: replaced,
	},
	{name: "vol-delete", do: []string{"vol-delete VOLUME --pool POOL"}, then: stays},
	{
		name: "pool-destroy", do: []string{"pool-destroy POOL", "destroy VM"}, then: replaced,
		says: []string{"cannot remove", "is not active; start it with", "pool-start"}, undo: []string{"pool-start POOL"},
	},
	{
		name: "pool-undefine", do: []string{"pool-destroy POOL", "pool-undefine POOL", "destroy VM"}, then: replaced,
		says: []string{"cannot remove", "no storage pool has the folder", "pool-define-as", "pool-start"},
		undo: []string{"pool-define-as POOL dir --target FOLDER", "pool-start POOL"},
	},
	{name: "net-destroy", do: []string{"net-destroy NET"}, then: stays, undo: []string{"net-start NET"}, keep: true},
	{
		name: "net-start", do: []string{"net-destroy NET", "destroy VM"}, then: replaced,
		says: []string{"no launch until", "is not active"}, undo: []string{"net-start NET"},
	},
}

// TestVirsh does to a running group whatever a person may do to its VMs, volumes, pool and network with virsh. It is the
// table "What people do with virsh" of docs/reliability.md; without the tag long it is what people do most. VIRSH_ONLY=verb,...
// tries some.
func TestVirsh(t *testing.T) {
	t.Parallel()
	v := newVirshWorld(t)
	only := mostVerbs
	if names := os.Getenv("VIRSH_ONLY"); names != "" {
		only = strings.Split(names, ",")
	}
	for _, verb := range virshVerbs {
		if only != nil && !slices.Contains(only, verb.name) {
			continue
		}
		began := time.Now()
		v.try(verb)
		t.Logf("%s: %s (%s)", verb.name, verb.then, time.Since(began).Round(time.Millisecond))
		if t.Failed() {
			t.Fatalf("at the verb %s; what was said: %s", verb.name, v.said())
		}
	}
	v.run.stop()
}

type virshWorld struct {
	*world
	t    *testing.T
	run  run
	own  string // a person's folder
	base []string
	seen int // events that are of verbs before this one
}

func newVirshWorld(t *testing.T) *virshWorld {
	t.Helper()
	w := newWorld(t)
	if w.network == bus.UserNetwork {
		t.Skip("a session libvirt has no networks, and users of one do not stop those of others")
	}
	w.uploadTiny()
	tiny := filepath.Join(w.dir, template.VolumeName("tiny"))
	t.Cleanup(func() { _ = os.Remove(tiny) })
	own, err := os.MkdirTemp("/var/tmp", "vmscaler-own-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(own) })
	if err := os.Chmod(own, 0o777); err != nil {
		t.Fatal(err)
	}
	v := &virshWorld{world: w, t: t, own: own, base: w.files()}
	v.write(
		"interface.xml",
		fmt.Sprintf(
			`<interface type='network'><mac address='52:54:00:65:43:21'/><source network='%s'/><model type='virtio'/></interface>`,
			w.network,
		),
	)
	v.write("editor", "#!/bin/sh\nsed -i 's#</name>#</name><description>changed by hand</description>#' \"$1\"\n")
	if err := os.Chmod(filepath.Join(own, "editor"), 0o755); err != nil {
		t.Fatal(err)
	}
	v.virsh(nil, "net-dumpxml NET >DIR/net.xml") // which makes a network that can be started again
	v.virsh(nil, "net-define DIR/net.xml")
	t.Cleanup(func() { _ = exec.Command("virsh", "-q", "-c", w.uri, "net-undefine", w.network).Run() })
	// Guests that boot, or wait for a core beside other tests, are not to be load.
	v.run = w.start(w.quickConfig(strings.Replace(tinyGroup, "upper: 20, lower: 8", "upper: 99, lower: 8", 1)))
	v.settled()
	return v
}

func (v *virshWorld) write(name, text string) {
	v.t.Helper()
	if err := os.WriteFile(filepath.Join(v.own, name), []byte(text), 0o644); err != nil {
		v.t.Fatal(err)
	}
}

// try does one verb to one of the two VMs, and sees what becomes of it.
func (v *virshWorld) try(verb virshVerb) {
	v.t.Helper()
	v.seen = len(v.run.all)
	vm := v.vms()[0]
	for _, file := range verb.left {
		if file == "data.qcow2" {
			v.shell("qemu-img create -q -f qcow2 " + filepath.Join(v.own, file) + " 1M")
			_ = os.Chmod(filepath.Join(v.own, file), 0o666)
		}
	}
	for _, line := range verb.do {
		v.virsh(&vm, line)
	}
	if len(verb.says) == 0 {
		v.becomes(verb.name, vm, verb.then)
	} else {
		v.run.until("health says it", func() bool { return containsAll(v.run.stages["actuator"].Message, verb.says...) })
	}
	for _, line := range verb.undo {
		v.virsh(&vm, line)
	}
	if len(verb.says) > 0 {
		v.becomes(verb.name, vm, verb.then)
	}
	if verb.then == leaves {
		if v.uuids()[vm.UUID] {
			v.t.Errorf("%s is still owned", vm.Name)
		}
		v.shell(fmt.Sprintf("virsh -q -c '%s' destroy %s", v.uri, vm.UUID))
		v.shell(fmt.Sprintf("virsh -q -c '%s' undefine %s --checkpoints-metadata --snapshots-metadata", v.uri, vm.UUID))
	}
	v.settled()
	if now := v.uuids(); verb.then == stays && !now[vm.UUID] {
		v.t.Errorf("%s was removed", vm.Name)
	} else if now[vm.UUID] && !verb.keep { // and it goes as any other
		v.virsh(&vm, "destroy UUID")
		v.becomes(verb.name+" and the end of the VM", vm, replaced)
		v.settled()
	}
	for _, file := range verb.left {
		if _, err := os.Stat(filepath.Join(v.own, file)); err != nil {
			v.t.Errorf("a person's file: %s", err)
		}
		_ = os.Remove(filepath.Join(v.own, file))
	}
	for _, e := range v.run.all[v.seen:] {
		if e.Event == bus.EventFailed && len(verb.says) == 0 {
			v.t.Errorf("event %+v", e)
		}
	}
}

// becomes waits until a VM has become what is to become of it.
func (v *virshWorld) becomes(what string, vm vm.VM, then outcome) {
	v.t.Helper()
	rounds := 0
	v.run.until(fmt.Sprintf("after %s %s: it is %s", what, vm.Name, then), func() bool {
		now := v.uuids()
		others := v.serving()
		delete(others, vm.UUID)
		switch then {
		case stays:
			if !now[vm.UUID] || len(now) != 2 {
				v.t.Fatalf("after %s: VMs %v, want %s and another", what, now, vm.UUID)
			}
			if rounds++; v.serving()[vm.UUID] && len(others) == 1 {
				return rounds > 10 // messages, of which there are some a second
			}
			return false
		case aside:
			return now[vm.UUID] && len(others) == 2
		case replaced, leaves:
			return !now[vm.UUID] && len(others) == 2
		}
		v.t.Fatalf("no outcome %q", then)
		return false
	})
}

// settled waits until the group is at rest: two VMs that serve, and no file but theirs.
func (v *virshWorld) settled() {
	v.t.Helper()
	v.run.until("the group is at rest", func() bool {
		if len(v.uuids()) != 2 || len(v.serving()) != 2 || len(v.run.sample.VMs) != 2 {
			return false
		}
		want := slices.Clone(v.base)
		for _, vm := range v.vms() {
			want = append(want, vm.Meta.Volumes()...)
		}
		slices.Sort(want)
		return slices.Equal(v.files(), want) || v.had(bus.EventOrphan) // somebody deleted the volume of one that runs
	})
}

// had reports whether an event was seen since the verb.
func (v *virshWorld) had(event bus.EventType) bool {
	return slices.ContainsFunc(v.run.all[v.seen:], func(e bus.Event) bool { return e.Event == event })
}

// uuids are the group's VMs.
func (v *virshWorld) uuids() map[string]bool {
	uuids := map[string]bool{}
	for _, vm := range v.vms() {
		uuids[vm.UUID] = true
	}
	return uuids
}

// serving are those that run and are ready.
func (v *virshWorld) serving() map[string]bool {
	uuids := map[string]bool{}
	for _, vm := range v.vms() {
		if vm.Meta.Phase == bus.PhaseReady && vm.State == bus.StateRunning {
			uuids[vm.UUID] = true
		}
	}
	return uuids
}

// said is what was said since the verb.
func (v *virshWorld) said() string {
	var lines []string
	for _, e := range v.run.all[v.seen:] {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", e.VM, e.Event, e.Sentence, e.Error))
	}
	return strings.Join(lines, "\n")
}

// virsh does a line. With a question mark before it libvirt may refuse it; with an exclamation mark it is vmscaler's.
func (v *virshWorld) virsh(vm *vm.VM, line string) {
	v.t.Helper()
	words := map[string]string{
		"POOL":   v.pool,
		"NET":    v.network,
		"GROUP":  v.group,
		"DIR":    v.own,
		"FOLDER": v.dir,
		"URI":    bus.MetadataURI,
	}
	if vm != nil {
		words["VM"], words["VOLUME"], words["UUID"] = vm.Name, vm.Meta.Volume, vm.UUID
	}
	may, line := strings.HasPrefix(line, "?"), strings.TrimPrefix(line, "?")
	own, line := strings.HasPrefix(line, "!"), strings.TrimPrefix(line, "!")
	line = regexp.MustCompile(`\b[A-Z]{2,}\b`).ReplaceAllStringFunc(line, func(w string) string {
		if to, ok := words[w]; ok {
			return to
		}
		return w
	})
	if own {
		v.must(append(strings.Fields(line), "--nats-url", v.run.url)...)
		return
	}
	command := fmt.Sprintf(
		"EDITOR=%s virsh -q -c '%s' %s",
		filepath.Join(v.own, "editor"),
		v.uri,
		strings.ReplaceAll(line, "'", `\'`),
	)
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil && !may {
		v.t.Fatalf("virsh %s: %s\n%s", line, err, out)
	}
}

func (v *virshWorld) shell(command string) {
	v.t.Helper()
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		v.t.Fatalf("%s: %s\n%s", command, err, out)
	}
}

// TestVirshTable: what the test does is in the table of docs/reliability.md, and nothing else is.
func TestVirshTable(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## What people do with virsh")
	section, _, _ = strings.Cut(section, "\nNot tried")
	documented, tried := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(section) {
		verbs, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		for _, m := range regexp.MustCompile("`([a-z-]+)`").FindAllStringSubmatch(verbs, -1) {
			if strings.HasPrefix(line, "| `") && !strings.HasPrefix(m[1], "--") {
				documented[m[1]] = true
			}
		}
	}
	for _, verb := range virshVerbs {
		for _, line := range slices.Concat(verb.do, verb.undo) {
			if !strings.HasPrefix(line, "!") {
				tried[strings.Fields(strings.TrimPrefix(line, "?"))[0]] = true
			}
		}
	}
	for verb := range documented {
		if !tried[verb] {
			t.Errorf("virsh %s is documented and not tried", verb)
		}
	}
	for verb := range tried {
		if !documented[verb] {
			t.Errorf("virsh %s is tried and not documented", verb)
		}
	}
}
