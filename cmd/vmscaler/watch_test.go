package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
)

// until is an output that ends what writes to it once all parts were written.
type until struct {
	bytes.Buffer
	parts []string
	end   func()
}

func (u *until) Write(data []byte) (int, error) {
	n, err := u.Buffer.Write(data)
	if !slices.ContainsFunc(u.parts, func(part string) bool { return !strings.Contains(u.String(), part) }) {
		u.end()
	}
	return n, err
}

// --watch prints a line for each event and for each decision that changes something, and no other.
func TestWatch(t *testing.T) {
	clock := func(at time.Time) string { return at.Local().Format(time.DateTime) }
	for _, tt := range []struct {
		line  string
		parts func(at time.Time) []string // a line each, below what there is at first
	}{
		{"status web -w", func(at time.Time) []string {
			return []string{
				clock(at) + " web  decision-hold  desired 2  rule stable", " web  ready         web-2", "desired 2 -> 3  rule above-upper",
			}
		}},
		{"status web -w -o json", func(time.Time) []string {
			return []string{`"rule":"stable"`, `"event":"ready"`, `"rule":"above-upper"`}
		}},
		{"explain web -w", func(at time.Time) []string { return []string{clock(at) + "  ", clock(at.Add(time.Second)) + "  "} }},
		{"explain web -w -o json", func(time.Time) []string { return []string{`"rule":"stable"`, `"rule":"above-upper"`} }},
	} {
		var decider, actuator *client.Conn
		g, flags := newGroup(t, 2, func(g *group) {
			d := g.decision
			d.Rule = bus.RuleStable
			again, next := d, d
			again.Seq, again.ID = 2, "web-1-2"
			next.Seq, next.ID, next.Current, next.Desired, next.Rule = 3, "web-1-3", 2, 3, bus.RuleAboveUpper
			next.Direction, next.Time = bus.Out, d.Time.Add(time.Second)
			bustest.PublishAll(t, decider, &d, &again, &next)
			ready := func(group, vm string) *bus.Event {
				return &bus.Event{V: bus.Version, Group: group, VM: vm, Event: bus.EventReady, Host: "kvm1", Time: d.Time}
			}
			bustest.PublishAll(t, actuator, ready("web", "web-2"), ready("db", "db-1"))
		})
		decider, actuator = g.join(flags, bus.RoleDecider), g.join(flags, bus.RoleActuator)
		ctx, end := context.WithTimeout(t.Context(), 30*time.Second)
		out := &until{parts: tt.parts(g.decision.Time), end: end}
		root := rootCommand()
		root.SetArgs(append(strings.Fields(tt.line), flags...))
		root.SetOut(out)
		root.SetErr(io.Discard)
		err := root.ExecuteContext(ctx)
		end()
		after := out.String()
		if i := strings.LastIndex(after, "\n\n"); i >= 0 { // what there is at first, and an empty line
			after = after[i+2:]
		}
		lines := strings.Split(strings.TrimSuffix(after, "\n"), "\n")
		if err != nil || len(lines) != len(out.parts) {
			t.Errorf("%s: %v, want %d lines, got\n%s", tt.line, err, len(out.parts), out)
			continue
		}
		for _, part := range out.parts {
			if !strings.Contains(after, part) {
				t.Errorf("%s: %q is not in\n%s", tt.line, part, after)
			}
		}
		for _, line := range lines {
			if strings.Contains(tt.line, "json") && !json.Valid([]byte(line)) {
				t.Errorf("%s: is no JSON: %s", tt.line, line)
			}
		}
	}
}
