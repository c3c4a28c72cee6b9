package actuator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

const (
	lookEvery      = time.Second      // between two looks at libvirt when nothing happens
	lookDeadline   = 10 * time.Second // for one look; it normally takes milliseconds
	stopDeadline   = 10 * time.Second // for the workers to leave when the stage stops
	goodbye        = 2 * time.Second  // for the connection to close
	firstBackoff   = time.Second      // after a failure; doubled with each further one
	longestBackoff = time.Minute
	maxRivals      = 256              // that are remembered
	rivalAge       = 10 * time.Second // for how long an actuator counts that gives no sign of life; it normally does every 3 s
	tolerableSkew  = 2 * time.Second  // of the decider's clock
)

// Config is what an Actuator needs.
type Config struct {
	Groups       []bus.Group
	Pool         string // storage pool of templates and volumes
	Acceleration string // auto, kvm or qemu
	Network      string // of groups whose spec leaves it open
	Limits       bus.HostLimits
	Dial         func(context.Context) (*libvirt.Connect, error)
	// Identify is which libvirt a connection reaches, and its host's name.
	Identify func(*libvirt.Connect) (bus.HostID, string, error)
	// Instance and Since are those of the stage's health. Of two actuators on one libvirt the one that was there first acts.
	Instance string
	Since    time.Time
	// Acts is told where the stage acts, and what it finds there. It may be nil.
	Acts func(bus.Acts)
	Now  func() time.Time // nil means the real clock
	// RecordDir is the folder with the records of what was made; "" is none: then nothing is swept. URI is what libvirt is
	// called in them; "" is what libvirt says.
	RecordDir, URI string
	SweepGrace     time.Duration // 0 means that of the same name
	// Report tells how the stage is: nil all is well, else what it waits for. It may be nil.
	Report func(error)

	sweepEvery time.Duration // 0 means that of the same name
	identify   func(path string) (*FileID, error)
	stopping   func(context.Context) bool // the host is shutting down
}

// Actuator is the stage that acts. All its fields are owned by Run's goroutine.
type Actuator struct {
	cfg     Config
	conn    *client.Conn
	outbox  *client.Outbox
	log     zerolog.Logger
	groups  map[string]*group
	workers map[string]*worker   // by the VM's UUID
	resting map[string]time.Time // VMs whose removal failed, by UUID, until when they are let be
	seen    map[string]VM        // what the last look found, by UUID; nil before the first
	told    map[string]bool      // taken names that were published
	gone    []VM                 // that served and vanished, and whose remove hook does not know it yet
	done    chan result          // of the present connection's workers
	load    load
	pulses  pulses
	hooks   *hooks // safe for concurrent use
	hostID  bus.HostID
	host    string                // its name
	rivals  map[string]bus.Health // other actuators, by instance, with the time of their arrival
	cores   int
	// launches says that the last plan wanted launches: the next look also measures the room for them.
	launches bool
	byAge    bool // some group needs to know when its template was replaced
	sweeper  sweeper
	saying   sync.Map        // the UUIDs of VMs whose end waits for the history
	recalled bool            // what an earlier process has removed is counted
	rests    map[string]rest // VMs whose removal failed, by UUID
}

// group is the actuator's view of one group.
type group struct {
	spec     bus.Group
	hash     string
	newest   bus.Newest
	failures int       // of launches, in a row
	deaths   int       // of VMs soon after their boot, in a row
	diedAt   time.Time // the last of those
	stopped  bool      // the last failure stopped launching
	cause    string    // of the last failure
	retryAt  time.Time
	mismatch bool
	removals []time.Time // of VMs that served, within the removal window
	braked   bool        // removals wait for the budget; said already
	short    string      // what the host lacks for a launch; "": nothing
	shortAt  time.Time   // when it did last
	would    string      // what a dry run said last
	desired  int         // of the last plan, and its max
	most     int
}

