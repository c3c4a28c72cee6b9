package main

import (
	"errors"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What a group did is replayed beside its own policy and its shadows, and a group that nobody knows is named.
func TestReplayer(t *testing.T) {
	groups := parsedConfig(t, "groups: [{name: web, max: 4, policy: {shadow: predictive}}]").Groups
	from := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	var minutes []bus.Demand
	for i := range 30 {
		m := bus.Demand{V: bus.Version, Group: "web", Time: from.Add(time.Duration(i) * time.Minute), StepS: 10}
		for range 6 {
			m.Load, m.Ready, m.Owned = append(m.Load, new(1.5)), append(m.Ready, new(3)), append(m.Owned, new(3))
		}
		minutes = append(minutes, m)
	}
	replay := replayer(func() []bus.Group { return groups })
	r, err := replay(t.Context(), "web", minutes, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if r.Group != "web" || !r.From.Equal(from) || r.Minutes != 30 || len(r.Policies) != 3 {
		t.Fatalf("got %+v", r)
	}
	for i, want := range []string{"recorded", "own", "own:predictive"} {
		if p := r.Policies[i]; p.Policy != want || p.VMHours <= 0 || p.Cost <= 0 {
			t.Errorf("policy %d: %+v, want %s", i, p, want)
		}
	}
	if p := r.Policies[0]; p.VMHours < 1.4 || p.VMHours > 1.6 {
		t.Errorf("recorded are %.2f VM-hours, want those of 3 VMs for half an hour", p.VMHours)
	}
	var refused *bus.RefusedError
	if _, err = replay(t.Context(), "db", minutes, time.Second); !errors.As(err, &refused) || refused.Code != bus.RefusedUnknown {
		t.Errorf("of a group that there is not: %v", err)
	}
	if _, err = replay(t.Context(), "web", minutes[:0], time.Second); !errors.As(err, &refused) || refused.Code != bus.RefusedState {
		t.Errorf("without a past: %v", err)
	}
}
