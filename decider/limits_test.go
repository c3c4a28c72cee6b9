package decider

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func limited(change func(*bus.Limits)) func(*bus.Group) {
	return func(g *bus.Group) {
		g.Policy.CooldownIn, g.Policy.CooldownOut = 0, 0
		change(&g.Policy.Limits)
	}
}

// Each row is a recommendation and what becomes of it; desired begins at 4.
func TestLimits(t *testing.T) {
	type row struct {
		after int // seconds, since the row before
		want  int
		got   int
		guard bus.Guard
		left  int // seconds
	}
	for _, tt := range []struct {
		name   string
		change func(*bus.Limits)
		rows   []row
	}{
		{"tolerance", func(l *bus.Limits) { l.TolerancePercent = 25 }, []row{
			{0, 5, 4, bus.GuardTolerance, 0}, {1, 3, 4, bus.GuardTolerance, 0}, {1, 6, 6, "", 0}, {1, 4, 4, "", 0},
		}},
		{"stabilize in: the most of the window", func(l *bus.Limits) { l.StabilizeIn = 10 * time.Second }, []row{
			{0, 4, 4, "", 0}, {1, 2, 4, bus.GuardStabilize, 9}, {5, 3, 4, bus.GuardStabilize, 4}, {4, 1, 3, "", 0}, {1, 9, 9, "", 0},
		}},
		{"stabilize out: the least of the window", func(l *bus.Limits) { l.StabilizeOut = 10 * time.Second }, []row{
			{0, 4, 4, "", 0}, {1, 8, 4, bus.GuardStabilize, 9}, {5, 6, 4, bus.GuardStabilize, 4}, {4, 9, 6, "", 0}, {1, 1, 1, "", 0},
		}},
		{"it never reverses a recommendation", func(l *bus.Limits) { l.StabilizeIn = 10 * time.Second }, []row{
			{0, 9, 9, "", 0}, {1, 20, 20, "", 0}, {1, 3, 20, bus.GuardStabilize, 9}, {8, 3, 20, bus.GuardStabilize, 1}, {1, 3, 3, "", 0},
		}},
		{"rate out", func(l *bus.Limits) { l.RateOut, l.RateWindow = 3, 10*time.Second }, []row{
			{0, 9, 7, "", 0}, {5, 9, 7, bus.GuardRate, 5}, {5, 9, 9, "", 0}, {1, 4, 4, "", 0},
		}},
		{"rate in", func(l *bus.Limits) { l.RateIn, l.RateWindow = 1, 10*time.Second }, []row{
			{0, 1, 3, "", 0}, {9, 1, 3, bus.GuardRate, 1}, {1, 1, 2, "", 0}, {1, 9, 9, "", 0},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(bounds(1, 30), limited(tt.change))
			st, now := State{HasSample: true, Desired: 4}, t0
			for i, r := range tt.rows {
				now = now.Add(time.Duration(r.after) * time.Second)
				s, o := limitRecommendation(s, st, counts{ready: 4, readings: 4, sum: 4}, r.want, now)
				if o.allows != r.got || o.limitedBy != r.guard || o.wait != time.Duration(r.left)*time.Second {
					t.Fatalf("row %d: desired %d, guard %q, left %s, %q; want %+v", i, o.allows, o.limitedBy, o.wait, o.sentence(s), r)
				}
				before := st
				st = override(s, o).state(s, before)
			}
		})
	}
}

// Azure's example: what the VMs do now must fit those that stay.
func TestProjectionBeforeScaleIn(t *testing.T) {
	for _, tt := range []struct {
		average    float64
		want, got  int
		guard      bus.Guard
		predictive bool
		target     float64
		waits      float64 // for a core of the host, of the rest
	}{
		{average: 60, want: 3, got: 4, guard: bus.GuardProjection}, // 80 % of 3 is above 70 %
		{average: 50, want: 3, got: 3},
		{average: 50, want: 1, got: 3}, // as few as fit
		{average: 17, want: 1, got: 1},
		{average: 60, want: 3, got: 3, predictive: true},
		{average: 60, want: 3, got: 3, target: 85},                            // 80 % of 3 is what it is to have
		{average: 13, want: 3, got: 4, guard: bus.GuardProjection, waits: 82}, // full load on a saturated host
		{average: 13, want: 3, got: 3, waits: 20},
	} {
		s := spec(bounds(1, 30), limited(func(*bus.Limits) {}))
		if tt.predictive {
			s.Policy.Types = []bus.PolicyType{bus.PolicyPredictive}
		}
		if tt.target > 0 {
			s.Policy.Types, s.Policy.TargetPercent = []bus.PolicyType{bus.PolicyTarget}, tt.target
		}
		st := State{HasSample: true, Desired: 4}
		seen, o := limitRecommendation(
			s,
			st,
			counts{ready: 4, readings: 4, sum: 4 * tt.average, wanted: 4 * (tt.average + tt.waits)},
			tt.want,
			t0,
		)
		if o.allows != tt.got || o.limitedBy != tt.guard {
			t.Errorf("%+v: desired %d, guard %q, %q", tt, o.allows, o.limitedBy, o.sentence(seen))
		}
	}
}

