package decider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

func refreshKey(g *group) string { return "refresh." + g.spec.Name }

// loadRefresh reads the group's last refresh as it is kept, or as the decision says that was heard last.
func (d *Decider) loadRefresh(ctx context.Context, g *group) (*bus.Refresh, error) {
	heard := g.state.Refresh
	if g.decision != nil && g.decision.Refresh != nil {
		heard = g.decision.Refresh
	}
	var kept bus.Refresh
	err := d.conn.Load(ctx, refreshKey(g), &kept)
	var odd *json.UnmarshalTypeError
	switch {
	case errors.Is(err, client.ErrNotKept), errors.Is(err, client.ErrNoStore), errors.As(err, &odd):
		return heard, nil
	case err != nil:
		return nil, fmt.Errorf("read its refresh: %w", err)
	case heard != nil && !heard.Started.Before(kept.Started) && heard.Since.After(kept.Since):
		return heard, nil
	case !kept.Phase.Known(): // of a later version
		return nil, nil
	}
	return &kept, nil
}

// refreshed keeps a refresh that has changed, and says when it entered a phase. What could not be kept is kept the next time.
func (d *Decider) refreshed(ctx context.Context, g *group, before *bus.Refresh) {
	r := g.state.Refresh
	if r == nil {
		return
	}
	if before == nil || before.ID != r.ID || before.Phase != r.Phase {
		d.tellRefresh(g, r, bus.Query{})
	}
	what := fmt.Sprint(r.ID, r.Phase, r.Since, r.Updated, r.Outdated, r.Failures, r.Checkpoints, r.Before, r.Canary)
	if what == g.kept {
		return
	}
	if err := d.keepRefresh(ctx, g, r); err != nil {
		d.log.Debug().Err(err).Str("group", g.spec.Name).Msg("where the refresh stands was not kept")
		return
	}
	g.kept = what
}

func (d *Decider) keepRefresh(ctx context.Context, g *group, r *bus.Refresh) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := d.conn.Save(ctx, refreshKey(g), r); err != nil && !errors.Is(err, client.ErrNoStore) {
		return err
	}
	return nil
}

// tellRefresh publishes that a refresh entered a phase; q is the request for it, empty where nobody asked.
func (d *Decider) tellRefresh(g *group, r *bus.Refresh, q bus.Query) {
	event := bus.Event{
		V: bus.Version, Group: g.spec.Name, Event: bus.EventRefresh, Sentence: refreshEvent(r), Time: d.cfg.Now().UTC(),
		By: q.By, Reason: q.Reason,
	}
	if err := d.conn.Publish(&event); err != nil {
		d.log.Debug().Err(err).Msg("event lost")
	}
	d.log.Info().Str("group", g.spec.Name).Str("refresh", r.ID).Str("phase", string(r.Phase)).Msg(event.Sentence)
}

func refreshEvent(r *bus.Refresh) string {
	text := fmt.Sprintf("refresh %s: %s", r.Phase, r.Sentence)
	if r.Sentence == "" {
		text = fmt.Sprintf("refresh %s: %s to bring up to date", r.Phase, bus.Count(r.Outdated, "VM"))
	}
	return text + "; begun " + bus.Attribution(r.By, r.Reason)
}

// ordered is a group's refresh after a request. The error says why it is refused.
func (s situation) ordered(q bus.Query) (*bus.Refresh, error) {
	was, o, who := s.state.Refresh, q.Refresh, bus.Attribution(q.By, q.Reason)
	// A pause may come a moment before it begins.
	if f := s.refreshFacts(was.Build(s.spec)); o.Action == bus.RefreshHold && !was.Active() && s.due(f) {
		r := newRefresh(s.spec, &bus.RefreshOrder{}, "config", f, s.now)
		return entering(*r, bus.RefreshPaused, progressOf(*r)+"; paused "+who, s.now), nil
	}
	if o.Action != bus.RefreshBegin && !was.Active() {
		return was, errors.New("no refresh goes on")
	}
	now := s.now.UTC()
	switch o.Action {
	case bus.RefreshBegin:
		return s.begun(q)
	case bus.RefreshHold:
		if was.Phase == bus.RefreshPaused {
			return was, nil
		}
		return entering(*was, bus.RefreshPaused, progressOf(*was)+"; paused "+who, now), nil
	case bus.RefreshGoOn:
		phase := bus.RefreshRunning
		if was.Returned {
			phase = bus.RefreshReturning
		}
		if was.Phase == phase {
			return was, nil
		}
		r := *was
		r.Canary, r.CanaryPercent = 0, 0
		return entering(r, phase, progressOf(*was)+"; resumed "+who, now), nil
	case bus.RefreshCancel:
		if was.Returned {
			return was, fmt.Errorf("it goes back to template %s already, which --pause stops, and nothing cancels", was.From)
		}
		why := progressOf(*was) + "; canceled " + who + ": new VMs that serve stay, and old ones serve on"
		return entering(*was, bus.RefreshCanceled, why, now), nil
	case bus.RefreshReturn:
		if was.From == "" {
			return was, errors.New("there is no way back: more than the template has changed, or the VMs had several templates")
		}
		if was.Returned {
			return was, nil
		}
		r := *was
		r.Returned = true
		return entering(r, bus.RefreshReturning, "going back to template "+r.From+", asked for "+who, now), nil
	}
	return was, fmt.Errorf("action: found %q, want one of %q", o.Action, bus.RefreshActions())
}

