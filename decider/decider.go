package decider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/tracing"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Config is what a Decider needs. Now and Ticks are the clock; nil means the real one.
type Config struct {
	Groups []bus.Group
	Tick   time.Duration // between two samples; 0: not longer than the interval
	Now    func() time.Time
	// Ticks are moments to look at groups whose samples stay away; nil means every half second.
	Ticks   <-chan time.Time
	Version string // of the program, for those who ask the bus for it
	// Instance is this decider's name among all on the bus; "" is made of the host's name and the process's id.
	Instance string
	// Override is a group with the fields that a person has set, or what is wrong with them. nil knows no field.
	Override func(bus.Group, map[string]string) (bus.Group, error)
	// Value is a field of a group as in the file; "" where it has no short form. nil knows none.
	Value  func(g bus.Group, path string) string
	Report func(error) // how the stage is: nil is well; may be nil
	// Ask is told which groups' queries of Prometheus are to be asked, by group, at each tick; none while another decider
	// leads. The answers come back as metrics on the bus. nil: nobody asks.
	Ask func(map[string]bus.Prometheus)
	// Fence cuts a lost host off for a group whose spec says so, within ctx; nil says that it is off. A nil function is none.
	Fence  func(ctx context.Context, spec bus.Group, host string, id bus.HostID) error
	Alive  func()          // is called in each turn of the loop; may be nil
	Tracer *tracing.Tracer // nil traces nothing
	// Taken is called with each sample that is taken and when it was, by the clock of [bus.Decision.Time]: a decision goes by
	// those that were taken at its time or before. It may be nil.
	Taken func(s bus.Sample, at time.Time)
}

// Decider is the stage that decides for all groups.
type Decider struct {
	cfg     Config
	conn    *client.Conn
	log     zerolog.Logger
	term    int64 // in which it leads; 0 while it follows
	numbers bus.Numbers

	leadership      *client.Leadership
	leaderlessSince time.Time // since when nobody was heard to lead
	began           time.Time
	groups          map[string]*group
	stages          map[string]bus.Health // by subject, with the time of their arrival
	reloads         client.Handover
	former          map[string]bus.Controls // of groups that have left
	fencer          *fencer
	keeper          *keeper
	hostOrders      HostOrders
	cluster         cluster

	// handled is called with each sample and tick that the loop is through with, and with nil once it runs; for tests.
	handled func(message any)
}