// worker brings one VM up or removes it.
type worker struct {
	name, group string
	up          bool
	cancel      context.CancelCauseFunc
	drain       *drain // of a removal that can be called off
}

type result struct {
	uuid string
	err  error
}

// errScaleIn cancels a launch that is not wanted any more.
var errScaleIn = errors.New("not wanted any more")

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
	if cfg.SweepGrace == 0 {
		cfg.SweepGrace = SweepGrace
	}
	if cfg.sweepEvery == 0 {
		cfg.sweepEvery = min(sweepEvery, cfg.SweepGrace)
	}
	if cfg.stopping == nil {
		cfg.stopping = hostStops
	}
	if cfg.identify == nil {
		cfg.identify = identify
	}
	a := &Actuator{
		cfg: cfg, conn: conn, log: log.With().Str("stage", "actuator").Logger(), groups: map[string]*group{},
		workers: map[string]*worker{}, resting: map[string]time.Time{}, told: map[string]bool{},
		rivals: map[string]bus.Health{}, load: load{}, pulses: pulses{}, outbox: client.NewOutbox(conn, log),
		sweeper: sweeper{told: map[string]bool{}, ended: map[string]bool{}, failed: map[string]bool{}},
	}
	a.hooks, a.rests = newHooks(a.log), map[string]rest{}
	for _, spec := range cfg.Groups {
		g := &group{spec: spec, hash: spec.Hash()} // the hash is of the spec as other stages have it
		if g.spec.Network == "" {
			g.spec.Network = cfg.Network
		}
		a.groups[spec.Name] = g
		a.byAge = a.byAge || spec.ScaleIn == bus.ScaleInOutdated
	}
	return a, nil
}

// Run compares desired with what libvirt has, at every decision, at every domain event, whenever a worker ends,
// and every second, until ctx ends. VMs are left as they are then. While libvirt cannot be reached it reports why
// and tries again.
func (a *Actuator) Run(ctx context.Context) (err error) {
	decisions := make(chan bus.Decision, 256)
	if err := client.Subscribe(a.conn, bus.AllDecisions, decisions); err != nil {
		return fmt.Errorf("actuator: %w", err)
	}
	samples := make(chan bus.Sample, 256)
	if err := client.SubscribeNewest(a.conn, bus.AllSamples, samples); err != nil {
		return fmt.Errorf("actuator: %w", err)
	}
	rivals := make(chan bus.Health, 16)
	if err := client.Subscribe(a.conn, bus.ActuatorHealth, rivals); err != nil {
		return fmt.Errorf("actuator: %w", err)
	}
	sending, sent := context.WithCancel(context.WithoutCancel(ctx)) // also what the end of the stage has to say
	outbox := make(chan error, 1)
	go func() { outbox <- a.outbox.Run(sending) }()
	defer func() {
		sent()
		err = errors.Join(err, <-outbox)
	}()
	requests := make(chan client.Request)
	if err := a.conn.Serve(ctx, "actuator", "", []string{bus.VerbHook}, requests); err != nil {
		return fmt.Errorf("actuator: %w", err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { a.hooks.serve(ctx, requests) })
	defer serving.Wait()
	for {
		a.cfg.Report(a.serve(ctx, decisions, samples, rivals))
		again := time.NewTimer(time.Second)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				again.Stop()
				return nil
			case d := <-decisions:
				a.receive(d)
			case s := <-samples:
				a.hear(s)
			case h := <-rivals:
				a.meet(h)
			case <-again.C:
				waiting = false
			}
		}
	}
}

// hear keeps a sample of a group of this config, so that those of groups that somebody made up take no memory.
func (a *Actuator) hear(s bus.Sample) {
	if a.groups[s.Group] != nil {
		a.load.take(s, a.hostID, a.cfg.Now())
	}
}

// look is one view of libvirt, taken while the set of workers did not change.
type look struct {
	inventory Inventory
	vcpus     int // of all running domains, if measured
	measured  bool
	replaced  map[string]time.Time // when templates were replaced, by name
	stopping  bool                 // the host is shutting down
	err       error
}

