package staging

import (
	"fmt"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Hosts that hand out as much as they may are waited for: that is no failure, is not told, and does not make the waits longer.
func TestBusyHostsAreWaitedFor(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ear(t, &now)
	l.says("a", "1", offering("a", "web", digestA, bus.TemplateReady))
	w := Wanted{"web", digestA}
	stand := func() bus.HostTemplate { return l.stand(t.Context(), w, l.heard(now), now) }
	for round := range 5 {
		if got := stand(); got.State != bus.TemplateFetching || l.transfers["web"] == nil {
			t.Fatalf("round %d: %+v, want it to be fetched", round, got)
		}
		e := <-l.ends
		e.problem = &problem{busy: true}
		l.end(e)
		now = now.Add(busyAfter - 1)
		l.says("a", "1", offering("a", "web", digestA, bus.TemplateReady))
		if got := stand(); got.State != bus.TemplateFetching || l.transfers["web"] != nil || len(l.failures) > 0 {
			t.Fatalf("round %d: %+v with failures %+v, want it to wait", round, got, l.failures)
		}
		now = now.Add(1)
	}
	if told := l.Told(); len(told) != 1 || told[0].Error != "" {
		t.Errorf("told %+v, want only that it is fetched", told)
	}
}

// Templates that are the same file come one after the other, as both go by the file's digest on the way.
func TestOneFileOfTwoNames(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ear(t, &now)
	a := offering("a", "web", digestA, bus.TemplateReady)
	for _, name := range []string{"db", "other"} {
		p := offering("a", name, map[string]string{"db": digestA, "other": digestB}[name], bus.TemplateReady)
		a.templates = append(a.templates, p.templates...)
	}
	l.says("a", "1", a)
	stand := func(name, digest string) bus.HostTemplate {
		return l.stand(t.Context(), Wanted{name, digest}, l.heard(now), now)
	}
	stand("web", digestA)
	if got := stand("db", digestA); got.State != bus.TemplateFetching || l.transfers["db"] != nil {
		t.Fatalf("the second: %+v, with %d on their way, want it to wait", got, len(l.transfers))
	}
	if stand("other", digestB); l.transfers["other"] == nil {
		t.Fatal("another file waits, too")
	}
	for range 2 {
		e := <-l.ends
		e.problem = nil
		l.end(e)
	}
	if stand("db", digestA); l.transfers["db"] == nil {
		t.Error("it does not come once the first is here")
	}
}

// An answer that there is no time now is told apart from a host that cannot be reached.
func TestBusyHostIsNamed(t *testing.T) {
	s := &site{t: t}
	a := s.host("a")
	digest := a.has("web", image(0, 2))
	s.start(a, Wanted{"web", ""})
	s.until("a offers it", func() bool { return a.ready("web") && a.Serves().Addresses != nil })
	for i := range transfers {
		if !a.beginSending(fmt.Sprint(i)) {
			t.Fatalf("transfer %d is one too many", i)
		}
	}
	b := s.add("b")
	s.until("b hears a", func() bool { return b.knows(a.Serves().Fingerprint) && a.knows(b.Serves().Fingerprint) })
	on := &transfer{name: "web", source: source{digest: digest}}
	if _, p := b.fetch(t.Context(), on); p == nil || !p.busy {
		t.Errorf("%+v, want that it is busy", p)
	}
}
