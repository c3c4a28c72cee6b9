package bus

import (
	"strings"
	"testing"
)

func TestSameHealth(t *testing.T) {
	in := func(message string, problems ...Problem) *Health {
		return &Health{Message: message, Problems: problems}
	}
	late := Problem{ProblemIncompleteSamples, "web"}
	for _, tt := range []struct {
		name string
		a, b *Health
		same bool
	}{
		{"well", &Health{OK: true}, &Health{OK: true}, true},
		{"well and not", &Health{OK: true, Message: "x"}, in("x"), false},
		{"it lasts", in("no sample for 9 s", late), in("no sample for 10 s", late), true},
		{"of another group", in("x", late), in("x", Problem{ProblemIncompleteSamples, "db"}), false},
		{"another one too", in("x", late), in("x", late, Problem{ProblemNoRoom, "web"}), false},
		{"without problems, the words count", in("connection refused"), in("connection reset"), false},
		{"no problem named any more", in("x", late), in("x"), false},
	} {
		if got := tt.a.Same(tt.b); got != tt.same {
			t.Errorf("%s: %v", tt.name, got)
		}
		if got := tt.b.Same(tt.a); got != tt.same {
			t.Errorf("%s, the other way: %v", tt.name, got)
		}
	}
}

func TestTroubles(t *testing.T) {
	var all Troubles
	if all.Err() != nil || all.Problems() != nil {
		t.Errorf("of none: %v, %v", all.Err(), all.Problems())
	}
	all.Add(ProblemSuspended, "web-1", "web-1 is paused")
	all.Add(ProblemDamagedMetadata, strings.Repeat("a\n", 100), "odd")
	if got := all.Err().Error(); got != "web-1 is paused; odd" {
		t.Errorf("in words: %q", got)
	}
	h := Health{Stage: "actuator", Instance: "h-1", Problems: all.Problems()}
	if err := h.bounds(); err != nil || h.Problems[0] != (Problem{ProblemSuspended, "web-1"}) {
		t.Errorf("%+v: %v", h.Problems, err)
	}
	for range 2 * maxProblems {
		all.Add(ProblemSuspended, "web-2", "")
	}
	if got := len(all.Problems()); got != maxProblems {
		t.Errorf("%d are named, want at most %d", got, maxProblems)
	}
	h.Problems = make([]Problem, maxProblems+1)
	if h.bounds() == nil {
		t.Error("more are taken")
	}
}
