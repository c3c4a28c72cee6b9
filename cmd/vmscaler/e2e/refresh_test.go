package e2e

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// TestRefresh: a group's template changes, and its VMs are replaced one after another while as many as before serve, also by a
// program that is killed in the middle. A template that does not boot takes none of them away, and the group goes on as it was.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTemplate("next", templateFile)
	w.addTemplate("deaf" /* cli; hlt; again */, guestDisk(t, "faf4ebfd"))
	of := func(name, more string) string { return w.config("min: 2\nmax: 3\ntemplate: " + name + "\n" + more) }
	p := w.start(of("demo", ""))
	p.untilReady(2)
	old := w.uuids()
	p.stop()

	p = w.start(of("next", ""))
	served := func(b run) int {
		n := 0
		for _, vm := range b.sample.VMs {
			if vm.Phase.Serves() && vm.State == bus.StateRunning {
				n++
			}
		}
		return n
	}
	check := func(b run) {
		t.Helper()
		if n := served(b); b.sample.Group != "" && (n < 2 || len(b.sample.VMs) > 3) {
			t.Fatalf("%d serve of %d: %+v", n, len(b.sample.VMs), b.sample.VMs)
		}
	}
	p.until("one is new", func() bool {
		check(p)
		return p.decision.Refresh != nil && p.decision.Refresh.Updated == 1
	})
	id := p.decision.Refresh.ID
	if out := w.must("status", w.group, "--nats-url", p.url); !strings.Contains(out, "refresh running: 1 of ") ||
		!strings.Contains(out, "outdated") {
		t.Errorf("status says\n%s", out)
	}
	p.kill()
	p = w.start(of("next", ""))
	p.until("all are new", func() bool {
		check(p)
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone && len(p.sample.VMs) == 2
	})
	if p.decision.Refresh.ID != id {
		t.Errorf("another refresh was begun: %+v, want %s", p.decision.Refresh, id)
	}
	now := w.uuids()
	for _, vm := range w.vms() {
		if vm.Meta.Template != "next" {
			t.Errorf("%s is of template %s", vm.Name, vm.Meta.Template)
		}
	}
	for name, uuid := range old {
		if now[name] == uuid {
			t.Errorf("%s was not replaced", name)
		}
	}
	w.refused([]string{"refresh", w.group, "--nats-url", p.url}, "all 2 VMs", "--all")
	w.refused([]string{"refresh", w.group, "--checkpoints", "50%,20%", "--nats-url", p.url}, "found 20 after 50", "ascend")
	w.refused([]string{"refresh", w.group, "--pause", "--nats-url", p.url}, "no refresh goes on")
	p.stop()

	p = w.start(of("deaf", "boot_timeout: 20s\nrefresh:\n  max_failures: 0"))
	p.until("the new one fails, and the group is back", func() bool {
		check(p)
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshFailed && len(p.sample.VMs) == 2
	})
	if left := w.uuids(); !sameMap(left, now) {
		t.Errorf("there are %v, want %v", left, now)
	}
	p.until("none is retiring", func() bool {
		for _, vm := range p.sample.VMs {
			if vm.Retiring {
				return false
			}
		}
		return true
	})
	if out := w.must("events", w.group, "--nats-url", p.url); !strings.Contains(out, "back at template next") {
		t.Errorf("the history says\n%s", out)
	}
	if out := w.must("refresh", w.group, "--dry-run", "--nats-url", p.url); !strings.Contains(out, "would replace 2 VMs") {
		t.Errorf("a dry run says %q", out)
	}
	p.stop()

	p = w.start(of("next", "refresh:\n  start: manual\n  min_healthy: 0"))
	p.until("its VMs are known", func() bool { return p.decision.HasSample })
	out := w.must("refresh", w.group, "--all", "--max-surge", "0", "--wait", "--nats-url", p.url)
	if !strings.Contains(out, "refresh done: 2 of 2 VMs are up to date") {
		t.Errorf("the command says\n%s", out)
	}
	for name, uuid := range w.uuids() {
		if now[name] == uuid {
			t.Errorf("%s was not replaced", name)
		}
	}
	p.stop()
}

func sameMap(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

// addTemplate adds one to the pool.
func (w *world) addTemplate(name, file string) {
	w.t.Helper()
	if err := template.Upload(w.t.Context(), w.conn, template.Target{Pool: w.pool, Name: name}, file, nil); err != nil {
		w.t.Fatal(err)
	}
	w.templates = append(w.templates, template.VolumeName(name))
}
