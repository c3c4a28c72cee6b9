//go:build image

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// bootPatience is how long each step with a distribution's boot in it may take on a slow, busy machine.
const bootPatience = 15 * time.Minute

// TestSystemdImageStartsQuietly: a system as distributions make it is busy long after its guest agent answers, and once more when
// it reboots. Neither makes a second VM, and load does.
func TestSystemdImageStartsQuietly(t *testing.T) {
	image := os.Getenv("VMSCALER_TEST_IMAGE")
	if image == "" {
		t.Fatal("VMSCALER_TEST_IMAGE names no image; run this by: make test-image")
	}
	w := newWorld(t)
	config := w.config(fmt.Sprintf("template: debian\nmin: 1\nmax: 3\nmemory: 512MiB\nboot_timeout: %s", bootPatience))
	w.must("template", "import", "debian", image, "-c", config)
	t.Cleanup(func() {
		_ = os.Remove(filepath.Join(w.dir, template.VolumeName("debian")))
		_ = os.Remove(filepath.Join(w.dir, template.RecordName("debian")))
	})
	p := w.start(config)

	// atMost waits for something while the group has no more than so many VMs, and wants no more.
	atMost := func(vms int, what string, holds func() bool) {
		t.Helper()
		p.within(bootPatience, what, func() bool {
			if p.decision.Desired > vms || len(p.sample.VMs) > vms {
				t.Fatalf("before %s: %d VMs, want at most %d: %s; %+v", what, len(p.sample.VMs), vms, p.decision.Sentence, p.sample.VMs)
			}
			return holds()
		})
	}
	// counted reports whether the CPU of the VM was in each of the last 20 decisions: its warm-up is over.
	counted := func() func() bool {
		row, last := 0, p.decision.Seq
		return func() bool {
			if d := p.decision; d.Seq != last {
				last = d.Seq
				if row++; d.Inputs.Ready != 1 || d.Inputs.AveragePercent == nil {
					row = 0
				}
			}
			return row >= 20
		}
	}
	begin := time.Now()
	passed := func(what string) {
		t.Logf("%s after %s", what, time.Since(begin).Round(time.Second))
		begin = time.Now()
	}

	atMost(1, "it is ready", func() bool { return len(p.sample.VMs) == 1 && p.sample.VMs[0].Phase == bus.PhaseReady })
	passed("ready")
	atMost(1, "its CPU counts", counted())
	passed("at rest")

	first := w.vms()[0]
	if _, err := w.domain(first.Name).QemuAgentCommand(
		`{"execute": "guest-exec", "arguments": {"path": "systemctl", "arg": ["reboot"]}}`, libvirt.DOMAIN_QEMU_AGENT_COMMAND_DEFAULT,
		0); err != nil {
		t.Fatal(err)
	}
	atMost(1, "it warms up again", func() bool {
		return len(p.sample.VMs) == 1 && p.sample.VMs[0].RebootedAt != nil && p.decision.Inputs.Warming == 1
	})
	passed("rebooted")
	atMost(1, "its CPU counts again", counted())
	passed("at rest")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	load := make(chan error, 1)
	go func() { load <- runUntil(ctx, w.command("load", first.Name, "--for", "1h")) }()
	atMost(2, "load makes another VM", func() bool { return p.decision.Desired == 2 })
	passed("scaled out")
	stop()
	if err := <-load; err != nil {
		t.Errorf("vmscaler load: %s", err)
	}
	for _, e := range p.all {
		if e.Event == bus.EventFailed || e.Event == bus.EventUnhealthy || e.Event == bus.EventDied {
			t.Errorf("event %+v", e)
		}
	}
	p.stop()
}
