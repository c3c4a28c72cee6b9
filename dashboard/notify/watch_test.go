package notify

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

func event(kind bus.EventType, vm string, seconds float64) bus.Event {
	return bus.Event{
		V: bus.Version, Group: "web", VM: vm, Event: kind, Sentence: "undone", Error: "start: no space left", Host: "kvm1",
		Time: modeltest.At(seconds),
	}
}

func texts(all []Message) (texts []string) {
	for _, m := range all {
		texts = append(texts, m.Text)
	}
	return texts
}

func TestWatchEventsAndDecisions(t *testing.T) {
	w, now := newWatch(modeltest.At(0)), modeltest.At(1)
	failed := event(bus.EventFailed, "web-3", 1)
	got := w.take(failed, now)
	if len(got) != 1 || got[0].Kind != "failed" || got[0].Severity != Critical || got[0].Group != "web" || got[0].VM != "web-3" ||
		got[0].Host != "kvm1" || got[0].Text != "web: failed: web-3: undone: start: no space left" || got[0].Count != 1 {
		t.Errorf("got %+v", got)
	}
	if again := w.take(failed, now); again != nil {
		t.Errorf("a duplicate gives %+v", again)
	}
	if other := newWatch(now).take(failed, now); other[0].ID != got[0].ID {
		t.Errorf("another process calls it %s, want %s", other[0].ID, got[0].ID)
	}
	if other := w.take(event(bus.EventFailed, "web-4", 1), now); other[0].ID == got[0].ID {
		t.Error("another event has the same ID")
	}

	hold, out, in := modeltest.Decision("web", 2), modeltest.Decision("web", 3), modeltest.Decision("web", 4)
	out.Direction, out.Current, out.Desired, out.Sentence = bus.Out, 2, 4, "scaling out: average 93 %"
	in.Direction, in.Current, in.Desired, in.Sentence = bus.In, 4, 3, "scaling in"
	old := out
	old.Seq = 1
	var kinds []Kind
	for _, d := range []bus.Decision{hold, out, in, old} {
		for _, m := range w.take(d, modeltest.At(4)) {
			kinds = append(kinds, m.Kind)
		}
	}
	if !slices.Equal(kinds, []Kind{ScaleOut, ScaleIn}) {
		t.Errorf("decisions give %v, want one for each change", kinds)
	}
	if got := w.take(modeltest.Sample("web", "kvm1", 5), modeltest.At(5)); got != nil {
		t.Errorf("a sample gives %+v", got)
	}
}

// What guests, libvirt or publishers say stays one harmless line of bounded length.
func TestTextsAreHarmless(t *testing.T) {
	e := event("\x1b[2J", "a\r\nBcc: x@example.org", 1)
	e.Error = strings.Repeat("長", 1000)
	got := newWatch(modeltest.At(0)).take(e, modeltest.At(1))[0]
	if strings.ContainsAny(got.Text+got.VM, "\r\n\x1b") || len(got.Text) > maxText+len("…") || got.Severity != Warning {
		t.Errorf("got %+v", got)
	}
}

func TestWatchStages(t *testing.T) {
	type step struct {
		at     float64
		ok     bool
		text   string
		silent bool // no sign of life at this moment
		bad    bool // no connection
		want   string
	}
	for name, steps := range map[string][]step{
		"well": {{at: 1, ok: true}, {at: 60, ok: true}},
		"not well for a moment": {
			{at: 1, text: "waiting for libvirt"},
			{at: 10, text: "waiting for libvirt"},
			{at: 12, ok: true},
			{at: 40, ok: true},
		},
		"not well, and well again": {
			{at: 1, text: "no space left"},
			{at: 10, text: "no space left"},
			{at: 17, text: "no space left for 16 s", want: "problem: decider kvm1-4711: no space left for 16 s"},
			{at: 18, text: "no space left for 17 s"},
			{at: 30, ok: true, want: "solved: decider kvm1-4711: well again: was: no space left for 16 s"},
			{at: 31, ok: true},
		},
		"silent": {
			{at: 1, ok: true},
			{at: 12, silent: true},
			{at: 28, silent: true, want: "problem: decider kvm1-4711: no sign of life"},
			{at: 30, ok: true, want: "solved: decider kvm1-4711: well again: was: no sign of life"},
		},
		"the bus is gone": {
			{at: 1, ok: true},
			{at: 12, silent: true, bad: true},
			{at: 30, silent: true, bad: true, want: "problem: bus: no connection to the bus"},
			{at: 31, silent: true, want: "solved: bus: well again: was: no connection to the bus"},
			{at: 33, silent: true},
			{at: 40, ok: true},
			{at: 60, ok: true},
		},
	} {
		w := newWatch(modeltest.At(0))
		for _, s := range steps {
			now := modeltest.At(s.at)
			if !s.silent {
				h := modeltest.Health("decider", s.at)
				h.OK, h.Message = s.ok, s.text
				w.take(h, now)
			}
			if got := strings.Join(texts(w.tick(!s.bad, now)), "|"); got != s.want {
				t.Errorf("%s, at %g: got %q, want %q", name, s.at, got, s.want)
			}
		}
	}
}

