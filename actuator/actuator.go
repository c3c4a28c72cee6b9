package actuator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/orphan"
	"github.com/vmscaler/vmscaler/actuator/template/staging"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

const (
	firstBackoff   = time.Second // after a failure; doubled with each further one
	longestBackoff = time.Minute
)

// Config is what an Actuator needs.
type Config struct {
	Groups       []bus.Group
	Pools        vm.Pools
	Acceleration string // auto, kvm or qemu
	Network      string // of groups whose spec leaves it open
	Limits       HostLimits
	Dial         func(context.Context) (*libvirt.Connect, error)
	// Identify is which libvirt a connection reaches, and its host's name.
	Identify func(*libvirt.Connect) (bus.HostID, string, error)
	// Instance and Since are those of the stage's health. Of two actuators on one libvirt the one that was there first acts.
	Instance string
	Since    time.Time
	// Acts is called with where the stage acts, and what it finds there. It may be nil.
	Acts func(bus.Acts)
	Now  func() time.Time // nil means the real clock
	// RecordDir is the folder with the records of what was made; "" is none: then nothing is swept. URI is what libvirt is
	// called in them; "" is what libvirt says.
	RecordDir, URI string
	SweepGrace     time.Duration // 0 means [orphan.DefaultGrace]
	TermFile       string        // which has which decider was followed last; "" keeps that for as long as the process lasts
	ContactFile    string        // which has when deciders were heard last; "" keeps that for as long as the process lasts
	ConsoleDir     string        // the folder with what VMs printed while they booted; "" keeps nothing
	// Report is called with the stage's health: nil is well, else what it waits for. It may be nil.
	Report func(error)
	Alive  func()          // is called in each turn of the loop; may be nil
	Tracer *tracing.Tracer // nil traces nothing
	// Templates looks after the templates that the groups need, and runs by itself; nil: nobody does.
	Templates *staging.Stager

	sweepEvery time.Duration // 0 means that of the same name
	identify   func(path string) (*orphan.FileID, error)
	stopping   func(context.Context) bool // the host is shutting down
	sinceBoot  func() time.Duration       // the clock that goes on since the machine's boot, also while it sleeps
}

// Actuator is the stage that acts. All its fields are owned by Run's goroutine.
type Actuator struct {
	cfg           Config
	conn          *client.Conn
	outbox        *client.Outbox
	log           zerolog.Logger
	groups        map[string]*group
	workers       map[string]*worker   // by the VM's UUID
	retryAt       map[string]time.Time // when to retry, of VMs whose removal failed, by UUID
	seen          map[string]vm.VM     // what the last snapshot shows, by UUID; nil before the first
	damaged       map[string]string    // domains whose metadata of ours cannot be read, with why, as the last snapshot shows them
	reportedNames map[string]bool      // taken names that were published
	term          termKeeper
	contacts      contacts
	gone          []vm.VM     // that served and vanished, and whose remove hook does not know it yet
	done          chan result // of the present connection's workers
	chosen        chan chosen // has room for the one question that each group may have
	load          load
	liveness      livenessByVM
	checkups      checkups
	loads         guestLoads
	hooks         *vm.Hooks // safe for concurrent use
	hostID        bus.HostID
	host          string                // its name
	rivals        map[string]bus.Health // other actuators, by subject, with the time of their arrival
	cores         int
	// launches reports that the last plan wanted launches: the next look also measures the room for them.
	launches    bool
	byAge       bool // some group needs to know when its template was replaced
	sweeper     sweeper
	pendingEnds sync.Map                // the UUIDs of VMs whose end waits for the history
	ignored     sync.Map                // what was said to have no effect
	recalled    bool                    // what an earlier process has removed is counted
	retries     map[string]removalRetry // VMs whose removal failed, by UUID
	reloads     client.Handover
	handed      []func()          // who waits until the groups hold that were handed over
	former      map[string]*group // that have left
	traces      sync.Map          // the traceparents of what is done about VMs, by their names
}

