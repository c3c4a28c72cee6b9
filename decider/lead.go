package decider

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/decider/policy"
)

const (
	settleTimeout   = 5 * time.Second  // for the first answer to who leads
	storeTimeout    = 2 * time.Second  // for reading or writing what is kept
	rememberEvery   = 30 * time.Second // what is kept, where nothing changes
	checkpointAge   = 10 * time.Minute // from which what was kept says nothing about the present
	learnedAge      = 72 * time.Hour   // from which what was learned of the load is of no use: as much as is learned from
	leaderlessAfter = 30 * time.Second // without a leader; an election takes up to 20 s
)

// campaign takes part in the election until stop, and returns once it is known who leads.
func (d *Decider) campaign(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	d.leadership = client.NewLeadership()
	go func() {
		defer close(done)
		d.conn.Campaign(ctx, d.cfg.Instance, d.cfg.Now, d.leadership)
	}()
	settle := time.NewTimer(settleTimeout)
	defer settle.Stop()
	select {
	case <-d.leadership.Settled():
	case <-settle.C: // as while the bus is not there
	case <-ctx.Done():
	}
	return func() { cancel(); <-done }
}

// observeLeader records what the one that leads has decided.
func (d *Decider) observeLeader(other bus.Decision) {
	if !d.ofCluster(other) {
		return
	}
	d.leadership.Heard(other.Term)
	g := d.groups[other.Group]
	term, leading := d.leadership.Term()
	if g == nil || other.Term == d.term || leading && other.Term < term {
		return // its own, or of before
	}
	now := d.cfg.Now()
	if other.SpecHash != g.hash {
		g.othersAt = now
		return
	}
	if g.heard.Take(other, now) == nil { // what it does not take the actuators do not take either, and say so
		g.decision = &other
		g.others.observe(other, now)
	}
	d.leaderlessSince, g.heardAt = now, now
}

// leading reports whether this decider leads at the moment.
func (d *Decider) leading() bool {
	term, leading := d.leadership.Term()
	switch {
	case !leading:
		d.term = 0
	case d.term != term:
		d.term = term
		d.log.Debug().Int64("term", term).Msg("this decider leads")
	}
	return leading
}

// leads reports whether this decider decides about a group at the moment. It begins by going on from where the one before it
// stood; where that is not known of a group, it decides about the others.
func (d *Decider) leads(ctx context.Context, g *group, now time.Time) bool {
	if !d.leading() {
		g.blocked = nil
		return false
	}
	if g.term == d.term {
		return true
	}
	before := g.blocked
	if g.blocked = d.takeOver(ctx, g, now); g.blocked != nil {
		if before == nil || before.Error() != g.blocked.Error() {
			d.log.Warn().Err(g.blocked).Str("group", g.spec.Name).Msg("cannot decide about it yet")
		}
		return false
	}
	g.term = d.term
	return true
}

// notLed answers a request about a group that this decider does not decide about: the one that leads answers, or says why it
// cannot.
func (d *Decider) notLed(r client.Request, g *group) error {
	if g.blocked == nil {
		r.Ignore()
		return nil
	}
	return r.Refuse("nothing is decided about group %s: %s", g.spec.Name, g.blocked)
}