func TestGuardsRememberLittle(t *testing.T) {
	var g LimitState
	l := bus.Limits{StabilizeIn: 24 * time.Hour, RateOut: 9, RateWindow: 24 * time.Hour}
	for i := range 5 * marks {
		now := t0.Add(time.Duration(i) * time.Second)
		g = g.want(l, 1+i%7, now)
		g = g.changed(l, 1, now)
	}
	if len(g.Wanted) > marks || len(g.Changes) > marks+1 {
		t.Errorf("%d recommendations, %d changes", len(g.Wanted), len(g.Changes))
	}
	for i := range 5 * marks {
		g = g.want(l, 3, t0.Add(25*time.Hour+time.Duration(i)*time.Second))
	}
	if len(g.Wanted) > 3 {
		t.Errorf("%d marks of one recommendation", len(g.Wanted))
	}
}

func TestHint(t *testing.T) {
	for _, tt := range []struct {
		rule  bus.Rule
		delay *float64
		want  string
	}{
		{
			bus.RuleAboveUpper, new(45.),
			"why; the host is saturated, its VMs wait 45 % of the time for a core: more VMs there do not help",
		},
		{bus.RuleAboveUpper, new(5.), "why"},
		{bus.RuleAboveUpper, nil, "why"},
		{bus.RuleStable, new(45.), "why"},
	} {
		s := situation{}
		s.spec, s.counts = spec(), counts{}
		if tt.delay != nil {
			s.counts.delay, s.counts.delays = *tt.delay, 1
		}
		if got := "why" + (recommendation{rule: tt.rule}).saturation(s); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.rule, got, tt.want)
		}
	}
}

func TestSchedule(t *testing.T) {
	at := func(hour, minute int) time.Time { return time.Date(2026, 3, 2, hour, minute, 0, 0, time.UTC) } // a Monday
	s := spec(bounds(1, 5), func(g *bus.Group) {
		g.Schedule = []bus.ScheduledAction{
			{
				At:      "0 8 * * MON-FRI",
				Zone:    "UTC",
				Min:     new(3),
				Max:     new(10),
				Desired: new(6),
			}, {At: "0 18 * * MON-FRI", Zone: "UTC", Min: new(1), Max: new(5)},
		}
	})
	st := State{}
	step := func(now time.Time, vms int) bus.Decision {
		var list []bus.VM
		for range vms {
			list = append(list, ready(50))
		}
		var d bus.Decision
		d, st = Decide(s, st, see(list...), now)
		return d
	}
	if d := step(at(7, 59), 2); d.Desired != 2 || d.Inputs.Min != 1 || d.Inputs.Max != 5 {
		t.Fatalf("%+v", d)
	}
	if d := step(at(8, 0), 2); d.Rule != bus.RuleBelowMin || d.Desired != 3 || d.Inputs.Max != 10 {
		t.Fatalf("at 8: %s, %d, %q", d.Rule, d.Desired, d.Sentence)
	}
	st = State{HasSample: true, Desired: 4, ScheduleSeenAt: at(7, 59)}
	if d := step(at(8, 0), 4); d.Rule != bus.RuleScheduled || d.Desired != 6 {
		t.Fatalf("at 8, with 4: %s, %d, %q", d.Rule, d.Desired, d.Sentence)
	}
	if d := step(at(8, 1), 6); d.Rule == bus.RuleScheduled || d.Desired != 6 {
		t.Fatalf("desired is set more than once: %s, %d", d.Rule, d.Desired)
	}
	if d := step(at(18, 0), 6); d.Rule != bus.RuleAboveMax || d.Desired != 5 {
		t.Fatalf("at 18: %s, %d", d.Rule, d.Desired)
	}
	fresh := State{HasSample: true, Desired: 5} // of a decider that has seen no schedule yet
	if d, _ := Decide(s, fresh, see(ready(50), ready(50), ready(50), ready(50), ready(50)), at(9, 0)); d.Rule == bus.RuleScheduled {
		t.Errorf("what was due before its time is done: %q", d.Sentence)
	}
	st.Controls.Set = map[string]string{"max": "5"} // by hand: s has it
	if d := step(at(18, 0).Add(15*time.Hour), 5); d.Inputs.Max != 5 || d.Inputs.Min != 3 {
		t.Errorf("the schedule overrules what a person has set: %+v", d.Inputs)
	}
}

