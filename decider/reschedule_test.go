package decider

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

func put(name string, a bus.ScheduledAction) *bus.ScheduleOrder {
	return &bus.ScheduleOrder{Put: map[string]bus.ScheduledAction{name: a}}
}

// All that a request says of the schedule holds, or nothing of it.
func TestRescheduled(t *testing.T) {
	daily := bus.ScheduledAction{At: "@daily", Min: new(2)}
	full := map[string]bus.AddedAction{}
	for n := range bus.MaxAdded {
		full[fmt.Sprintf("a%d", n)] = bus.AddedAction{Action: daily}
	}
	one := map[string]bus.AddedAction{"one": {Action: daily}}
	for name, tt := range map[string]struct {
		was   map[string]bus.AddedAction
		order *bus.ScheduleOrder
		want  string // the names after it, or a part of the error
		code  bus.RefusalCode
	}{
		"nothing":  {one, nil, "found nothing to put or remove", bus.RefusedMalformed},
		"added":    {nil, put("two", daily), "two", ""},
		"beside":   {one, put("two", daily), "one two", ""},
		"replaced": {one, put("one", daily), "one", ""},
		"removed":  {one, &bus.ScheduleOrder{Remove: []string{"one"}}, "", ""},
		"both":     {one, &bus.ScheduleOrder{Remove: []string{"one"}, Put: put("two", daily).Put}, "two", ""},
		"unknown": {
			one, &bus.ScheduleOrder{Remove: []string{"two"}, Put: put("three", daily).Put}, "added are: one", bus.RefusedUnknown,
		},
		"unknown, and none is added": {
			nil, &bus.ScheduleOrder{Remove: []string{"two"}}, "of group web; none is; those of the config", bus.RefusedUnknown,
		},
		"a bad name":   {one, put("a b", daily), `name of an action: found "a b"`, bus.RefusedMalformed},
		"a bad one":    {one, put("two", bus.ScheduledAction{At: "@dayly", Min: new(2)}), "action two: at:", bus.RefusedMalformed},
		"one too many": {full, put("two", daily), "33 added actions, want at most 32", ""},
		"in its place": {full, put("a7", daily), "", ""},
	} {
		got, err := rescheduled("web", tt.was, bus.Query{Schedule: tt.order, By: "ann", Reason: "launch"}, t0)
		if err != nil {
			var coded *bus.RefusedError
			if !strings.Contains(err.Error(), tt.want) || tt.want == "" || errors.As(err, &coded) != (tt.code != "") ||
				coded != nil && coded.Code != tt.code || len(got) != len(tt.was) {
				t.Errorf("%s: %v, want %q: %v", name, err, tt.want, got)
			}
			continue
		}
		names := strings.Join(bus.Controls{Schedule: got}.AddedNames(), " ")
		if len(tt.was) <= 1 {
			if names != tt.want {
				t.Errorf("%s: added are %q, want %q", name, names, tt.want)
			}
		}
		if tt.order != nil {
			for name := range tt.order.Put {
				if s := got[name].Said; s.By != "ann" || s.Reason != "launch" || !s.Since.Equal(t0) {
					t.Errorf("%s: said by %+v", name, s)
				}
			}
		}
	}
}

// What a group's max never lets an action do is refused, in the words of the config's warning.
func TestAddedBeyondMax(t *testing.T) {
	g := spec(bounds(1, 5))
	daily := func(least, most, desired *int) bus.ScheduledAction {
		return bus.ScheduledAction{At: "@daily", Zone: "UTC", Min: least, Max: most, Desired: desired}
	}
	up := map[string]bus.AddedAction{"up": {Action: daily(nil, new(8), nil)}}
	for _, tt := range []struct {
		added map[string]bus.AddedAction
		set   map[string]string
		a     bus.ScheduledAction
		want  string // of the error; "": none
	}{
		{nil, nil, daily(new(5), nil, new(5)), ""},
		{
			nil, nil, daily(new(6), nil, nil),
			"action a: min: found 6, and max is at most 5, which holds then; use a number up to max, or raise max",
		},
		{nil, nil, daily(nil, nil, new(6)), "action a: desired: found 6, and max is at most 5"},
		{nil, nil, daily(new(6), new(6), new(6)), ""},
		{up, nil, daily(new(8), nil, nil), ""},
		{nil, map[string]string{"max": "9"}, daily(nil, nil, new(9)), ""},
	} {
		o := put("a", tt.a)
		c, err := controlled(g, bus.Controls{Schedule: tt.added, Set: tt.set}, bus.VerbSchedule, bus.Query{Schedule: o}, t0)
		if err == nil {
			err = withoutEffect(g, c, o)
		}
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.a, err, tt.want)
		}
	}
	b := startHarness(t, g)
	b.advance(time.Second)
	b.send("web", "kvm1", ready(50))
	b.decision()
	q := bus.Query{Schedule: put("a", daily(new(6), nil, nil))}
	_, err := client.Ask[bus.Controls](t.Context(), b.conn, bus.VerbSchedule, q)
	var refused *bus.RefusedError
	if !errors.As(err, &refused) || refused.Code != bus.RefusedState {
		t.Errorf("asked for it: %v", err)
	}
}