// takeOver reads what is kept of a group. What a person has paused must be known before anything is decided.
func (d *Decider) takeOver(ctx context.Context, g *group, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	controls := g.state.Controls // where nothing is kept, what was said lasts as long as this process
	err := d.conn.Load(ctx, controlsKey(g), &controls)
	if err != nil && !errors.Is(err, client.ErrNotKept) && !errors.Is(err, client.ErrNoStore) {
		return fmt.Errorf("read its controls: %w", err)
	}
	var kept checkpoint
	err = d.conn.Load(ctx, checkpointKey(g), &kept)
	var odd *json.UnmarshalTypeError
	switch {
	case errors.As(err, &odd): // of another version of this program: worth less than deciding at all
		d.log.Warn().Err(err).Str("group", g.spec.Name).Msg("where the group stood cannot be read: it begins again")
		kept = checkpoint{}
	case err != nil && !errors.Is(err, client.ErrNotKept) && !errors.Is(err, client.ErrNoStore):
		return fmt.Errorf("read where it stood: %w", err)
	}
	if g.decision != nil && g.decision.Controls.Since != nil && controls.Since == nil {
		controls = g.decision.Controls // the bus that kept them was replaced
	}
	if err := d.loadHostOrders(ctx); err != nil {
		return err
	}
	if err := d.loadCluster(ctx, now); err != nil {
		return err
	}
	refresh, err := d.loadRefresh(ctx, g)
	if err != nil {
		return err
	}
	refresh = g.others.told(refresh, g.decision)
	spec, err := d.cfg.Override(g.spec, controls.Set)
	if err != nil { // the file has changed since, so that what was set does not go with it any more
		d.log.Warn().Err(err).Str("group", g.spec.Name).Msg("what was set by hand does not go with the file: the file holds")
		spec, controls.Set = g.spec, nil
	}
	g.use(spec)
	if g.saved.Time.After(kept.Time) { // this decider led, and the store did not take what it kept last
		kept = g.saved
	}
	rested := g.state.Warmup.vms
	g.state, g.saved, g.takeOver = recall(kept, g.decision, controls, now), kept, now
	g.state.Warmup.vms = rested
	g.state.Refresh, g.state.Attach = refresh, g.others.attaching(g.state.Attach, g.decision)
	g.expect(now)
	return nil
}

// expect has the hosts that had VMs under the decider before this one, and were not heard yet, count as silent: they have as long
// as any other to be heard until they are lost. The numbers of those that it had forgotten stay taken for a while.
func (g *group) expect(now time.Time) {
	for _, id := range g.state.Hosts {
		s, known := g.state.Standings[id]
		name, vms := s.Name, s.Kept
		if g.decision != nil {
			if share, heard := g.decision.Shares[id]; heard {
				name, vms, known = cmp.Or(share.Host, name), share.VMs, true
			}
		}
		if known {
			g.window.expect(id, cmp.Or(name, string(id)), vms, s, now)
		}
	}
	for id := range g.state.Numbers {
		if !slices.Contains(g.state.Hosts, id) && g.window.hosts[id] == nil {
			g.window.move(id, now)
		}
	}
}

// hears notes whether any host is heard.
func (g *group) hears(obs Observation, now time.Time) {
	switch {
	case !obs.anyFresh():
		g.hearing = time.Time{}
	case g.hearing.IsZero():
		g.hearing = now
	}
}

// settling reports whether this decider has not heard others for long enough to call one lost that it does not hear. One that
// takes over from another has as a rule, and need not wait anew.
func (g *group) settling(now time.Time) bool {
	return g.hearing.IsZero() || now.Sub(g.hearing) < g.inForce.LostAfter
}

func controlsKey(g *group) string   { return "control." + g.spec.Name }
func checkpointKey(g *group) string { return "decider." + g.spec.Name }

// awaited are the hosts that had VMs of the group under the decider before this one, and have not been heard yet. For
// a while nothing is decided without them; then they count as gone.
func (g *group) awaited(obs Observation, now time.Time) []string {
	if g.state.HasSample || now.Sub(g.takeOver) >= g.spec.BlindAfter {
		return nil
	}
	var missing []string
	for _, id := range g.state.Hosts {
		if !slices.Contains(obs.hostIDs(), id) {
			name := string(id)
			if g.decision != nil && g.decision.Shares[id].Host != "" {
				name = g.decision.Shares[id].Host
			}
			missing = append(missing, name)
		}
	}
	return missing
}

// remember has it kept where the group stands. Nothing waits for it to succeed: the next change, or the next half minute, tries
// again. tried is closed once that was tried; nil: nothing is to be kept.
func (d *Decider) remember(g *group, now time.Time) (tried <-chan struct{}) {
	m := newCheckpoint(g.state, now)
	if !g.state.HasSample || !m.worthSaving(g.saved) {
		return nil
	}
	g.saved = m
	data, err := json.Marshal(m)
	if err != nil {
		d.log.Error().Err(err).Str("group", g.spec.Name).Msg("where the group stands was not kept")
		return nil
	}
	return d.keeper.put(checkpointKey(g), d.term, data)
}

