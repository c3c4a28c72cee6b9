package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
)

func decision(rule bus.Rule, guard bus.Guard, change func(*bus.Decision)) *bus.Decision {
	d := &bus.Decision{
		Group: "web", Direction: bus.Hold, Current: 2, Desired: 2, Rule: rule, Guard: guard, HasSample: true, Sentence: "because",
		Time: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC),
		Inputs: bus.Inputs{
			AveragePercent: new(50.), ProjectedPercent: new(40.), UpperPercent: 70, LowerPercent: 20, Min: 1, Max: 5, Owned: 2, Ready: 2,
		},
	}
	if change != nil {
		change(d)
	}
	return d
}

// Each way to hold has an answer to what would change it.
func TestEachHoldIsExplained(t *testing.T) {
	for _, tt := range []struct {
		d    *bus.Decision
		step string // a part of the table
		why  string // a part of what would change it
	}{
		{decision(bus.RuleNoData, "", nil), "rule no-data wants 2 because", "first complete sample"},
		{decision(bus.RuleBlind, "", nil), "rule blind", "first complete sample"},
		{decision(bus.RuleMismatch, "", nil), "rule mismatch", "same file"},
		{
			decision(bus.RuleNoneReady, "", func(d *bus.Decision) { d.Inputs.AveragePercent, d.Inputs.ProjectedPercent = nil, nil }),
			"CPU nothing is decided on it unknown", "first CPU reading",
		},
		{decision(bus.RuleManual, "", nil), "rule manual wants 2", "`vmscaler scale web --release`"},
		{
			decision(bus.RuleStable, "", nil), "policy threshold wants 2 stable (upper 70 %, lower 20 %)",
			"above 70 %: a load of more than 1.4 VMs, now 1.0",
		},
		{decision(bus.RuleStable, "", nil), "CPU  average 50 %", "below 20 %: a load of less than 0.4 VMs"},
		{decision(bus.RuleAboveUpper, bus.GuardAtMax, nil), "guard at-max held it back max 5", "only a higher max"},
		{decision(bus.RuleBelowLower, bus.GuardAtMin, nil), "guard at-min held it back min 1", "only a lower min"},
		{decision(bus.RuleBelowLower, bus.GuardAtMin, func(d *bus.Decision) {
			d.Inputs.Min, d.Inputs.IdleMS, d.Inputs.IdleToZeroMS = 0, new(int64(240_000)), 900_000
		}), "guard at-min held it back min 0; its last VM is idle for 4m0s", "goes once it had nothing to do for 15m0s (idle_to_zero)"},
		{decision(bus.RuleBelowLower, bus.GuardAtMin, func(d *bus.Decision) {
			d.Inputs.Min, d.Inputs.IdleToZeroMS, d.Inputs.WokenUntil = 0, 900_000, new(d.Time.Add(time.Hour))
		}), "min 0", "not before 2026-05-04T13:00:00Z, as the group was woken"},
		{decision(bus.RuleBelowLower, bus.GuardAtMin, func(d *bus.Decision) { d.Inputs.Min = 0 }), "", "idle_to_zero is never"},
		{
			decision(bus.RuleAsleep, "", func(d *bus.Decision) { d.Desired, d.Inputs.Metric = 0, "jobs" }), "rule asleep wants 0",
			"as soon as its metric jobs is above 0",
		},
		{decision(bus.RuleAsleep, "", func(d *bus.Decision) { d.Desired = 0 }), "", "a request on vmscaler.wake.web"},
		{
			decision(bus.RuleIdle, "", func(d *bus.Decision) { d.Desired = 0 }), "rule idle wants 0",
			"`vmscaler wake web` calls that off",
		},
		{
			decision(bus.RuleBelowLower, bus.GuardAtMin, nil), "",
			"it grows with an average above 70 %: a load of more than 1.4 VMs, now 1.0",
		},
		{
			decision(bus.RuleBelowLower, bus.GuardAtMin, func(d *bus.Decision) { d.Inputs.Breaches, d.Inputs.BreachesNeeded = 42, 5 }),
			"for 42 evaluations in a row, 5 needed", "only a lower min",
		},
		{decision(bus.RuleAboveUpper, bus.GuardPaused, func(d *bus.Decision) {
			d.Controls = bus.Controls{Paused: []bus.Scope{bus.ScopeOut, bus.ScopeIn, bus.ScopeRepair}, By: "ann@kvm1"}
		}), "out, in and repair are paused, by ann@kvm1", "`vmscaler resume web`"},
		{
			decision(bus.RuleAboveUpper, bus.GuardComing, func(d *bus.Decision) { d.Inputs.Launching = 1 }),
			"guard capacity-coming held it back 1 VM pending", "still above 70 %",
		},
		{decision(bus.RuleBelowLower, bus.GuardHost, nil), "guard host held it back because", "vmscaler host remove HOST"},
		{
			decision(bus.RuleBelowLower, bus.GuardUnknownCPU, func(d *bus.Decision) { d.Inputs.Unknown = 1 }),
			"guard unknown-cpu held it back 1 ready VM without", "CPU of all 2 ready VMs",
		},
		{
			decision(bus.RuleAboveUpper, bus.GuardBreaches, func(d *bus.Decision) { d.Inputs.Breaches, d.Inputs.BreachesNeeded = 1, 3 }),
			"guard breaches held it back for 1 evaluation in a row, 3 needed", "after 2 more evaluations like",
		},
		{
			decision(bus.RuleAboveUpper, bus.GuardCooldown, func(d *bus.Decision) { d.Inputs.CooldownMS = 90_000 }),
			"guard cooldown held it back 90.0 s left", "not before 2026-05-04 12:01:30",
		},
		{decision(bus.RuleAboveUpper, bus.GuardPaused, func(d *bus.Decision) {
			d.Controls = bus.Controls{Paused: []bus.Scope{bus.ScopeOut}, By: "ann@kvm1"}
		}), "guard paused held it back out is paused, by ann@kvm1", "`vmscaler resume web`"},
		{decision(bus.RulePolicy, "", func(d *bus.Decision) {
			d.Recommendations = []bus.Recommendation{{Policy: bus.PolicyPredictive, Desired: 2, Sentence: "load 1.0 VMs"}}
		}), "policy predictive wants 2 load 1.0 VMs", "wants more than 2, and shrinks once all want fewer: " +
			"predictive wants 2 now (load 1.0 VMs)"},
		{decision(bus.RulePolicy, "", func(d *bus.Decision) {
			d.Recommendations = []bus.Recommendation{{Policy: bus.PolicyPredictive, Desired: 2, Sentence: "load 1.0 VMs"}}
			d.Shadow = []bus.Recommendation{{Policy: bus.PolicyStep, Desired: 4, Sentence: "average 95 %"}}
		}), "shadow step would want 4 average 95 %", "predictive wants 2 now (load 1.0 VMs)"},
		{decision(bus.RulePolicy, "", func(d *bus.Decision) {
			d.Inputs.TargetPercent = 60
			d.Recommendations = []bus.Recommendation{
				{Policy: bus.PolicyTarget, Desired: 2, Sentence: "as it is"}, {Policy: bus.PolicyStep, Desired: 2},
			}
		}), "policy target wants 2", "target wants more above an average of 60 %, a load of 1.2 VMs, and fewer once the load " +
			"fits fewer; now 50 %, 1.0 VMs (as it is); step wants more above an average of 70 %, and fewer below 20 %; now 50 %"},
		{decision(bus.RulePolicy, bus.GuardTolerance, nil), "guard tolerance held it back because", "more than the tolerance from 2"},
		{decision(bus.RulePolicy, bus.GuardProjection, nil), "guard projection held it back because", "now it is 1.0 VMs"},
		{
			decision(bus.RulePolicy, bus.GuardStabilize, func(d *bus.Decision) { d.Inputs.CooldownMS = 60_000 }),
			"guard stabilization held it back because", "not before 2026-05-04 12:01:00",
		},
		{
			decision(bus.RulePolicy, bus.GuardRate, func(d *bus.Decision) { d.Inputs.CooldownMS = 60_000 }),
			"guard rate held it back because", "not before 2026-05-04 12:01:00",
		},
	} {
		t.Run(fmt.Sprintf("%s %s", tt.d.Rule, tt.d.Guard), func(t *testing.T) {
			e := New(tt.d, nil, time.UTC)
			var table strings.Builder
			for _, s := range e.Steps {
				fmt.Fprintln(&table, s.What, s.Effect, s.Found)
			}
			if !strings.Contains(table.String(), tt.step) {
				t.Errorf("no %q in\n%s", tt.step, &table)
			}
			if why := strings.Join(e.WhyNot, "\n"); !strings.Contains(why, tt.why) {
				t.Errorf("no %q in\n%s", tt.why, why)
			}
			if want := "web, at 2026-05-04 12:00:00: because"; e.Result != want {
				t.Errorf("result %q, want %q", e.Result, want)
			}
		})
	}
}

