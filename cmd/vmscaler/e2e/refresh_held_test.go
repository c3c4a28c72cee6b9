//go:build long

package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// withoutRoom has a config keep more of the host's memory free than it has.
func withoutRoom(t *testing.T, config string) string {
	t.Helper()
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "pool_reserve: 0MiB", "memory_reserve: 16384GiB", 1)
	if err := os.WriteFile(config, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	return config
}

// serving are the VMs that serve, and which of them another is to take the place of.
func serving(s bus.Sample) (n int, retiring map[string]bool) {
	retiring = map[string]bool{}
	for _, vm := range s.VMs {
		if vm.Phase.Serves() && vm.State == bus.StateRunning {
			n++
			if vm.Retiring {
				retiring[vm.Name] = true
			}
		}
	}
	return n, retiring
}

// TestRefreshOnAFullHost: where the host has no room for the new ones, the old ones serve on, whichever way they are to be
// replaced, and it says why with numbers. Once there is room the refresh goes on.
func TestRefreshOnAFullHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTemplate("next", templateFile)
	p := w.start(w.config("min: 2\nmax: 3\nboot_timeout: 5m"))
	p.untilReady(2)
	old := w.uuids()
	p.stop()

	held := func(config, says string) {
		t.Helper()
		p := w.start(withoutRoom(t, config))
		if e := p.heard("", bus.EventRefused); !containsAll(e.Sentence, says, "memory_reserve 16777216") {
			t.Errorf("event %+v", e)
		}
		p.until("health says it, and the refresh goes on", func() bool {
			n, _ := serving(p.sample)
			a := p.stages["actuator"]
			return n == 2 && !a.OK && strings.Contains(a.Message, "no room") && p.decision.Refresh.Active()
		})
		p.stop()
		if now := w.uuids(); !sameMap(old, now) || len(now) != 2 {
			t.Errorf("there are %v, want %v", now, old)
		}
	}
	done := func(config string) {
		t.Helper()
		p := w.start(config)
		p.within(2*patience, "all are new", func() bool {
			return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone && len(p.sample.VMs) == 2
		})
		p.stop()
	}
	next := "min: 2\nmax: 3\nboot_timeout: 5m\ntemplate: next\n"
	held(w.config(next), "no room for 1 more")
	done(w.config(next))
	for _, vm := range w.vms() {
		if vm.Meta.Template != "next" {
			t.Errorf("%s is of template %s", vm.Name, vm.Meta.Template)
		}
	}

	old = w.uuids()
	larger := next + "memory: 288MiB\nrefresh:\n  strategy: reimage\n"
	held(w.config(larger), "no room for new disks of "+w.group)
	for name := range old {
		if info, err := w.domain(name).GetInfo(); err != nil || info.Memory != 256<<10 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
	done(w.config(larger))
	if now := w.uuids(); !sameMap(old, now) {
		t.Errorf("there are %v, want %v", now, old)
	}
	for name := range old {
		if info, err := w.domain(name).GetInfo(); err != nil || info.MaxMem != 288<<10 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
	}
}

// TestLoadDuringARefresh: load that comes in the middle of a refresh is answered first: the group grows, and until it has no VM
// retires beside those that did. Then the refresh ends, and never fewer serve than before. The load is a metric, so that it does
// not matter how much of the host the VMs get.
func TestLoadDuringARefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTemplate("next", templateFile)
	of := func(name string) string {
		return w.config("min: 2\nmax: 4\nboot_timeout: 5m\ntemplate: " + name +
			"\npolicy: {type: target, signal: metric, metric: requests, metric_target: 100, metric_max_age: 1h}")
	}
	p := w.start(of("demo"))
	p.untilReady(2)
	p.stop()

	p = w.start(of("next"))
	load := func(value string) { w.must("metric", w.group, "requests", value, "--nats-url", p.url) }
	var first map[string]bool
	p.until("one retires", func() bool {
		_, first = serving(p.sample)
		return len(first) == 1
	})
	load("290")
	few := func() {
		t.Helper()
		if n, _ := serving(p.sample); n < 2 || len(p.sample.VMs) > 4 {
			t.Fatalf("%d serve of %+v", n, p.sample.VMs)
		}
	}
	p.until("it grows", func() bool { few(); return p.decision.Desired == 3 })
	p.within(2*patience, "three serve beside those that retire", func() bool {
		few()
		n, retiring := serving(p.sample)
		for name := range retiring {
			if !first[name] && n-len(retiring) < 2 {
				t.Fatalf("%s retires while the group lacks VMs: %+v", name, p.sample.VMs)
			}
		}
		return n-len(retiring) >= 3
	})
	if !p.decision.Refresh.Active() {
		t.Errorf("the refresh ended before the group had grown: %+v", p.decision.Refresh)
	}
	p.within(3*patience, "all are new", func() bool { few(); return p.decision.Refresh.Phase == bus.RefreshDone })
	p.stop()
	for _, vm := range w.vms() {
		if vm.Meta.Template != "next" {
			t.Errorf("%s is of template %s", vm.Name, vm.Meta.Template)
		}
	}
}