// group is the actuator's view of one group.
type group struct {
	spec           bus.Group
	hash           string
	newest         bus.Newest
	failures       int       // of launches, in a row
	failedLaunches int       // since the stage started
	deaths         int       // of VMs soon after their boot, in a row
	diedAt         time.Time // the last of those
	stopped        bool      // the last failure stopped launching
	cause          string    // of the last failure
	retryAt        time.Time
	restless       restless
	saveShort      string // what the host lacks to save the memory of one more VM of the warm pool; "": nothing
	mismatch       bool
	removals       []time.Time // of VMs that served, within the removal window
	removalsHeld   bool        // removals wait for the budget; said already
	healthPaused   bool        // by a person, at the last look
	asker          asker
	shortage       string                // what the host lacks for a launch; "": nothing
	needed         map[string]neededDisk // by the names that are set aside
	vacated        []string              // the names of VMs that are gone, the last one last, where disks are kept
	untemplated    bool                  // launches wait for a template
	// suspended are VMs that leave no room in max for those that are desired.
	suspended []vm.VM
	retained  []vm.VM   // the same
	shortAt   time.Time // when it did last
	isolated  bool      // at the last look: no decider is heard, and what may serve is removed
	dryRun    string    // what a dry run said last
	desired   int       // of the last plan, and its max
	most      int
	began     time.Time // when the stage did
	failedAt  time.Time // the last of failures and deaths
	standing  standing
	attached  map[string]time.Time // domains that were to be attached, by name: of which request that was done or refused
	leaves    bool                 // the config, and is planned for no more
	joined    bool                 // the config lately; its VMs were not looked at yet
	trace     string               // the traceparent of the last decision with a trace, until all of it is done; "": none
	heard     time.Time            // when that decision came, until it is planned for; zero: it is
}

// newGroup is one without a spec.
func newGroup(now time.Time) *group { return &group{began: now, attached: map[string]time.Time{}} }

// hooked is a spec with the hooks that are waited for now: none while a person has paused them.
func (g *group) hooked(spec bus.Group) bus.Group {
	if g.newest.Decision.Controls.IsPaused(bus.ScopeHooks) {
		spec.Hooks = bus.Hooks{}
	}
	return spec
}