// The steps are the guards, in the order of the decision itself.
func TestGuardsAreInTheirOrder(t *testing.T) {
	if len(found) != len(decider.Limits()) {
		t.Errorf("%d guards are explained, of %d", len(found), len(decider.Limits()))
	}
	for _, guard := range decider.Limits() {
		if found[guard] == nil {
			t.Errorf("%s is not explained", guard)
			continue
		}
		d := decision(bus.RuleBelowLower, guard, func(d *bus.Decision) {
			d.Inputs.Unknown, d.Inputs.Launching, d.Inputs.Breaches, d.Inputs.BreachesNeeded = 1, 1, 1, 2
			d.Controls.Paused = []bus.Scope{bus.ScopeIn}
		})
		order := -1
		for _, s := range New(d, nil, time.UTC).Steps {
			if name, is := strings.CutPrefix(s.What, "guard "); is {
				at := slices.Index(decider.Limits(), bus.Guard(name))
				if at <= order {
					t.Errorf("%s: guard %s comes late", guard, name)
				}
				order = at
			}
		}
	}
}

func TestChangeNeedsNoWhyNot(t *testing.T) {
	e := New(decision(bus.RuleAboveUpper, "", func(d *bus.Decision) { d.Direction, d.Desired = bus.Out, 3 }), nil, time.UTC)
	if len(e.WhyNot) > 0 {
		t.Errorf("%q", e.WhyNot)
	}
	if last := e.Steps[len(e.Steps)-1]; last != (Step{"result", "out, was 2", "desired 3"}) {
		t.Errorf("%+v", last)
	}
}