// begun is a refresh that a person begins; one that is over is forgotten.
func (s situation) begun(q bus.Query) (*bus.Refresh, error) {
	if s.state.Refresh.Active() {
		return s.state.Refresh, fmt.Errorf(
			"one goes on already (%s, begun by %s): --resume lets a paused one go on, and --cancel ends it",
			s.state.Refresh.Phase,
			s.state.Refresh.By,
		)
	}
	if n := q.Refresh.MaxSurge; n != nil && *n > 0 && s.spec.Stateful() {
		return s.state.Refresh, fmt.Errorf(
			"max_surge: found %d, want 0 in a group that keeps disks: a VM has those of another only once that is gone", *n)
	}
	f := s.undated().refreshFacts(newRefresh(s.spec, q.Refresh, q.By, refreshFacts{}, s.now).Build(s.spec))
	if f.staying == 0 {
		return s.state.Refresh, errors.New(f.nothing())
	}
	r := newRefresh(s.spec, q.Refresh, q.By, f, s.now)
	r.Reason = q.Reason
	if err := bus.CheckUpdateActions(r.MinimalAction, r.MostDisruptive); err != nil {
		return s.state.Refresh, err
	}
	if why := f.forbidden(*r); why != "" && !q.Refresh.DryRun {
		return s.state.Refresh, errors.New(why)
	}
	return r, nil
}

// nothing says why no VM is to be replaced.
func (f refreshFacts) nothing() string {
	text := "the group has no VM that could be replaced"
	if f.kept > 0 {
		text = fmt.Sprintf("all %s of the group are up to date; --all replaces them anyway", bus.Count(f.kept, "VM"))
		if f.kept == 1 {
			text = "the group's only VM is up to date; --all replaces it anyway"
		}
	}
	if out := f.leaving + f.retiring; out > 0 {
		text += fmt.Sprintf("; on its way out, by an order or as another takes its place: %s", bus.Count(out, "VM"))
	}
	return text
}

// withoutRefresh are shares without what a refresh lets each host do, once none goes on.
func withoutRefresh(shares map[bus.HostID]bus.Share, r *bus.Refresh) map[bus.HostID]bus.Share {
	if r.Active() {
		return shares
	}
	out := map[bus.HostID]bus.Share{}
	for id, share := range shares {
		share.Retire, share.Release, share.Restart, share.Updated = 0, 0, 0, nil
		out[id] = share
	}
	return out
}

// orderRefresh answers a request for a refresh.
func (d *Decider) orderRefresh(ctx context.Context, r client.Request, g *group) error {
	now := d.cfg.Now()
	if !d.leads(ctx, g, now) {
		return d.notLed(r, g)
	}
	o := r.Query.Refresh
	if err := o.Check(); err != nil {
		return r.Refuse("%s", bus.Refuse(bus.RefusedMalformed, "%s", err))
	}
	if !g.state.HasSample {
		return r.Refuse("the group's VMs are not known yet")
	}
	s := look(g.inForce, g.state, g.seen, now)
	next, err := s.ordered(r.Query)
	if err != nil {
		return r.Refuse("%s", err)
	}
	if o.DryRun {
		next.Sentence = bus.Cut(s.undated().refreshFacts(next.Build(g.inForce)).would(*next))
		return r.Answer(next)
	}
	if err := d.keepRefresh(ctx, g, next); err != nil {
		return r.Refuse("%s", notKept(err))
	}
	if next != g.state.Refresh {
		d.tellRefresh(g, next, r.Query)
	}
	g.state.Refresh = next
	if g.decision == nil || g.decision.Term != d.term {
		d.evaluate(ctx, g, now)
		return r.Answer(g.state.Refresh)
	}
	again := *g.decision // at once, as the next evaluation may be an hour away
	again.Direction, again.Current = bus.Hold, again.Desired
	again.Refresh, again.Shares = next, withoutRefresh(again.Shares, next)
	d.publish(g, again, now)
	return r.Answer(next)
}
