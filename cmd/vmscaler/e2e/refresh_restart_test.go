//go:build long

package e2e

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestRefreshRestarts: VMs whose definition alone has changed restart with their disks, also by a program that is killed while
// they do: each is the same VM afterwards, what its guest wrote is there, and it has the new memory and tags. With another
// template they are replaced, unless that is not allowed.
func TestRefreshRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTemplate("next", templateFile)
	of := func(more string) string { return w.config("min: 2\nmax: 3\nboot_timeout: 5m\n" + more) }
	p := w.start(of(""))
	p.untilReady(2)
	before, macs, files := w.uuids(), w.macs(), w.files()
	for name := range before {
		w.guestPrints(name, "echo kept by "+name+" > /kept && sync")
	}
	p.stop()

	const larger = "memory: 288MiB\ntags: [blue]\n"
	p = w.start(of(larger + "refresh: {start: manual, minimal_action: restart, most_disruptive: restart}"))
	p.until("its VMs are known", func() bool { return p.decision.HasSample && len(p.sample.VMs) == 2 })
	out := w.must("refresh", w.group, "--dry-run", "--nats-url", p.url)
	if !strings.Contains(out, "would restart 2 VMs with their disks") {
		t.Errorf("a dry run says %q", out)
	}
	all := []string{"--most-disruptive", "replace", "--minimal-action", "replace"}
	out = w.must(append([]string{"refresh", w.group, "--dry-run", "--nats-url", p.url}, all...)...)
	if !strings.Contains(out, "would replace 2 VMs") {
		t.Errorf("a dry run that replaces says %q", out)
	}
	p.stop()

	restarts := of(larger + "refresh: {minimal_action: restart, most_disruptive: restart}")
	p = w.start(restarts)
	p.within(2*patience, "a VM restarts", func() bool {
		for _, vm := range p.sample.VMs {
			if vm.Restarting {
				return true
			}
		}
		return false
	})
	p.kill()
	p = w.start(restarts)
	p.within(4*patience, "all have restarted", func() bool {
		n, _ := serving(p.sample)
		if len(p.sample.VMs) > 0 && (n < 1 || len(p.sample.VMs) > 2) {
			t.Fatalf("%d serve of %+v", n, p.sample.VMs)
		}
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone
	})
	if after := w.uuids(); !sameMap(before, after) || len(after) != 2 {
		t.Errorf("there are %v, want %v", after, before)
	}
	if after := w.macs(); !sameMap(macs, after) {
		t.Errorf("their MAC addresses are %v, want %v", after, macs)
	}
	if after := w.files(); strings.Join(after, " ") != strings.Join(files, " ") {
		t.Errorf("the files are %v, want %v", after, files)
	}
	for name := range before {
		if got, want := w.guestPrints(name, "cat /kept"), "kept by "+name+"\n"; got != want {
			t.Errorf("%s has %q on its disk, want %q", name, got, want)
		}
		dom := w.domain(name)
		if info, err := dom.GetInfo(); err != nil || info.MaxMem != 288<<10 {
			t.Errorf("%s: %+v, %v", name, info, err)
		}
		if text, err := dom.GetXMLDesc(0); err != nil || !strings.Contains(text, "<entry>vmscaler:tag=blue</entry>") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	p.stop()

	p = w.start(of(larger + "template: next\nrefresh: {start: manual, minimal_action: restart, most_disruptive: restart}"))
	p.until("its VMs are known", func() bool { return p.decision.HasSample && len(p.sample.VMs) == 2 })
	words := []string{"2 VMs would have to be replaced", "of template demo", "most_disruptive"}
	w.refused([]string{"refresh", w.group, "--nats-url", p.url}, words...)
	w.must("refresh", w.group, "--most-disruptive", "replace", "--nats-url", p.url)
	p.within(4*patience, "all are replaced", func() bool {
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone && len(p.sample.VMs) == 2
	})
	for name, uuid := range w.uuids() {
		if before[name] == uuid {
			t.Errorf("%s was not replaced", name)
		}
	}
	p.stop()
}