func TestHeldByTheActuator(t *testing.T) {
	at := time.Date(2026, 5, 4, 11, 0, 0, 0, time.UTC)
	refused := bus.Event{Event: bus.EventRefused, Sentence: "no room for 1 more: memory", Time: at}
	braked := bus.Event{Event: bus.EventBraked, Sentence: "launching failed 5 times in a row", Time: at}
	made, gone, other := bus.Event{Event: bus.EventCreating}, bus.Event{Event: bus.EventDraining}, bus.Event{Event: bus.EventReady}
	short := decision(bus.RuleStable, "", func(d *bus.Decision) { d.Desired = 3 })
	for _, tt := range []struct {
		d      *bus.Decision
		events []bus.Event
		want   string
	}{
		{short, nil, ""},
		{short, []bus.Event{made, refused, other}, "no room"},
		{short, []bus.Event{refused, braked}, "launching failed"},
		{short, []bus.Event{refused, made}, ""},
		{short, []bus.Event{braked, gone}, ""},
		{decision(bus.RuleStable, "", nil), []bus.Event{refused}, ""}, // it has what it wants
	} {
		held := Held(tt.d, tt.events)
		if (held == nil) != (tt.want == "") || held != nil && !strings.Contains(held.Sentence, tt.want) {
			t.Errorf("%+v: %+v, want %q", tt.events, held, tt.want)
		}
	}
	e := New(short, &refused, time.UTC)
	if s := e.Steps[len(e.Steps)-2]; s != (Step{
		"actuator refused", "no room for 1 more: memory, since 2026-05-04 11:00:00",
		"held it back",
	}) {
		t.Errorf("%+v", s)
	}
	if last := e.WhyNot[len(e.WhyNot)-1]; last != "it has 2 of 3 VMs: the rest once this ends: no room for 1 more: memory" {
		t.Errorf("%q", last)
	}
}

