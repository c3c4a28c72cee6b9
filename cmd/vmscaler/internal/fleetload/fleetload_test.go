package fleetload

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func TestPlan(t *testing.T) {
	good := Plan{Hosts: 10, VMs: 5, Connections: 2, Interval: time.Second, Length: time.Second}
	for _, tt := range []struct {
		change func(*Plan)
		want   string // of the error; "": none
		groups int
	}{
		{func(*Plan) {}, "", 1},
		{func(p *Plan) { p.Hosts = 257 }, "", 2},
		{func(p *Plan) { p.Groups = 10 }, "", 10},
		{func(p *Plan) { p.Groups = 11 }, "groups: found 11, want 1 to 10", 0},
		{func(p *Plan) { p.Hosts, p.Groups = 600, 2 }, "groups: found 2 for 600 hosts, want 3 or more", 0},
		{func(p *Plan) { p.Hosts = 0 }, "hosts: found 0", 0},
		{func(p *Plan) { p.Hosts, p.VMs = 10_000, 101 }, "found 1010000 VMs in all", 0},
		{func(p *Plan) { p.VMs = 10_001 }, "vms: found 10001", 0},
		{func(p *Plan) { p.Connections = 0 }, "connections: found 0", 0},
		{func(p *Plan) { p.Interval = time.Millisecond }, "interval: found 1ms", 0},
		{func(p *Plan) { p.Length = time.Millisecond }, "seconds: found 0.001", 0},
	} {
		p := good
		tt.change(&p)
		p, err := p.complete()
		switch {
		case tt.want == "" && (err != nil || p.Groups != tt.groups):
			t.Errorf("%+v: got %d groups, %v, want %d", p, p.Groups, err, tt.groups)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%+v: got error %v, want one with %q", p, err, tt.want)
		}
	}
}

// TestRun has ten hosts with five VMs each: every sample is taken, and every decision is by samples that were sent before it.
func TestRun(t *testing.T) {
	plan := Plan{Hosts: 10, VMs: 5, Groups: 2, Connections: 3, Interval: 200 * time.Millisecond, Length: time.Second}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	begun, ended := false, false
	r, err := Run(ctx, plan, Hooks{func() { begun = true }, func() { ended = true }}, zerolog.Nop())
	if err != nil || !begun || !ended {
		t.Fatalf("got %v, want a report, and to hear that the measuring began and was over: %v, %v", err, begun, ended)
	}
	switch {
	case r.Samples < plan.Hosts || r.Taken != r.Samples:
		t.Errorf("%d samples were sent and %d taken, want at least one of each host, and all taken", r.Samples, r.Taken)
	case r.Decisions < 1 || r.SampleDecided.N != r.Decisions || r.SampleAge.N != r.Decisions*plan.Hosts/plan.Groups:
		t.Errorf("of %d decisions %d are measured, and %d samples in them, want all, with those of the 5 hosts of a group",
			r.Decisions, r.SampleDecided.N, r.SampleAge.N)
	case r.Unattended != 0:
		t.Errorf("%d hosts give no sign of life", r.Unattended)
	}
	for name, q := range map[string]Quantiles{"taken": r.SampleTaken, "decided": r.SampleDecided, "age": r.SampleAge} {
		if q.P50 <= 0 || q.P99 < q.P50 || q.Max < q.P99 {
			t.Errorf("%s: got %+v, want times above 0 in order", name, q)
		}
	}
	if r.SampleAge.Max < r.SampleDecided.Max || r.SampleBytes <= 0 || r.DecisionBytes <= 0 || r.CPUPerVMUS <= 0 {
		t.Errorf("got %+v, want every figure, and no decision older than a sample of it", r)
	}
}

func TestRunIsInterrupted(t *testing.T) {
	plan := Plan{Hosts: 2, VMs: 1, Connections: 1, Interval: 200 * time.Millisecond, Length: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Run(ctx, plan, Hooks{cancel, func() {}}, zerolog.Nop())
	if err != nil || r.Hosts != 2 {
		t.Errorf("got %+v, %v, want what was measured until then", r, err)
	}
	if _, err := Run(ctx, plan, Hooks{}, zerolog.Nop()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it is interrupted before it began", err)
	}
}