// A time of the day that daylight saving skips or repeats sets desired once, at the right moment, and not again in the
// hour that comes twice.
func TestScheduleWhenTheClockChanges(t *testing.T) {
	for _, tt := range []struct{ name, at, zone, from, due string }{
		{"skipped", "30 2 * * *", "Europe/Berlin", "2027-03-28T01:50:00+01:00", "2027-03-28T03:00:00+02:00"},
		{"twice", "30 2 * * *", "Europe/Berlin", "2027-10-31T01:50:00+02:00", "2027-10-31T02:30:00+02:00"},
		{"half an hour skipped", "15 2 * * *", "Australia/Lord_Howe", "2027-10-03T01:30:00+10:30", "2027-10-03T02:30:00+11:00"},
		{"half an hour twice", "45 1 * * *", "Australia/Lord_Howe", "2027-04-04T01:20:00+11:00", "2027-04-04T01:45:00+11:00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			from, err := time.Parse(time.RFC3339, tt.from)
			if err != nil {
				t.Fatal(err)
			}
			s := spec(bounds(1, 9))
			s.Schedule = []bus.ScheduledAction{{At: tt.at, Zone: tt.zone, Desired: new(3)}}
			st := State{HasSample: true, Desired: 3}
			var due []string
			for now := from; now.Before(from.Add(3 * time.Hour)); now = now.Add(10 * time.Second) {
				if len(due) == 1 { // what a person changes in between is not undone
					st.Desired = 4
				}
				var d bus.Decision
				d, st = Decide(s, st, see(ready(50), ready(50), ready(50)), now)
				if d.Rule == bus.RuleScheduled {
					due = append(due, now.UTC().Format(time.RFC3339))
				}
			}
			want, err := time.Parse(time.RFC3339, tt.due)
			if err != nil {
				t.Fatal(err)
			}
			if len(due) != 1 || due[0] != want.UTC().Format(time.RFC3339) {
				t.Errorf("set at %v, want once at %s", due, want.UTC())
			}
			if st.Desired != 4 {
				t.Errorf("desired %d, want the person's 4", st.Desired)
			}
		})
	}
}

// A schedule that is paused stands where it did; what has come due meanwhile is skipped, and then min and max are as it says.
func TestPausedSchedule(t *testing.T) {
	at := func(hour, minute int) time.Time { return time.Date(2026, 5, 4, hour, minute, 0, 0, time.UTC) }
	s := spec(func(g *bus.Group) {
		g.Schedule = []bus.ScheduledAction{
			{At: "0 6 * * *", Zone: "UTC", Min: new(2)}, {At: "0 8 * * *", Zone: "UTC", Min: new(3), Desired: new(4)},
		}
	})
	st := State{HasSample: true, Desired: 2, ScheduleSeenAt: at(7, 0)}
	pause := bus.Controls{Paused: []bus.Scope{bus.ScopeSchedule}}
	pause.ScheduleAt = scheduleAt(st.Controls, pause, at(7, 30))
	for _, tt := range []struct {
		now           time.Time
		controls      bus.Controls
		least, desire int
	}{
		{at(7, 30), pause, 2, 2},
		{at(8, 0), pause, 2, 2},
		{at(9, 0), pause, 2, 2},
		{at(9, 1), bus.Controls{}, 3, 3},
		{at(9, 2), bus.Controls{}, 3, 3},
	} {
		st.Controls = tt.controls
		var d bus.Decision
		d, st = Decide(s, st, see(ready(50), ready(50), ready(50)), tt.now)
		if d.Inputs.Min != tt.least || d.Desired != tt.desire {
			t.Errorf("%s: min %d, desired %d, want %d and %d: %s", tt.now, d.Inputs.Min, d.Desired, tt.least, tt.desire, d.Sentence)
		}
	}
	later := pause
	later.Paused = []bus.Scope{bus.ScopeIn, bus.ScopeSchedule}
	if got := scheduleAt(pause, later, at(10, 0)); !got.Equal(at(7, 30)) {
		t.Errorf("paused further at %s", got)
	}
	if got := scheduleAt(pause, bus.Controls{}, at(10, 0)); got != nil {
		t.Errorf("resumed, and paused since %s", got)
	}
}