// What a person wants of a VM is a part of what a group does, too.
func TestOrdersAreExplained(t *testing.T) {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	d := &bus.Decision{Group: "web", Rule: bus.RuleStable, HasSample: true, Desired: 3, Current: 3, Orders: map[string]bus.VMOrder{
		"1": {VM: "web-1", Verb: bus.VMReplace, By: "ann@kvm1", Reason: "slow", At: at},
	}}
	want := Step{"order for web-1", `another is to take its place, by ann@kvm1 ("slow"), since 2026-05-04 12:00:00`, "replace"}
	if e := New(d, nil, time.UTC); !slices.Contains(e.Steps, want) {
		t.Errorf("the steps are %+v, want %+v among them", e.Steps, want)
	}
}

// A refresh that goes on is a part of what a group does; one that is over is not.
func TestRefreshIsExplained(t *testing.T) {
	since := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	r := &bus.Refresh{Phase: bus.RefreshRunning, Sentence: "1 of 3 VMs are up to date", Updated: 1, Outdated: 2, Since: since}
	want := Step{"refresh", "running since 2026-05-04 12:00:00: 1 of 3 VMs are up to date", "1 of 3 are up to date"}
	d := &bus.Decision{Group: "web", Rule: bus.RuleStable, HasSample: true, Desired: 3, Current: 3, Refresh: r}
	if e := New(d, nil, time.UTC); !slices.Contains(e.Steps, want) {
		t.Errorf("the steps are %+v, want %+v among them", e.Steps, want)
	}
	r.Phase = bus.RefreshDone
	for _, s := range New(d, nil, time.UTC).Steps {
		if s.What == "refresh" {
			t.Errorf("of a refresh that is over it says %+v", s)
		}
	}
}

// How a group is spread that is rebalanced is a part as well, and who has it move a VM.
func TestBalanceIsExplained(t *testing.T) {
	d := &bus.Decision{
		Group: "web", Rule: bus.RuleStable, HasSample: true,
		Balance: &bus.Balance{
			State: bus.BalanceMoving, Sentence: "web-1 on kvm1 is replaced elsewhere: kvm1 has 4 VMs, and kvm2 0",
		},
		Orders: map[string]bus.VMOrder{"1": {
			Verb: bus.VMReplace, Cause: bus.CauseRebalance, Reason: "kvm1 has 4 VMs, and kvm2 0", VM: "web-1",
			At: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC),
		}},
	}
	for _, want := range []Step{
		{"rebalance", "web-1 on kvm1 is replaced elsewhere: kvm1 has 4 VMs, and kvm2 0", "moving"},
		{
			"order for web-1",
			"another is to take its place, by rebalance (kvm1 has 4 VMs, and kvm2 0), since 2026-05-04 12:00:00",
			"replace",
		},
	} {
		if e := New(d, nil, time.UTC); !slices.Contains(e.Steps, want) {
			t.Errorf("the steps are %+v, want %+v among them", e.Steps, want)
		}
	}
}

// What keeps a surplus is named where it is the VMs' protection, and only there.
func TestExplainsProtection(t *testing.T) {
	d := bus.Decision{
		Direction: bus.In,
		Desired:   1,
		Rule:      bus.RuleStable,
		Inputs:    bus.Inputs{Owned: 3, Ready: 2, Warming: 1, Protected: 2},
	}
	e := New(&d, nil, time.UTC)
	if len(e.WhyNot) == 0 || !strings.Contains(e.WhyNot[0], "2 VMs are protected from scaling in, so that the group stays above 1") {
		t.Errorf("%q", e.WhyNot)
	}
	if e.Steps[0].Found != "3 owned: 3 ready (1 of them warm up, and do not count in the average yet), 0 pending" {
		t.Errorf("%q", e.Steps[0].Found)
	}
	d.Inputs.Protected = 1
	if e = New(&d, nil, time.UTC); len(e.WhyNot) > 0 && strings.Contains(e.WhyNot[0], "protected") {
		t.Errorf("with one that may stay: %q", e.WhyNot)
	}
}
