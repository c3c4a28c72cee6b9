package actuator

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

func questionOf(ns ...int) *Question {
	q := Question{Hook: "jobs", Count: 1}
	for _, n := range ns {
		q.Candidates = append(q.Candidates, running(n))
	}
	return &q
}

func letsGo(ns ...int) bus.VictimsAnswer {
	a := bus.VictimsAnswer{V: bus.Version, VMs: []string{}}
	for _, n := range ns {
		a.VMs = append(a.VMs, vmOf(n, "", "").UUID)
	}
	return a
}

// A listener is asked once at a time, and about what it has not said lately.
func TestAsker(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.VictimHook = bus.VictimHook{Timeout: 5 * time.Second, Patience: time.Minute} })
	var k asker
	at := func(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }
	asks := func(when int, q *Question, want bool) {
		t.Helper()
		if got := k.next(q, at(when)); got != want {
			t.Errorf("after %d s: asked %v, want %v", when, got, want)
		}
	}
	answered := func(when int, q *Question, a bus.VictimsAnswer, err error, words ...string) {
		t.Helper()
		events := k.answered(spec, *q, a, err, at(when))
		if len(events) != len(words) {
			t.Fatalf("after %d s: events %v, want %q", when, events, words)
		}
		for i, e := range events {
			if e.Event != bus.EventBraked || !strings.Contains(e.Sentence, words[i]) {
				t.Errorf("after %d s: event %+v, want %q", when, e, words[i])
			}
		}
	}
	skips := func(when int, want bool) {
		t.Helper()
		if c := k.current(at(when)); c == nil || c.Skip != want {
			t.Errorf("after %d s: %+v, want skip %v", when, c, want)
		}
	}
	both := questionOf(1, 2)
	asks(0, nil, false)
	asks(0, both, true)
	asks(1, both, false) // it is being asked
	answered(2, both, letsGo(1), nil)
	asks(3, both, false)
	asks(3, questionOf(2), false) // which it has said
	if c := k.current(at(3)); c.Skip || !c.May[running(1).UUID] || c.May[running(2).UUID] {
		t.Errorf("it lets %+v go, want web-1", c)
	}
	asks(4, questionOf(1, 2, 3), true)
	answered(4, questionOf(1, 2, 3), letsGo(), nil, "hook:jobs lets none of 3 VMs go for now; it is asked again for up to 1m0s")
	asks(13, questionOf(1, 2, 3), false)
	asks(14, questionOf(1, 2, 3), true) // an answer holds for ten seconds
	answered(14, both, letsGo(), nil)   // which is said once
	skips(15, false)
	asks(64, both, true)
	answered(64, both, letsGo(), nil)
	skips(64, true)
	if got := k.troubles("web", at(65)); len(got) != 1 || !strings.Contains(got[0].Text, "has let no VM go for 1m0s") {
		t.Errorf("trouble %v", got)
	}
	asks(75, both, true)
	answered(75, both, letsGo(2), nil)
	if got := k.troubles("web", at(76)); got != nil {
		t.Errorf("after it decided: %v", got)
	}
	asks(86, both, true)
	answered(91, both, bus.VictimsAnswer{}, context.DeadlineExceeded)
	skips(92, true)
	if got := k.troubles("web", at(92)); len(got) != 1 || !strings.Contains(got[0].Text, "nobody answers for hook:jobs within 5s") {
		t.Errorf("trouble %v", got)
	}
	if got := k.troubles("web", at(92+30)); got != nil {
		t.Errorf("half a minute later, when nobody was too many since: %v", got)
	}
	// The end of a connection is no answer, and one that comes when nobody is too many says nothing later.
	asks(110, both, true)
	answered(111, both, bus.VictimsAnswer{}, context.Canceled)
	asks(112, both, true)
	asks(113, nil, false)
	answered(114, both, letsGo(1, 2), nil)
	asks(115, nil, false)
	if c := k.current(at(115)); c != nil {
		t.Errorf("after nobody was too many: %+v", c)
	}
}

// A listener that is asked about nobody has said something of all of them.
func TestChoiceCovers(t *testing.T) {
	none := (*Choice)(nil)
	if none.covers(Question{Candidates: []vm.VM{running(1)}}) {
		t.Error("nothing was said")
	}
}