// New makes an actuator. It returns an error when there is no group or no way to dial.
func New(cfg Config, conn *client.Conn, log zerolog.Logger) (*Actuator, error) {
	switch {
	case len(cfg.Groups) == 0:
		return nil, errors.New("actuator: no groups")
	case cfg.Dial == nil:
		return nil, errors.New("actuator: no way to reach libvirt")
	case cfg.Identify == nil:
		return nil, errors.New("actuator: no way to tell which libvirt it is")
	}
	if cfg.Acts == nil {
		cfg.Acts = func(bus.Acts) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	if cfg.Alive == nil {
		cfg.Alive = func() {}
	}
	if cfg.SweepGrace == 0 {
		cfg.SweepGrace = orphan.DefaultGrace
	}
	if cfg.sweepEvery == 0 {
		cfg.sweepEvery = min(sweepEvery, cfg.SweepGrace)
	}
	if cfg.stopping == nil {
		cfg.stopping = hostStops
	}
	if cfg.sinceBoot == nil {
		cfg.sinceBoot = sinceBoot
	}
	if cfg.identify == nil {
		cfg.identify = orphan.Identify
	}
	a := &Actuator{
		cfg: cfg, conn: conn, log: log.With().Str("stage", "actuator").Logger(), groups: map[string]*group{},
		workers: map[string]*worker{}, retryAt: map[string]time.Time{}, reportedNames: map[string]bool{},
		rivals: map[string]bus.Health{}, load: load{}, liveness: livenessByVM{}, checkups: checkups{},
		loads:  guestLoads{rest: map[string]time.Time{}},
		outbox: client.NewOutbox(conn, log), chosen: make(chan chosen, len(cfg.Groups)),
		sweeper: sweeper{told: map[string]bool{}, ended: map[string]bool{}, failed: map[string]bool{}},
	}
	a.term = termKeeper{file: cfg.TermFile, log: a.log}
	a.contacts = newContacts(cfg.ContactFile, cfg.sinceBoot, a.log)
	a.reloads, a.former = client.NewHandover(), map[string]*group{}
	a.hooks, a.retries = vm.NewHooks(a.log), map[string]removalRetry{}
	for _, spec := range cfg.Groups {
		if err := bus.CheckScaleIn(spec.ScaleIn); err != nil {
			return nil, fmt.Errorf("actuator: group %s: scale_in: %w", spec.Name, err)
		}
		g := newGroup(cfg.Now())
		g.spec, g.hash = spec, spec.Hash()
		a.groups[spec.Name] = g
		a.contacts.join(spec.Name)
	}
	a.orderBy()
	return a, nil
}

// inbox is what comes over the bus.
type inbox struct {
	decisions chan bus.Decision
	samples   chan bus.Sample
	rivals    chan bus.Health
	requests  chan client.Request
}

func (a *Actuator) subscribe(ctx context.Context) (inbox, error) {
	in := inbox{
		decisions: make(chan bus.Decision, 256), samples: make(chan bus.Sample, 256), rivals: make(chan bus.Health, 16),
		requests: make(chan client.Request),
	}
	for _, err := range []error{
		client.Subscribe(a.conn, bus.AllDecisions, in.decisions),
		client.SubscribeNewest(a.conn, bus.AllSamples, in.samples),
		client.Subscribe(a.conn, bus.ActuatorHealth, in.rivals),
		a.conn.Serve(ctx, "actuator", "", []string{bus.VerbHook}, in.requests),
	} {
		if err != nil {
			return in, fmt.Errorf("actuator: %w", err)
		}
	}
	return in, nil
}

// Run compares desired with what libvirt has, at every decision, at every domain event, whenever a worker ends,
// and every second, until ctx ends. VMs are left as they are then. While libvirt cannot be reached it reports why
// and tries again.
func (a *Actuator) Run(ctx context.Context) (err error) {
	a.term.load()
	a.contacts.load()
	in, err := a.subscribe(ctx)
	if err != nil {
		return err
	}
	sending, sent := context.WithCancel(context.WithoutCancel(ctx)) // also what the end of the stage has to say
	outbox := make(chan error, 1)
	go func() { outbox <- a.outbox.Run(sending) }()
	defer func() {
		sent()
		err = errors.Join(err, <-outbox)
	}()
	for {
		a.cfg.Report(a.serve(ctx, in))
		if !a.wait(ctx, in, time.Second) {
			return nil
		}
	}
}

// wait takes what comes over the bus for a while, without libvirt. It reports whether to go on.
func (a *Actuator) wait(ctx context.Context, in inbox, d time.Duration) bool {
	again := time.NewTimer(d)
	defer again.Stop()
	for {
		a.cfg.Alive()
		a.contacts.turn()
		select {
		case <-ctx.Done():
			return false
		case d := <-in.decisions:
			a.receive(d)
		case s := <-in.samples:
			a.recordSample(s)
		case h := <-in.rivals:
			a.meet(h)
		case r := <-in.requests:
			a.answer(r)
		case r := <-a.reloads:
			a.reload(r)
		case <-again.C:
			return true
		}
	}
}

// answer answers a request. Each actuator gets all of them; one for a hook that waits elsewhere is left to that actuator.
func (a *Actuator) answer(r client.Request) {
	var err error
	switch r.Verb {
	case bus.VerbHook:
		answer, known, refusal := a.hooks.Answer(r.Query)
		switch {
		case !known:
			r.Ignore()
		case refusal != nil:
			err = r.Refuse("%s", refusal)
		default:
			err = r.Answer(answer)
		}
	default:
		err = r.Refuse("%s", bus.Refuse(bus.RefusedMalformed, "found the verb %q, want %q", r.Verb, bus.VerbHook))
	}
	if err != nil {
		a.log.Error().Err(err).Msgf("answer to a request (%s)", r.Verb)
	}
}