func TestFlood(t *testing.T) {
	f := newFlood()
	message := func(kind Kind, group string, n int) Message {
		return newMessage(Message{Kind: kind, Group: group, VM: fmt.Sprint(group, "-", n), Time: modeltest.At(float64(n))})
	}
	count := 0
	for n := range 60 { // one a second
		got := f.take(message("failed", "web", n), modeltest.At(float64(n)))
		if count += len(got); n == 0 && (len(got) != 1 || got[0].Count != 1) {
			t.Errorf("the first one gives %+v, want itself", got)
		}
	}
	if count != 1 {
		t.Errorf("within a minute there were %d messages, want one", count)
	}
	if got := f.take(message("died", "web", 60), modeltest.At(59)); len(got) != 1 {
		t.Errorf("another kind gives %+v, want itself", got)
	}
	if got := f.take(message("failed", "api", 60), modeltest.At(59)); len(got) != 1 {
		t.Errorf("another group gives %+v, want itself", got)
	}
	got := f.due(modeltest.At(60))
	if len(got) != 1 || got[0].Count != 59 || got[0].Text != "59 within 1m0s, the last: web: failed: web-59" {
		t.Errorf("after the minute there is %+v, want one that counts 59", got)
	}
	if got := f.due(modeltest.At(119)); got != nil {
		t.Errorf("got %+v, want none, as nothing came", got)
	}
	if got := f.due(modeltest.At(200)); got != nil || len(f.flows) != 0 {
		t.Errorf("got %+v and %d flows, want nothing left", got, len(f.flows))
	}
	if got := f.take(message("failed", "web", 201), modeltest.At(201)); len(got) != 1 || got[0].Count != 1 {
		t.Errorf("much later one gives %+v, want itself", got)
	}
}

// Whoever invents groups fills neither memory nor a mailbox.
func TestFloodOfGroups(t *testing.T) {
	f, sent := newFlood(), 0
	for n := range 5000 {
		sent += len(f.take(newMessage(Message{Kind: "failed", Group: fmt.Sprint(n), Time: modeltest.At(0)}), modeltest.At(0)))
	}
	if sent > maxFlows+1 || len(f.flows) > maxFlows+1 {
		t.Errorf("%d were sent, and %d are known", sent, len(f.flows))
	}
	if left := len(f.due(modeltest.At(61))); left != 1 {
		t.Errorf("%d messages for the rest, want one", left)
	}
}

// Every kind has a severity, and every default is a kind.
func TestKinds(t *testing.T) {
	for _, k := range DefaultKinds() {
		if !slices.Contains(Kinds(), k) {
			t.Errorf("%s is no kind", k)
		}
	}
	if Kind("of a later version").Severity() != Warning {
		t.Error("an unknown kind is not a warning")
	}
}

// Every lifecycle event can be chosen.
func TestKindsHaveAllEvents(t *testing.T) {
	source, err := os.ReadFile("../../bus/event.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`EventType += "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(found) < 20 {
		t.Fatalf("%d events were found: the search is broken", len(found))
	}
	for _, e := range found {
		if !slices.Contains(Kinds(), Kind(e[1])) {
			t.Errorf("the event %s has no severity", e[1])
		}
	}
}
