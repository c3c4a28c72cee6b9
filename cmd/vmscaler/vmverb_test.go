package main

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Each verb asks for its VM, says who asks and why, and prints what becomes of it.
func TestVMVerbsAreAskedFor(t *testing.T) {
	var verbs []string
	for _, v := range bus.VMVerbs() {
		verbs = append(verbs, string(v))
	}
	asked := make(chan client.Request, 1)
	var outcome atomic.Value
	flags := answering(t, bus.RoleDecider, verbs, func(r client.Request) error {
		asked <- r
		outcome, is := outcome.Load().(bus.Outcome)
		if !is || outcome == bus.OutcomeRefused {
			return r.RefuseAs(bus.RefusalMin, "%s: too few", r.Query.VM)
		}
		return r.Answer(bus.VMAnswer{
			V: bus.Version, Group: "web", VM: r.Query.VM, Verb: bus.VMVerb(r.Verb), Outcome: outcome, Sentence: "soon",
		})
	})
	for _, tt := range []struct {
		line    string
		outcome bus.Outcome
		query   bus.Query
		want    string
	}{
		{"replace web-1", bus.OutcomeBegun, bus.Query{VM: "web-1"}, "web-1: replace: soon\n"},
		{"remove web-1 --keep-size", bus.OutcomeBegun, bus.Query{VM: "web-1", KeepSize: true}, "web-1: remove: soon\n"},
		{"drain web-1 --reason slow", bus.OutcomeQueued, bus.Query{VM: "web-1", Reason: "slow"}, "web-1: drain is queued: soon\n"},
		{"unhealthy web-1 --group web", bus.OutcomeNoOp, bus.Query{VM: "web-1", Group: "web"}, "web-1: nothing to do: soon\n"},
	} {
		outcome.Store(tt.outcome)
		out, err := command(t, append(strings.Fields(tt.line), flags...)...)
		if err != nil || out != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.line, out, err, tt.want)
		}
		r := <-asked
		q := r.Query
		if r.Verb != strings.Fields(tt.line)[0] || q.VM != tt.query.VM || q.KeepSize != tt.query.KeepSize ||
			q.Group != tt.query.Group ||
			q.Reason != tt.query.Reason ||
			!strings.Contains(q.By, "@") {
			t.Errorf("%s asks %s of %+v", tt.line, r.Verb, q)
		}
	}
	outcome.Store(bus.OutcomeRefused)
	_, err := command(t, append([]string{"remove", "web-1"}, flags...)...)
	var refused *bus.RefusedError
	if !errors.As(err, &refused) || refused.Why != bus.RefusalMin || !strings.Contains(refused.Text, "too few") {
		t.Errorf("a refusal is %v", err)
	}
}