// rememberNow is remember where what comes next counts on it, for as long as the store may take.
func (d *Decider) rememberNow(ctx context.Context, g *group, now time.Time) {
	tried := d.remember(g, now)
	if tried == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	select {
	case <-tried:
	case <-ctx.Done():
	}
}

// keep writes what remember has given to the keeper.
func (d *Decider) keep(ctx context.Context, key string, data json.RawMessage) {
	if err := d.conn.Save(ctx, key, data); err != nil && !errors.Is(err, client.ErrNoStore) {
		d.log.Debug().Err(err).Msgf("where the group stands was not kept: %s", key)
	}
}

// report reports whether a decider leads, and what keeps this decider's groups from being decided.
func (d *Decider) report(now time.Time) {
	_, leading := d.leadership.Term()
	other := d.leadership.Other()
	if leading || other != "" {
		d.leaderlessSince = now
	}
	var all bus.Troubles
	if without := now.Sub(d.leaderlessSince); without >= leaderlessAfter {
		all.Add(bus.ProblemNoLeader, "", fmt.Sprintf("no decider leads for %s", seconds(without)))
	}
	for _, name := range d.names() {
		g := d.groups[name]
		if g.unfit != nil && d.term != 0 {
			all.Add(bus.ProblemDecisionUnsent, name, "group "+name+": no decision can be sent: "+g.unfit.Error())
		}
		stale := staleAfter(g.inForce.Policy.Interval, d.cfg.Tick)
		switch {
		case leading: // else the one that leads says it
			all = append(all, g.troubles(now, stale)...)
		case other != "":
			all = append(all, g.unled(other, d.began, now, max(leaderlessAfter, 2*stale))...)
		}
	}
	d.cfg.Report(all.Err())
}

// troubles are what keeps a group from being decided as it should be.
func (g *group) troubles(now time.Time, stale time.Duration) (all bus.Troubles) {
	prefix := "group " + g.spec.Name + ": "
	if without := now.Sub(g.state.LastData); !g.state.LastData.IsZero() && without > 2*stale {
		all.Add(bus.ProblemIncompleteSamples, g.spec.Name, prefix+"no complete sample for "+seconds(without))
	}
	if g.blocked != nil {
		all.Add(bus.ProblemNotEvaluated, g.spec.Name, prefix+"nothing is decided: "+g.blocked.Error())
	} else if without := now.Sub(g.lastEval); without > 2*stale {
		all.Add(bus.ProblemNotEvaluated, g.spec.Name, prefix+"not evaluated for "+seconds(without))
	}
	if g.trouble != "" && now.Sub(g.troubled) >= stale { // not while a stage starts
		all.Add(bus.ProblemHostsDisagree, g.spec.Name, prefix+g.trouble+": no VM is scaled in")
	}
	if m := g.metrics[bus.PrometheusMetric]; m.Value == nil && m.Error != "" &&
		policy.FollowsPrometheus(g.inForce.Policy) {
		all.Add(bus.ProblemQueryFails, g.spec.Name, fmt.Sprintf("%sits query of Prometheus, %q, says nothing since %s: %s", prefix,
			bus.Clip(g.inForce.Policy.Prometheus.Query, 80), m.Since.UTC().Format(time.RFC3339), m.Error))
	}
	if r := g.state.Refresh; g.decision != nil && r.Unresolved(g.decision.Machine) {
		text := prefix + "its refresh has failed: " + r.Sentence
		if r.Returned {
			text += fmt.Sprintf(", and the config says %s", g.spec.Template)
		}
		all.Add(bus.ProblemRefreshFailed, g.spec.Name, text)
	}
	all = append(all, g.lostHosts()...)
	all = append(all, g.hindered.troubles(g.spec.Name, now)...)
	all = append(all, g.tooOld()...)
	for _, h := range g.window.skewed() {
		all.Add(bus.ProblemClockSkew, h.host, prefix+"the clock of "+h.host+" is "+sideOf(h.skew))
	}
	return all
}
