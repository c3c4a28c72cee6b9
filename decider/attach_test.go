package decider

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A domain that is to be attached has its place in max from the request on; the group wants one VM more once it is there, and
// until then no other VM gets its place.
func TestAttach(t *testing.T) {
	g := spec(bounds(1, 3))
	obs := only(serving(1, ""))
	obs.Hosts[0].Taken = []int{2}
	newest, st := Decide(g, State{HasSample: true, Desired: 1, Hosts: []bus.HostID{"kvm1"}}, obs, t0)
	ask := func(name string, keepSize bool) (v bus.Verdict) {
		a := bus.Attachment{VM: name, HostID: "kvm1", By: "ann", At: t0, Until: t0.Add(attachWithin), KeepSize: keepSize}
		v, newest, st = Attach(g, st, obs, newest, a, t0)
		return v
	}
	if v := ask("web-2", false); v.Outcome != bus.OutcomeBegun || newest.Desired != 1 || len(newest.Attach) != 1 ||
		newest.Direction != bus.Hold {
		t.Fatalf("%+v: %+v", v, newest)
	}
	if v := ask("web-2", false); v.Outcome != bus.OutcomeBegun || len(newest.Attach) != 1 {
		t.Errorf("asked again: %+v, %+v", v, newest.Attach)
	}
	three := st
	three.Controls.Desired = new(3)
	d, after := Decide(g, three, obs, t0.Add(time.Second))
	if d.Desired != 3 || d.Shares["kvm1"].VMs != 2 || d.Inputs.Owned != 2 {
		t.Errorf("the group wants %d, its host is to have %+v", d.Desired, d.Shares["kvm1"])
	}
	if v, _, _ := Attach(g, after, obs, d, bus.Attachment{VM: "web-4", HostID: "kvm1"}, t0); v.Refusal != bus.RefusalMax {
		t.Errorf("where all of max is taken or wanted: %+v", v)
	}
	if d, _, is := Arrived(g, st, obs, newest, t0); is {
		t.Errorf("it is not there: %+v", d)
	}
	there := only(
		serving(1, ""),
		func() bus.VM { vm := launchingVM(2); vm.Order = &bus.VMOrder{Verb: bus.VMAttach, At: t0}; return vm }(),
	)
	restarted := st
	restarted.HasSample, restarted.PreviousDesired = false, new(1)
	if d, restarted = Decide(g, restarted, there, t0); d.Desired != 2 || len(restarted.Attach) != 0 || d.Direction == bus.In {
		t.Errorf("the next leader's first evaluation: %+v", d)
	}
	byHand := st
	byHand.HasSample, byHand.PreviousDesired, byHand.Controls.Desired = false, new(1), new(1)
	if d, byHand = Decide(g, byHand, there, t0); d.Desired != 2 || d.Direction == bus.In || *byHand.Controls.Desired != 2 {
		t.Errorf("the next leader's first evaluation of a group that was scaled by hand: %+v", d)
	}
	if d, _ = Decide(g, byHand, there, t0.Add(time.Second)); d.Desired != 2 {
		t.Errorf("and its second: %+v", d)
	}
	d, st, is := Arrived(g, st, there, newest, t0.Add(time.Hour)) // the next evaluation may be far away
	if !is || d.Desired != 2 || d.Rule != bus.RuleAttached || d.Direction != bus.Out || len(st.Attach) != 0 ||
		d.Shares["kvm1"].VMs != 2 {
		t.Errorf("it is there: %v, %+v", is, d)
	}
	if d, _ = Decide(g, st, there, t0.Add(time.Second)); d.Desired != 2 || len(d.Attach) != 0 || d.Inputs.Owned != 2 {
		t.Errorf("afterwards: %+v", d)
	}
}

// With its size kept a group does not grow, and what never comes is forgotten.
func TestAttachKeepsSizeAndExpires(t *testing.T) {
	g := spec(bounds(1, 3))
	st := State{HasSample: true, Desired: 1, Hosts: []bus.HostID{"kvm1"}, Attach: Attachments{
		{VM: "web-2", HostID: "kvm1", At: t0, Until: t0.Add(attachWithin), KeepSize: true},
	}}
	d, next, is := Arrived(g, st, only(serving(1, ""), serving(2, bus.VMAttach)), bus.Decision{Desired: 1}, t0)
	if !is || d.Desired != 1 || next.Desired != 1 || len(next.Attach) != 0 {
		t.Errorf("%v, %+v", is, d)
	}
	if _, next = Decide(g, st, only(serving(1, "")), t0.Add(attachWithin)); len(next.Attach) != 1 {
		t.Error("it is forgotten while a sample may still show it")
	}
	if _, next = Decide(g, st, only(serving(1, "")), t0.Add(attachWithin+attachHeld)); len(next.Attach) != 0 {
		t.Error("it is not forgotten")
	}
}

// Which host is meant is known by the names that are taken there; and no number of another host's is given away.
func TestWhereADomainIs(t *testing.T) {
	obs := Observation{Hosts: []HostObservation{
		{ID: "a", Name: "kvm1", Taken: []int{1, 2}}, {ID: "b", Name: "kvm2", Taken: []int{2, 3}}, {ID: "c", Name: "kvm3"},
	}}
	for _, tt := range []struct {
		number int
		host   string
		want   bus.HostID
		why    bus.Refusal
	}{
		{1, "", "a", ""},
		{3, "", "b", ""},
		{2, "", "", bus.RefusalAmbiguous},
		{2, "kvm2", "b", ""},
		{2, "b", "b", ""},
		{4, "", "", bus.RefusalUnknownVM},
		{1, "kvm2", "", bus.RefusalUnknownVM},
	} {
		host, why, _ := obs.offering(tt.number, tt.host)
		if why != tt.why || (host != nil) != (tt.want != "") || host != nil && host.ID != tt.want {
			t.Errorf("%d on %q: %+v, %q", tt.number, tt.host, host, why)
		}
	}
	st := State{HasSample: true, Desired: 1, Numbers: Numbers{"b": {7}}}
	v, _, _ := Attach(spec(bounds(1, 3)), st, obs, bus.Decision{}, bus.Attachment{VM: "web-7", HostID: "a"}, t0)
	if v.Refusal != bus.RefusalTaken {
		t.Errorf("a number of another host's: %+v", v)
	}
}

// A domain that was asked for is attached by the next leader as well.
func TestAttachOutlivesItsDecider(t *testing.T) {
	a := bus.Attachment{VM: "web-2", HostID: "kvm1", At: t0, Until: t0.Add(attachWithin)}
	kept := newCheckpoint(State{HasSample: true, Desired: 1, Attach: Attachments{a}}, t0)
	if !kept.worthSaving(newCheckpoint(State{HasSample: true, Desired: 1}, t0)) {
		t.Error("it is not worth saving")
	}
	if st := recall(kept, nil, bus.Controls{}, t0); len(st.Attach) != 1 || !st.Attach[0].Same(a) {
		t.Errorf("recalled: %+v", st.Attach)
	}
	heard := bus.Decision{HasSample: true, Time: t0.Add(time.Second), Attach: []bus.Attachment{a}}
	if st := recall(checkpoint{Time: t0}, &heard, bus.Controls{}, t0); len(st.Attach) != 1 {
		t.Errorf("of the decision that was heard last: %+v", st.Attach)
	}
}
