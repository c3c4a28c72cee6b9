package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// savedWorld is a libvirt of the test's own with tiny guests, and a config of one that serves and one whose memory is saved.
func savedWorld(t *testing.T) (w *world, config, saves string) {
	t.Helper()
	lv := newPrivateLibvirt(t)
	w = lv.world()
	w.uploadTiny()
	t.Cleanup(func() { _ = os.Remove(filepath.Join(w.dir, template.VolumeName("tiny"))) })
	changes := strings.NewReplacer("min: 2", "min: 1", "max: 4", "max: 2", "upper: 20, lower: 8", "upper: 99, lower: 0")
	config = w.quickConfig(changes.Replace(tinyGroup) + "\nwarm_pool: {size: 1, state: saved, reuse: true}")
	return w, config, filepath.Join(lv.dir, "config/libvirt/qemu/save")
}

// TestSavedWarmPoolDiesAtEachStep: the same as of a paused VM.
func TestSavedWarmPoolDiesAtEachStep(t *testing.T) {
	t.Parallel()
	w, config, _ := savedWorld(t)
	w.diesInWarmPool(config, bus.StateSaved)
}

// TestSavedMemoryThatIsNoGood: a VM whose saved memory is gone, is of another QEMU, or cannot be read by libvirt or QEMU is
// replaced, and serves nobody; launches go on meanwhile.
func TestSavedMemoryThatIsNoGood(t *testing.T) {
	t.Parallel()
	w, config, saves := savedWorld(t)
	p := w.start(config)
	scale := func(n string) { w.must("scale", w.group, n, "--nats-url", p.url) }
	write := func(at int64, text string) func(bus.VM) {
		return func(v bus.VM) {
			f, err := os.OpenFile(filepath.Join(saves, v.Name+".save"), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if _, err := f.WriteAt([]byte(text), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := ""
	for _, tt := range []struct {
		name   string
		spoil  func(bus.VM)
		wanted bool // it is to serve
		says   string
	}{
		{"gone", func(v bus.VM) {
			if err := w.domain(v.Name).ManagedSaveRemove(0); err != nil {
				t.Fatal(err)
			}
		}, false, "it is shut off, and its warm pool has other VMs"},
		{"of another QEMU", func(v bus.VM) {
			w.amendMetadata(v.Name, `saver="qemu `, `saver="qemu 1.`)
		}, false, "its memory was saved by qemu 1."},
		{"cut off while it was written", write(0, "LibvirtQemudPart"), true, "has booted it anew"},
		{"broken", func(v bus.VM) {
			if err := os.Truncate(filepath.Join(saves, v.Name+".save"), 100<<10); err != nil {
				t.Fatal(err)
			}
		}, true, "from its saved memory"},
	} {
		one := p.untilSaved(last)
		seen := len(p.all)
		tt.spoil(one)
		if tt.wanted {
			scale("2")
		}
		p.until("the VM whose memory is "+tt.name+" is replaced", func() bool {
			return slices.ContainsFunc(p.all[seen:], func(e bus.Event) bool {
				return e.VM == one.Name && (strings.Contains(e.Sentence, tt.says) || strings.Contains(e.Error, tt.says))
			})
		})
		p.until("it is gone", func() bool {
			return !slices.ContainsFunc(p.sample.VMs, func(v bus.VM) bool { return v.UUID == one.UUID })
		})
		if tt.wanted {
			p.untilReady(2)
			scale("1")
		}
		last = one.UUID
	}
	for _, e := range p.all {
		if strings.Contains(e.Sentence, "launching failed") {
			t.Errorf("event %+v", e)
		}
	}
	p.untilSaved(last)
	if files, err := filepath.Glob(filepath.Join(saves, "*")); err != nil || len(files) != 1 {
		t.Errorf("saved are %v (%v), want one", files, err)
	}
	p.stop()
}

// amendMetadata replaces a word in the metadata of a domain that is off.
func (w *world) amendMetadata(name, before, after string) {
	w.t.Helper()
	dom := w.domain(name)
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.MetadataURI, libvirt.DOMAIN_AFFECT_CONFIG)
	if err != nil || !strings.Contains(element, before) {
		w.t.Fatalf("metadata %s (%v), want %s in it", element, err, before)
	}
	element = strings.Replace(element, before, after, 1)
	if err := dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, bus.MetadataKey, bus.MetadataURI,
		libvirt.DOMAIN_AFFECT_CONFIG); err != nil {
		w.t.Fatal(err)
	}
}

// TestSavedWarmPoolWithoutRoom: where no memory can be saved the pool is not filled, which health says, and VMs are launched as
// ever. It is filled once there is room.
func TestSavedWarmPoolWithoutRoom(t *testing.T) {
	t.Parallel()
	w, config, saves := savedWorld(t)
	if err := os.Chmod(saves, 0o500); err != nil {
		t.Fatal(err)
	}
	p := w.start(config)
	e := p.untilEvent("", bus.EventFailed)
	if !strings.Contains(e.Error, "it cannot wait in the warm pool: save its memory") ||
		!strings.Contains(e.Sentence, "made for the warm pool in") {
		t.Errorf("event %+v", e)
	}
	p.until("health says so", func() bool {
		return slices.ContainsFunc(p.stages["actuator"].Problems, func(problem bus.Problem) bool {
			return problem.Code == bus.ProblemWarmPool
		})
	})
	w.must("scale", w.group, "2", "--nats-url", p.url)
	p.untilReady(2)
	w.must("scale", w.group, "1", "--nats-url", p.url)
	if err := os.Chmod(saves, 0o700); err != nil {
		t.Fatal(err)
	}
	p.untilSaved("")
	p.until("health has nothing to say", func() bool { return p.stages["actuator"].OK })
	p.stop()
}