// New makes a decider. It returns an error when there is no group, or one that Check refuses.
func New(cfg Config, conn *client.Conn, log zerolog.Logger) (*Decider, error) {
	if len(cfg.Groups) == 0 {
		return nil, errors.New("decider: no groups")
	}
	for _, g := range cfg.Groups {
		if err := Check(g); err != nil {
			return nil, fmt.Errorf("decider: group %s: %w", g.Name, err)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Instance == "" {
		cfg.Instance = bus.NewInstance()
	}
	if cfg.Override == nil {
		cfg.Override = func(g bus.Group, set map[string]string) (bus.Group, error) {
			if len(set) > 0 {
				return g, errors.New("no field can be set here")
			}
			return g, nil
		}
	}
	if cfg.Value == nil {
		cfg.Value = func(bus.Group, string) string { return "" }
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	if cfg.Ask == nil {
		cfg.Ask = func(map[string]bus.Prometheus) {}
	}
	if cfg.Alive == nil {
		cfg.Alive = func() {}
	}
	if cfg.Taken == nil {
		cfg.Taken = func(bus.Sample, time.Time) {}
	}
	override := cfg.Override
	cfg.Override = func(g bus.Group, set map[string]string) (bus.Group, error) {
		g, err := override(g, set)
		if err != nil {
			return g, err
		}
		return g, Check(g)
	}
	return &Decider{
		cfg: cfg, conn: conn, log: log.With().Str("stage", "decider").Logger(), handled: func(any) {},
		reloads: client.NewHandover(), former: map[string]bus.Controls{}, fencer: newFencer(cfg.Fence),
	}, nil
}

type group struct {
	spec     bus.Group // of the file
	inForce  bus.Group // with what a person has set
	hash     string
	metrics  map[string]Published // by name
	loads    map[bus.HostID]heardLoad
	window   Window
	state    State
	seen     Observation // at the last evaluation
	demand   demand
	decision *bus.Decision // the newest, its own or of the one that leads
	heard    bus.Newest    // of those of others
	others   leaderClock   // of the one that they are of
	trouble  string        // of the group's hosts, at the last evaluation; "": none
	troubled time.Time     // since when there is some
	removed  string        // what identifies the decision by which VMs are scaled in
	unfit    error         // why the last one could not be sent; nil: it could, as far as depends on it
	lastEval time.Time
	saved    checkpoint
	kept     string    // the refresh as it is kept
	takeOver time.Time // when this decider began to lead
	hearing  time.Time // since when it hears some host of the group all the time, whoever leads; zero: it does not
	term     int64     // in which it took over; decided is only in that
	blocked  error     // why it cannot take over; nil: it can, or need not
	heardAt  time.Time // when the one that leads decided last, by this decider's spec; zero: never
	othersAt time.Time // the same, by another spec
	hindered hindered
}

func newGroup(spec bus.Group, now time.Time) *group {
	hash := spec.Hash()
	return &group{
		spec: spec, inForce: spec, metrics: map[string]Published{}, loads: map[bus.HostID]heardLoad{}, hash: hash,
		window: Window{SpecHash: hash}, lastEval: now,
	}
}

// use lets a spec hold. What another query has answered is not what this one asks.
func (g *group) use(spec bus.Group) {
	if !reflect.DeepEqual(spec.Policy.Prometheus, g.inForce.Policy.Prometheus) {
		delete(g.metrics, bus.PrometheusMetric)
	}
	g.inForce = spec
}

// hear takes a metric that the group follows.
func (g *group) hear(m bus.Metric, now time.Time) {
	if !slices.Contains(policy.Follows(g.inForce.Policy), m.Name) {
		return
	}
	heard := Published{Value: m.Value, Error: m.Error, At: now}
	if before := g.metrics[m.Name]; m.Value == nil {
		heard.Since = cmp.Or(before.Since, now)
	}
	g.metrics[m.Name] = heard
}

// inbox is what a decider receives.
type inbox struct {
	samples  chan bus.Sample
	health   chan bus.Health
	metrics  chan bus.Metric
	loads    chan bus.GuestLoad
	others   chan bus.Decision // of deciders
	requests chan client.Request
}

// listen subscribes to all that a decider goes by.
func (d *Decider) listen(ctx context.Context) (inbox, error) {
	in := inbox{
		make(chan bus.Sample, 256), make(chan bus.Health, 16), make(chan bus.Metric, 256), make(chan bus.GuestLoad, 256),
		make(chan bus.Decision, 256), make(chan client.Request, 16),
	}
	verbs := []string{
		bus.VerbStatus,
		bus.VerbExplain,
		bus.VerbForecast,
		bus.VerbPause,
		bus.VerbResume,
		bus.VerbDryRun,
		bus.VerbScale,
		bus.VerbSet,
		bus.VerbReset,
		bus.VerbSchedule,
		bus.VerbLaunch,
		bus.VerbForget,
		bus.VerbHost,
		bus.VerbRefresh,
		bus.VerbWake,
	}
	for _, verb := range bus.VMVerbs() {
		verbs = append(verbs, string(verb))
	}
	for _, subscribe := range []func() error{
		func() error { return client.SubscribeNewest(d.conn, bus.AllSamples, in.samples) },
		func() error { return client.SubscribeNewest(d.conn, bus.AllHealth, in.health) },
		func() error { return d.conn.Serve(ctx, "decider", d.cfg.Version, verbs, in.requests) },
		func() error { return client.SubscribeNewest(d.conn, bus.AllMetrics, in.metrics) },
		func() error { return client.SubscribeNewest(d.conn, bus.AllLoads, in.loads) },
		func() error { return client.Subscribe(d.conn, bus.AllDecisions, in.others) },
	} {
		if err := subscribe(); err != nil {
			return in, fmt.Errorf("decider: %w", err)
		}
	}
	return in, nil
}

// Run evaluates each group once per interval until ctx ends: as soon as every host has sent a new sample, or,
// where samples stay away, after twice the interval. Of several deciders on a bus one leads; the others listen, so that
// each of them can go on from where it stood.
func (d *Decider) Run(ctx context.Context) error {
	in, err := d.listen(ctx)
	if err != nil {
		return err
	}
	ticks := d.cfg.Ticks
	if ticks == nil {
		t := time.NewTicker(500 * time.Millisecond)
		defer t.Stop()
		ticks = t.C
	}
	d.groups, d.stages = map[string]*group{}, map[string]bus.Health{}
	d.began = d.cfg.Now()
	d.leaderlessSince = d.began
	for _, spec := range d.cfg.Groups {
		d.groups[spec.Name] = newGroup(spec, d.began)
	}
	defer d.fencer.running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := d.campaign(ctx)
	defer stop()
	d.keeper = newKeeper(d.keep, d.leadership.Term)
	defer d.keeper.start(ctx)() // ends while this decider leads yet
	d.handled(nil)
	asked, answers := in.requests, requestsATick
	for {
		d.cfg.Alive()
		var message any
		select {
		case <-ctx.Done():
			return nil
		case other := <-in.others:
			d.observeLeader(other)
		case s := <-in.samples:
			d.sampled(ctx, s)
			message = s
		case at := <-ticks:
			d.ticked(ctx)
			asked, answers = in.requests, requestsATick
			message = at
		case m := <-in.metrics:
			if g := d.groups[m.Group]; g != nil {
				g.hear(m, d.cfg.Now())
			}
		case l := <-in.loads:
			if g := d.groups[l.Group]; g != nil {
				g.hearLoad(l, d.cfg.Now())
			}
		case h := <-in.health:
			d.record(h)
		case r := <-d.fencer.results:
			d.hasFenced(r)
		case r := <-d.reloads:
			d.reload(ctx, r)
		case r := <-asked:
			if answers--; answers == 0 {
				asked = nil // until the next tick
			}
			if err := d.answer(ctx, r); err != nil {
				d.log.Debug().Err(err).Msg("answer lost")
			}
		}
		if message != nil {
			d.handled(message)
		}
	}
}

// sampled takes a sample, and evaluates its group if it was the last that it waited for.
func (d *Decider) sampled(ctx context.Context, s bus.Sample) {
	g := d.groups[s.Group]
	if g == nil {
		return
	}
	now := d.cfg.Now()
	if err := g.window.Add(s, now); err != nil {
		d.conn.Drop(s.Subject(), err)
		return
	}
	d.cfg.Taken(s, now)
	// Samples that come at the same rate as evaluations must not miss one by a few milliseconds.
	if g.window.AllFresh(now, staleAfter(g.inForce.Policy.Interval, d.cfg.Tick)) &&
		now.Sub(g.lastEval) >= g.inForce.Policy.Interval*8/10 {
		d.evaluate(ctx, g, now)
	}
}

// ticked evaluates the groups whose samples stay away, and reports how they are.
func (d *Decider) ticked(ctx context.Context) {
	now := d.cfg.Now()
	for _, g := range d.groups {
		if now.Sub(g.lastEval) >= 2*g.inForce.Policy.Interval {
			d.evaluate(ctx, g, now)
		}
	}
	d.nameCluster(ctx, now)
	d.report(now)
	d.cfg.Ask(d.queries())
}

// queries are those whose answers the groups follow, by group; none while another decider leads.
func (d *Decider) queries() map[string]bus.Prometheus {
	asked := map[string]bus.Prometheus{}
	for name, g := range d.groups {
		if d.term != 0 && policy.FollowsPrometheus(g.inForce.Policy) {
			asked[name] = g.inForce.Policy.Prometheus
		}
	}
	return asked
}

// requestsATick is how many requests are answered at most between two ticks: everybody may ask, and samples must not wait for it.
const requestsATick = 16

// staleAfter is the age from which a host's last sample says nothing any more.
func staleAfter(interval, tick time.Duration) time.Duration {
	return max(3*interval, 3*tick, 5*time.Second)
}

func (d *Decider) evaluate(ctx context.Context, g *group, now time.Time) {
	g.lastEval = now
	stale := staleAfter(g.inForce.Policy.Interval, d.cfg.Tick)
	obs := g.window.Take(now, stale) // also where another decides, as the next window starts here
	g.hears(obs, now)
	if !d.leads(ctx, g, now) {
		return
	}
	obs.Awaited = g.awaited(obs, now)
	obs.Settling = g.settling(now)
	d.attend(&obs, g, now)
	d.attached(ctx, g, obs, now)
	obs.Metrics, obs.Loads = g.metrics, g.guestLoads(now)
	refresh, standings := g.state.Refresh, g.state.Standings
	g.seen = obs
	decision, next := Decide(g.inForce, g.state, obs, now)
	if next.Controls.Desired != g.state.Controls.Desired { // a domain has come that was asked for before this decider led
		if err := d.keepOrder(ctx, g, next, now); err != nil {
			d.log.Warn().Err(err).Str("group", g.spec.Name).Msg("that a domain was attached is not kept yet")
		}
	}
	g.state = next
	if why := obs.stood(next.Standings, g.inForce, now).incomplete(); why == "" || g.trouble == "" {
		g.trouble, g.troubled = why, now
	} else {
		g.trouble = why
	}
	d.tellStandings(g, standings, now)
	d.fence(ctx, g, now)
	g.hindered = g.hindered.next(g.hindrances(decision, obs, stale, now), now)
	d.refreshed(ctx, g, refresh)
	d.publish(g, decision, now)
	if minute := g.demand.add(decision, now); minute != nil {
		if err := d.conn.Publish(minute); err != nil {
			d.log.Debug().Err(err).Str("group", g.spec.Name).Msg("a minute of demand is not in the history")
		}
	}
	if decision.Direction != bus.Hold {
		d.log.Info().Str("group", g.spec.Name).Str("decision_id", g.decision.ID).Int("current", decision.Current).
			Int("desired", decision.Desired).Str("reason", decision.Sentence).Msg("decided")
	}
	d.remember(g, now)
}