// serve works over one connection until it fails or ctx ends.
func (a *Actuator) serve(ctx context.Context, decisions <-chan bus.Decision, samples <-chan bus.Sample, rivals <-chan bus.Health) (err error) {
	lv, err := a.cfg.Dial(ctx)
	if err != nil {
		return fmt.Errorf("reach libvirt: %w", err)
	}
	looks := make(chan look, 1)
	looking := false
	a.done = make(chan result, 1024) // never full, so that a worker that was given up can still end
	restarted := newRestarts()
	events, stopEvents, err := domainEvents(lv, restarted)
	if err != nil {
		_, _ = lv.Close()
		return err
	}
	stopRestarts, err := restarted.listen(lv)
	if err != nil {
		stopEvents()
		_, _ = lv.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		left := a.stopWorkers() && a.stopSweep()
		if left && looking {
			select {
			case <-looks: // it is over in a moment
			case <-time.After(stopDeadline):
				left = false
			}
		}
		// The connection stays with a call that hangs; the last two are calls as well.
		if left = left && within(goodbye, func() {
			stopEvents()
			stopRestarts()
			_, _ = lv.Close()
		}); !left {
			a.log.Warn().Msg("a libvirt call has not returned; it is given up")
		}
	}()

	h, slots, err := a.prepare(lv)
	if err != nil {
		return err
	}
	local := true // what systemd says is said of this machine
	if uri, err := lv.GetURI(); err != nil || !IsLocal(uri) {
		local = false
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	deadline := time.NewTimer(lookDeadline)
	defer deadline.Stop()
	heard := make(chan answers, 1)
	asking := false
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	changed := false // since the look began: what it saw may be out of date
	again := true
	for {
		if again && !looking {
			looking, again, changed = true, false, false
			deadline.Reset(lookDeadline)
			measure := a.launches
			go func() {
				l := lookAt(lv, a.cfg.Pool, measure, a.byAge)
				l.stopping = local && l.err == nil && l.disturbed() && a.cfg.stopping(ctx)
				looks <- l
			}()
		}
		select {
		case <-ctx.Done():
			return nil
		case d := <-decisions:
			if a.receive(d) {
				again = true
			}
		case s := <-samples:
			a.hear(s)
		case h := <-rivals:
			a.meet(h)
		case <-pulse.C:
			if vms := a.toAsk(); len(vms) > 0 && !asking {
				if err := lv.Ref(); err != nil {
					return fmt.Errorf("ask the guest agents: %w", err)
				}
				asking = true
				go func() { heard <- askAgents(ctx, lv, h.calls, vms) }()
			}
		case got := <-heard:
			asking = false
			a.pulses.hear(got)
		case uuid := <-restarted.uuids:
			a.restarted(lv, h, uuid)
		case <-events:
			again = true
		case <-tick.C:
			again = true
		case r := <-a.done:
			a.ended(r)
			changed, again = true, true
		case <-deadline.C:
			if looking {
				a.cfg.Report(fmt.Errorf("libvirt has not answered for %s", lookDeadline))
			}
		case l := <-looks:
			looking = false
			if l.err != nil {
				return l.err
			}
			if l.stopping { // whoever shuts the VMs down one by one must not find new ones
				a.cfg.Report(errors.New("this host is shutting down: nothing is launched or removed any more"))
				continue
			}
			if changed {
				again = true
				continue
			}
			a.cfg.Acts(bus.Acts{HostID: a.hostID, Full: a.full(), Taken: a.taken(l.inventory)})
			a.cfg.Report(a.problem())
			a.catchUp(decisions)
			a.notice(l.inventory)
			a.pulses.look(l.inventory.Owned, a.cfg.Now())
			again = a.act(ctx, h, slots, l)
			a.sweep(lv, l.inventory)
		case step := <-a.sweeper.results:
			a.swept(ctx, lv, step)
		}
	}
}

// within calls f, and says whether it has returned in time.
func within(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}

// prepare reads what does not change while the connection lasts.
func (a *Actuator) prepare(lv *libvirt.Connect) (hypervisor, int, error) {
	acc, err := ReadAcceleration(lv, a.cfg.Acceleration)
	if err != nil {
		return hypervisor{}, 0, err
	}
	node, err := lv.GetNodeInfo()
	if err != nil {
		return hypervisor{}, 0, fmt.Errorf("read the host's cores: %w", err)
	}
	if a.hostID, a.host, err = a.cfg.Identify(lv); err != nil {
		return hypervisor{}, 0, err
	}
	a.cfg.Acts(bus.Acts{HostID: a.hostID, Full: []string{}, Taken: map[string][]int{}})
	// So that files which others put into the pool's folder are seen when names are chosen.
	if pool, err := lv.LookupStoragePoolByName(a.cfg.Pool); err == nil {
		_ = pool.Refresh(0) // refused while a volume is being made: then they are seen later
		_ = pool.Free()
	}
	h := hypervisor{
		conn: lv, pool: a.cfg.Pool, machine: machine{virtType: acc.VirtType, arch: acc.Arch}, calls: newCalls(),
	}
	h.libvirtID = acc.HostUUID
	if uri, err := lv.GetURI(); err == nil {
		h.libvirtID += libvirtPath(uri)
	}
	host := a.host // of this connection, as workers run beside the next one's
	h.tell = func(e bus.Event) { a.publish(host, e, nil) }
	a.cores = int(node.Cpus)
	h.host, h.hooks = host, a.hooks
	if err := a.prepareSweeps(&h); err != nil {
		return hypervisor{}, 0, err
	}
	// Booting takes a core; more boots than cores at the same time make each of them slower.
	return h, max(1, a.cores), nil
}

func lookAt(lv *libvirt.Connect, pool string, launches, outdated bool) (l look) {
	if l.inventory, l.err = ReadInventory(lv); l.err != nil {
		return l
	}
	// A pool that is not there takes away nothing but the making of VMs, which will say so.
	_ = takenByVolumes(lv, pool, l.inventory.Taken)
	if launches {
		if l.vcpus, l.err = runningVCPUs(lv); l.err != nil {
			return l
		}
		l.measured = true
	}
	if outdated {
		if templates, err := template.List(lv, pool); err == nil {
			l.replaced = map[string]time.Time{}
			for _, t := range templates {
				l.replaced[t.Name] = t.Changed
			}
		}
	}
	return l
}

// domainEvents wakes the loop whenever a domain changes.
func domainEvents(lv *libvirt.Connect, restarted *restarts) (<-chan struct{}, func(), error) {
	events := make(chan struct{}, 1)
	id, err := lv.DomainEventLifecycleRegister(nil, func(_ *libvirt.Connect, dom *libvirt.Domain, e *libvirt.DomainEventLifecycle) {
		restarted.changed(dom, e)
		select {
		case events <- struct{}{}:
		default: // one wake-up is enough
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("ask for domain events: %w", err)
	}
	return events, func() { _ = lv.DomainEventDeregister(id) }, nil
}

// receive takes a decision and says whether it wakes the stage.
func (a *Actuator) receive(d bus.Decision) bool {
	wakes, err := a.take(d)
	if err != nil {
		a.conn.Drop(d.Subject(), err)
	}
	return wakes
}

// catchUp takes the decisions that wait, as after a stall: nothing is done by one that was followed by others.
func (a *Actuator) catchUp(decisions <-chan bus.Decision) {
	for {
		select {
		case d := <-decisions:
			a.receive(d)
		default:
			return
		}
	}
}

// take keeps a decision if it is the newest, and reports whether there is something new to do. The error says why a decision for
// one of our groups is of no use.
func (a *Actuator) take(d bus.Decision) (wakes bool, err error) {
	g := a.groups[d.Group]
	switch {
	case g == nil:
		return false, nil
	case d.SpecHash != g.hash:
		g.mismatch = true
		return false, nil
	}
	before := g.newest.Decision
	if err := g.newest.Take(d, a.cfg.Now()); err != nil {
		return false, err
	}
	g.mismatch = false
	toScaleIn := d.Direction == bus.In && before.Direction != bus.In
	return d.Desired != before.Desired || toScaleIn || !before.Known || !sameControls(d.Controls, before.Controls), nil
}

// meet notes another actuator's sign of life.
func (a *Actuator) meet(h bus.Health) {
	now := a.cfg.Now()
	maps.DeleteFunc(a.rivals, func(_ string, old bus.Health) bool { return now.Sub(old.Time) > rivalAge })
	if h.Instance != a.cfg.Instance && h.Acts != nil && len(a.rivals) < maxRivals {
		h.Time = now
		a.rivals[h.Instance] = h
	}
}

// rival is an actuator that acts on the same libvirt and was there first; nil is none.
func (a *Actuator) rival() *bus.Health {
	for _, instance := range slices.Sorted(maps.Keys(a.rivals)) {
		h := a.rivals[instance]
		first := h.Since.Before(a.cfg.Since) || h.Since.Equal(a.cfg.Since) && h.Instance < a.cfg.Instance
		if h.Acts.HostID == a.hostID && a.cfg.Now().Sub(h.Time) <= rivalAge && first {
			return &h
		}
	}
	return nil
}

func sameControls(a, b bus.Controls) bool {
	return a.DryRun == b.DryRun && slices.Equal(a.Paused, b.Paused)
}

// fullFor is for how long a host counts as full after it had no room for a launch: others are asked meanwhile.
const fullFor = time.Minute

// full are the groups of which no further VM had room here lately.
func (a *Actuator) full() []string {
	groups := []string{}
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		if g := a.groups[name]; g.short != "" || a.cfg.Now().Sub(g.shortAt) < fullFor {
			groups = append(groups, name)
		}
	}
	return groups
}

// maxTaken bounds how many taken numbers of a group are told.
const maxTaken = 1000

// taken are, by group, the numbers whose names something that is not ours has.
func (a *Actuator) taken(inv Inventory) map[string][]int {
	ours := map[string]bool{}
	for _, vm := range inv.Owned {
		ours[vm.Name] = true
	}
	numbers := map[string][]int{}
	for name := range inv.Taken {
		i := strings.LastIndexByte(name, '-')
		if i < 0 || a.groups[name[:i]] == nil || ours[name] || a.working(name) {
			continue
		}
		if n, ok := bus.VMNumber(name[:i], name); ok && len(numbers[name[:i]]) < maxTaken {
			numbers[name[:i]] = append(numbers[name[:i]], n)
		}
	}
	for _, list := range numbers {
		slices.Sort(list)
	}
	return numbers
}

// problem is what keeps groups from having what is desired; nil where nothing does.
func (a *Actuator) problem() error {
	var problems []string
	if r := a.rival(); r != nil {
		problems = append(problems, fmt.Sprintf("%s acts on host %s (%s) since %s: this one does nothing; stop one of them, or, where these are two hosts, "+
			"give each an identity of its own: host_uuid in libvirtd.conf, or, on a machine without DMI, /etc/machine-id", r.Instance, a.host, a.hostID, r.Since.Local().Format(time.DateTime)))
	}
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		for _, p := range a.groups[name].problems(a.hostID, a.host, a.cfg.Now()) {
			problems = append(problems, "group "+name+": "+p)
		}
	}
	problems = append(problems, a.restProblems()...)
	if problems == nil {
		return nil
	}
	return errors.New(strings.Join(problems, "; "))
}

func (g *group) problems(id bus.HostID, host string, now time.Time) (problems []string) {
	if g.mismatch {
		problems = append(problems, "the decider reads another config than the actuator; its decisions are ignored")
	}
	if _, share := g.newest.Decision.Shares[id]; g.newest.Decision.Known && !share {
		problems = append(problems, fmt.Sprintf("the decider has no samples of this host, %s (%s)", host, id))
	}
	if err := g.newest.Refused(now); err != nil {
		problems = append(problems, err.Error())
	} else if g.newest.Taken() && !g.newest.Holds(now) {
		problems = append(problems, "the last decision has run out: no decider is heard")
	}
	if skew, known := g.newest.Skew(); known && skew.Abs() > tolerableSkew {
		side := "behind"
		if skew < 0 {
			side = "ahead of"
		}
		problems = append(problems, fmt.Sprintf("the decider's clock is %s %s this host's", skew.Abs().Round(time.Second), side))
	}
	if g.open() && now.Before(g.retryAt) {
		problems = append(problems, fmt.Sprintf("no launch until %s after %s in a row: %s", g.retryAt.Local().Format(time.DateTime), bus.Count(g.failures+g.deaths, "failure"), g.cause))
	}
	if g.short != "" {
		problems = append(problems, "no room for another VM: "+g.short)
	}
	if g.braked {
		problems = append(problems, fmt.Sprintf("no VM is scaled in for now: %d were in %s", len(g.removals), g.spec.Brakes.RemovalWindow))
	}
	return problems
}

// notice publishes what changed without our doing, and at the first look what is taken over.
func (a *Actuator) notice(inv Inventory) {
	now := map[string]VM{}
	died := map[string][]VM{}
	for _, vm := range inv.Owned {
		if a.groups[vm.Meta.Group] == nil {
			continue
		}
		now[vm.UUID] = vm
		if before := a.seen[vm.UUID]; before.State == bus.StateRunning && vm.Meta.Phase == bus.PhaseReady &&
			a.workers[vm.UUID] == nil && (vm.State == bus.StateShutoff || vm.State == bus.StateCrashed) {
			died[vm.Meta.Group] = append(died[vm.Meta.Group], vm)
		}
		if a.seen == nil {
			a.tell(bus.Event{
				Group: vm.Meta.Group, VM: vm.Name, Event: bus.EventAdopted,
				Sentence: fmt.Sprintf("found %s, phase %s", vm.State, vm.Meta.Phase),
			})
		}
	}
	for uuid, vm := range a.seen {
		if _, there := now[uuid]; there || a.workers[uuid] != nil || vm.Meta.Phase == bus.PhaseStopping {
			continue
		}
		if _, failed := a.resting[uuid]; failed {
			continue
		}
		a.tell(bus.Event{
			Group: vm.Meta.Group, VM: vm.Name, Event: bus.EventDied,
			Sentence: "gone: its definition was removed by someone else",
		})
		if vm.Meta.Phase == bus.PhaseReady {
			died[vm.Meta.Group] = append(died[vm.Meta.Group], vm)
		}
		a.gone = append(a.gone, vm)
	}
	a.seen = now
	for name, g := range a.groups {
		g.forgive(a.cfg.Now())
		for _, e := range g.ill(died[name], "it is off or gone", a.cfg.Now(), a.cfg.Now()) {
			a.tell(e)
		}
	}
	for uuid, until := range a.resting {
		if a.cfg.Now().After(until) {
			delete(a.resting, uuid)
		}
	}
	a.forgetRests(now)
}

// act plans for every group and starts the workers. It says whether it needs another look at once: launches wait for one
// that has measured the room for them.
func (a *Actuator) act(ctx context.Context, h hypervisor, slots int, l look) (again bool) {
	inv, room := l.inventory, a.hostRoom(l.vcpus)
	a.launches = false
	gone := a.gone
	a.gone = nil
	for _, g := range a.groups {
		s := a.situation(g, slots, inv)
		s.Replaced = l.replaced[g.spec.Template]
		g.desired, g.most = s.Desired, s.Spec.Max
		plan := Plan(s)
		if g.spec.DryRun || g.newest.Decision.Controls.DryRun {
			g.braked = false
			a.rehearse(g, plan) // and nothing else: this is the one place from which anything is done
			continue
		}
		g.would = ""
		id := g.newest.Decision.ID
		for _, vm := range gone {
			if hook := g.spec.Hooks.Remove; vm.Meta.Group == g.spec.Name && hook.WaitFor == bus.WaitForCommand {
				a.work(ctx, worker{name: vm.Name, group: g.spec.Name}, vm.UUID, func(ctx context.Context) error {
					_ = h.farewell(ctx, hook, vm, id) // what went wrong is in the log, and nobody waits for it
					return nil
				})
			}
		}
		a.brake(g, plan)
		a.launches = a.launches || len(plan.Create) > 0
		switch {
		case len(plan.Create) == 0:
			g.short = ""
		case l.measured:
			plan.Create = a.admitted(g, plan.Create, &room)
		default:
			plan.Create, again = nil, true
		}
		for _, r := range plan.Keep {
			if w := a.workers[r.VM.UUID]; w.drain.callOff() {
				w.cancel(calledOff{r.Reason})
			}
		}
		for _, r := range plan.Cancel {
			a.workers[r.VM.UUID].cancel(errScaleIn)
		}
		for _, r := range plan.Remove {
			_, r.Again = a.rests[r.VM.UUID]
			if r.Died && !r.Again {
				a.tell(bus.Event{Group: g.spec.Name, VM: r.VM.Name, Event: bus.EventDied, Sentence: r.Reason + "; it is replaced"})
			}
			w := worker{name: r.VM.Name, group: g.spec.Name}
			if r.Graceful && (r.Reason == scalingIn || r.VM.Meta.Phase == bus.PhaseDraining) {
				w.drain = &drain{}
			}
			a.work(ctx, w, r.VM.UUID, func(ctx context.Context) error {
				return h.remove(ctx, r, g.spec, w.drain, id)
			})
		}
		for _, vm := range plan.Await {
			a.work(ctx, worker{name: vm.Name, group: g.spec.Name, up: true}, vm.UUID, func(ctx context.Context) error {
				return h.awaitReady(ctx, g.spec, vm, id)
			})
		}
		for _, name := range plan.Create {
			a.tellTaken(g.spec.Name, name, inv)
			uuid := newUUID()
			a.work(ctx, worker{name: name, group: g.spec.Name, up: true}, uuid, func(ctx context.Context) error {
				return h.launch(ctx, g.spec, name, uuid, id)
			})
		}
	}
	return again
}

func (a *Actuator) situation(g *group, slots int, inv Inventory) Situation {
	now := a.cfg.Now()
	spec := inForce(g.spec, g.newest.Decision)
	s := Situation{
		Spec: spec, Desired: Unknown, Owned: inv.Group(g.spec.Name), Working: map[string]bool{}, Taken: inv.Taken,
		BootSlots: slots, Backoff: now.Before(g.retryAt), Trial: g.open(), Unheard: !g.newest.Taken() || a.rival() != nil,
		Controls: g.newest.Decision.Controls, Removed: g.removed(now), Draining: map[string]bool{}, CPU: a.load.cpu(g.spec.Name, now),
	}
	s.Sick = a.sick(g, s.Owned)
	s.Backoff, s.Trial = now.Before(g.retryAt), g.open() // which a sick VM may have changed
	if g.newest.Holds(now) && !g.mismatch {
		s.Desired = clampShare(spec, g.newest.Decision, a.hostID)
		s.ScaleIn = g.newest.Decision.Direction == bus.In && !g.newest.Doubtful
		s.Numbers = g.newest.Decision.Shares[a.hostID].Numbers
	}
	for uuid, until := range a.resting {
		if now.Before(until) {
			s.Working[uuid] = false
		}
	}
	defined := map[string]bool{}
	for _, vm := range s.Owned {
		defined[vm.UUID] = true
	}
	for uuid, w := range a.workers {
		switch {
		case w.up && !defined[uuid]:
			if w.group == g.spec.Name {
				s.Creating = append(s.Creating, w.name)
			}
			s.Taken[w.name] = true
		default:
			s.Working[uuid], s.Draining[uuid] = w.up, w.drain.open()
		}
		if w.up && w.group != g.spec.Name {
			s.BootSlots--
		}
	}
	return s
}

// tellTaken publishes, once, which lower numbers a new VM's name skips because something foreign has them.
func (a *Actuator) tellTaken(group, name string, inv Inventory) {
	ours := map[string]bool{}
	for _, vm := range inv.Owned {
		ours[vm.Name] = true
	}
	for i := 1; ; i++ {
		n := fmt.Sprintf("%s-%d", group, i)
		if n == name {
			return
		}
		if inv.Taken[n] && !ours[n] && !a.told[n] && !a.working(n) {
			a.told[n] = true
			a.tell(bus.Event{
				Group: group, VM: n, Event: bus.EventTakenName,
				Sentence: "a domain or file that is not ours has this name: left alone, and the name is avoided",
			})
		}
	}
}

func (a *Actuator) working(name string) bool {
	for _, w := range a.workers {
		if w.name == name {
			return true
		}
	}
	return false
}

// work starts a worker.
func (a *Actuator) work(ctx context.Context, w worker, uuid string, do func(context.Context) error) {
	ctx, cancel := context.WithCancelCause(ctx)
	w.cancel = cancel
	a.workers[uuid] = &w
	done := a.done
	go func() { done <- result{uuid, do(ctx)} }()
}

// ended takes a worker's result.
func (a *Actuator) ended(r result) {
	w := a.workers[r.uuid]
	delete(a.workers, r.uuid)
	w.cancel(nil)
	a.sweeper.ended[r.uuid] = true
	g := a.groups[w.group]
	switch {
	case r.err == nil && w.up:
		g.failures = 0
	case r.err == nil:
		delete(a.resting, r.uuid)
		delete(a.rests, r.uuid)
		delete(a.seen, r.uuid) // gone by our own doing
	case errors.Is(r.err, errScaleIn), errors.Is(r.err, context.Canceled), isCalledOff(r.err):
	case w.up:
		delete(a.seen, r.uuid)
		for _, e := range g.failed(w, r.err, a.cfg.Now()) {
			a.tell(e)
			a.sweeper.failed[r.uuid] = true
		}
	default:
		a.couldNotRemove(r.uuid, w, r.err)
	}
}

// stopWorkers waits for the workers, whose context has ended, and says whether all of them left.
func (a *Actuator) stopWorkers() bool {
	deadline := time.NewTimer(stopDeadline)
	defer deadline.Stop()
	for len(a.workers) > 0 {
		select {
		case r := <-a.done:
			a.ended(r)
		case <-deadline.C:
			clear(a.workers)
			return false
		}
	}
	return true
}

// tell publishes an event.
func (a *Actuator) tell(e bus.Event) { a.publish(a.host, e, nil) }

// publish publishes an event; confirmed, which may be nil, is for [bus.Outbox]. It may be called from any goroutine.
func (a *Actuator) publish(host string, e bus.Event, confirmed func()) {
	e.V, e.Host, e.Time = bus.Version, host, time.Now().UTC()
	a.outbox.Send(e, confirmed)
	line := a.log.Info().Str("group", e.Group).Str("event", string(e.Event))
	if e.VM != "" {
		line = line.Str("vm", e.VM)
	}
	if e.ElapsedMS > 0 {
		line = line.Int64("elapsed_ms", e.ElapsedMS)
	}
	if e.DecisionID != "" {
		line = line.Str("decision_id", e.DecisionID)
	}
	if e.Error != "" {
		line = line.Str("error", e.Error)
	}
	line.Msg(e.Sentence)
}