// An action that was added sets min when it is due, beside the file's, and its min holds no more once it is removed.
func TestAddedToTheSchedule(t *testing.T) {
	g := spec(bounds(1, 5), func(g *bus.Group) {
		g.Schedule = []bus.ScheduledAction{{At: "@daily", Zone: "UTC", Min: new(1), Max: new(4)}}
	})
	inAnHour := bus.ScheduledAction{At: t0.Add(time.Hour).UTC().Format("2006-01-02T15:04"), Min: new(3), Max: new(8)}
	c, err := controlled(g, bus.Controls{}, bus.VerbSchedule, bus.Query{Schedule: put("launch", inAnHour)}, t0)
	if err != nil {
		t.Fatal(err)
	}
	st := State{HasSample: true, Desired: 1, Controls: c, ScheduleSeenAt: t0}
	if most := g.Ceiling(c); most != 8 {
		t.Errorf("the highest max is %d, want 8", most)
	}
	d, st := Decide(g, st, see(ready(40)), t0.Add(time.Minute))
	if d.Desired != 1 || d.Inputs.Min != 1 || d.Inputs.Max != 4 {
		t.Errorf("before it is due: %+v", d.Inputs)
	}
	d, st = Decide(g, st, see(ready(40)), t0.Add(61*time.Minute))
	if d.Desired != 3 || d.Inputs.Min != 3 || d.Inputs.Max != 8 || !d.Inputs.Scheduled || len(d.Controls.Schedule) != 1 {
		t.Errorf("once it is due: %d, %+v", d.Desired, d.Inputs)
	}
	gone := bus.Query{Schedule: &bus.ScheduleOrder{Remove: []string{"launch"}}}
	st.Controls, err = controlled(g, st.Controls, bus.VerbSchedule, gone, t0)
	if err != nil {
		t.Fatal(err)
	}
	d, _ = Decide(g, st, see(ready(40), ready(40), ready(40)), t0.Add(62*time.Minute))
	if d.Inputs.Min != 1 || d.Inputs.Max != 4 {
		t.Errorf("once it is removed: %+v", d.Inputs)
	}
}

// What was added is kept for the decider that leads next, also under another config, and the history has who did it and why.
func TestAddedActionsAreKept(t *testing.T) {
	f := startFleet(t)
	f.spec.Policy.Interval = 50 * time.Millisecond
	told := make(chan bus.Event, 16)
	if err := client.Subscribe(f.conn, bus.AllEvents, told); err != nil {
		t.Fatal(err)
	}
	stop := f.start("first")
	first := f.until("a decision", 1, func(d bus.Decision) bool { return d.HasSample }).Term
	c := f.ask(bus.VerbSchedule, bus.Query{
		Group: f.spec.Name, By: "ann@kvm1", Reason: "the move",
		Schedule: put("launch", bus.ScheduledAction{At: "@daily", From: "2020-01-01", Min: new(2)}),
	})
	if s := c.Schedule["launch"].Said; s.By != "ann@kvm1" || s.Reason != "the move" || s.Since.IsZero() {
		t.Errorf("added by %+v", s)
	}
	const want = `added to the schedule: launch, min 2 at @daily (UTC), from 2020-01-01; by ann@kvm1 ("the move")`
	if e := <-told; e.Event != bus.EventControl || e.Sentence != want || e.By != "ann@kvm1" || e.Reason != "the move" {
		t.Errorf("told %+v, want %q", e, want)
	}
	f.until("its min holds", 1, func(d bus.Decision) bool { return d.Inputs.Min == 2 })
	stop()
	f.spec.Max++
	defer f.start("second")()
	d := f.until("the second's decision", 1, func(d bus.Decision) bool { return d.Term > first && d.HasSample })
	if d.Inputs.Min != 2 || d.Controls.Schedule["launch"].Said.By != "ann@kvm1" {
		t.Errorf("the second goes on with %+v, %+v", d.Inputs, d.Controls)
	}
}
