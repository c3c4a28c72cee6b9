package actuator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	// choiceHolds is how long what a listener has said of its VMs holds; then it is asked again.
	choiceHolds = 10 * time.Second
	// choiceTold is how long health says that a listener has not decided, after the last time.
	choiceTold = 30 * time.Second
)

// Question is what a listener is to be asked: which of the candidates may be scaled in.
type Question struct {
	Hook       string
	Count      int     // how many are to go
	Candidates []vm.VM // at least as many
}

// Choice is what a listener has said about VMs.
type Choice struct {
	Asked map[string]bool // about which, by UUID
	May   map[string]bool // of those, who may go now
	Skip  bool            // it does not decide: the other orders do
}

// covers reports whether a choice says something of all candidates.
func (c *Choice) covers(q Question) bool {
	if c == nil {
		return false
	}
	for _, v := range q.Candidates {
		if !c.Asked[v.UUID] {
			return false
		}
	}
	return true
}

// asker is what is known of a group's listener. A look's question goes into it, and what the listener answers.
type asker struct {
	asking    bool
	choice    *Choice
	at        time.Time // when the choice came
	heldSince time.Time // since when it lets none go; zero: it does
	trouble   string    // why it did not decide last; "": it did
	troubled  time.Time
}

// current is the choice that holds, nil where there is none.
func (k *asker) current(now time.Time) *Choice {
	if k.choice != nil && now.Sub(k.at) < choiceHolds {
		return k.choice
	}
	return nil
}

// next reports whether the listener is to be asked now; q is what a look wants to know, nil for nothing.
func (k *asker) next(q *Question, now time.Time) bool {
	if q == nil {
		if !k.asking {
			k.choice, k.heldSince = nil, time.Time{}
		}
		return false
	}
	if k.asking || k.current(now).covers(*q) {
		return false
	}
	k.asking = true
	return true
}

// answered takes what came of a question: the answer, or that there was none. It returns the events that say so.
func (k *asker) answered(spec bus.Group, q Question, a bus.VictimsAnswer, err error, now time.Time) []bus.Event {
	k.asking = false
	if errors.Is(err, context.Canceled) { // by the end of the stage, or of its connection
		return nil
	}
	c := &Choice{Asked: map[string]bool{}, May: map[string]bool{}}
	for _, v := range q.Candidates {
		c.Asked[v.UUID] = true
	}
	for _, uuid := range a.VMs {
		c.May[uuid] = true
	}
	k.choice, k.at = c, now
	skip := func(why string) {
		c.Skip, k.trouble, k.troubled = true, why, now
	}
	switch {
	case err != nil:
		skip(
			fmt.Sprintf("nobody answers for hook:%s within %s, so the other orders of scale_in decide", q.Hook, spec.VictimHook.Timeout),
		)
		return nil
	case len(c.May) > 0:
		k.heldSince, k.trouble = time.Time{}, ""
		return nil
	case k.heldSince.IsZero():
		k.heldSince, k.trouble = now, ""
		return []bus.Event{{
			Group: spec.Name, Event: bus.EventBraked,
			Sentence: fmt.Sprintf("hook:%s lets none of %s go for now; it is asked again for up to %s",
				q.Hook, bus.Count(len(q.Candidates), "VM"), spec.VictimHook.Patience),
		}}
	case now.Sub(k.heldSince) >= spec.VictimHook.Patience:
		skip(fmt.Sprintf("hook:%s has let no VM go for %s, so the other orders of scale_in decide",
			q.Hook, now.Sub(k.heldSince).Round(time.Second)))
	}
	return nil
}

// troubles is that the listener has not decided lately.
func (k *asker) troubles(group string, now time.Time) (all bus.Troubles) {
	if k.trouble != "" && now.Sub(k.troubled) < choiceTold {
		all.Add(bus.ProblemVictimHook, group, "group "+group+": "+k.trouble)
	}
	return all
}

// chosen is what came of asking.
type chosen struct {
	group    string
	question Question
	answer   bus.VictimsAnswer
	err      error
}

// askVictims asks a group's listener, if a plan wants to know something new. The loop does not wait for it: the answer is part of
// what a later plan looks at.
func (a *Actuator) askVictims(ctx context.Context, g *group, q *Question) {
	now := a.cfg.Now()
	if !g.asker.next(q, now) {
		return
	}
	ask := bus.Victims{
		V: bus.Version, Group: g.spec.Name, Hook: q.Hook, Count: q.Count, HostID: a.hostID, Host: a.host,
		DecisionID: g.newest.Decision.ID, Time: now.UTC(), Deadline: now.Add(g.spec.VictimHook.Timeout).UTC(),
	}
	build, _ := g.build(a.hostID)
	cpu := a.load.cpu(g.spec.Name, now)
	for _, v := range q.Candidates {
		c := bus.Candidate{
			Name: v.Name, UUID: v.UUID, Created: v.Meta.Created, Template: v.Meta.Template,
			Outdated: build.Outdated(v.Meta.Made()),
		}
		if percent, known := cpu[v.UUID]; known {
			c.CPUPercent = &percent
		}
		ask.Candidates = append(ask.Candidates, c)
	}
	question, timeout := *q, g.spec.VictimHook.Timeout
	go func() {
		limited, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		answer, err := a.conn.AskVictims(limited, &ask)
		if ctx.Err() != nil {
			err = context.Canceled
		}
		a.chosen <- chosen{ask.Group, question, answer, err}
	}()
}

// choose takes what came of asking.
func (a *Actuator) choose(c chosen) {
	g := a.groups[c.group]
	for _, e := range g.asker.answered(g.spec, c.question, c.answer, c.err, a.cfg.Now()) {
		a.tell(e)
	}
	if c.err != nil && !errors.Is(c.err, context.Canceled) {
		a.log.Warn().Err(c.err).Str("group", c.group).Msg("the listener that scale_in asks has not answered")
	}
}

// stopAsking waits for the questions, whose context has ended.
func (a *Actuator) stopAsking() {
	for _, g := range a.groups {
		if g.asker.asking {
			a.choose(<-a.chosen) // which may be another group's, of as many
		}
	}
}
