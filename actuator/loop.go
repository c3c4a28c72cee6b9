package actuator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	lookEvery    = time.Second      // between two looks at libvirt when nothing happens
	lookDeadline = 10 * time.Second // for one look; it normally takes milliseconds
	stopDeadline = 10 * time.Second // for the workers to leave when the stage stops
	closeTimeout = 2 * time.Second  // for the connection to close
)

// recordSample keeps a sample of a group of this config, so that samples of made-up groups take no memory.
func (a *Actuator) recordSample(s bus.Sample) {
	if a.groups[s.Group] != nil {
		a.load.take(s, a.hostID, a.cfg.Now())
	}
}

// snapshot is one view of libvirt, taken while the set of workers did not change.
type snapshot struct {
	inventory vm.Inventory
	vcpus     int // of all running domains, if measured
	measured  bool
	replaced  map[string]time.Time // when templates were replaced, by name
	saver     string               // what goes on from saved memory here; "": it is not known, or nothing waits so
	stopping  bool                 // the host is shutting down
	err       error
}

// serve works over one connection until it fails or ctx ends.
func (a *Actuator) serve(ctx context.Context, in inbox) error {
	quiet := a.unanswered()
	defer quiet.Stop()
	s, err := a.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		s.close()
	}()
	if s.manager, s.slots, err = a.prepare(s.lv); err != nil {
		return err
	}
	quiet.Stop()
	return a.attend(ctx, s, in)
}

// attend acts on what comes, in this one goroutine, until ctx ends or the connection to libvirt is lost.
func (a *Actuator) attend(ctx context.Context, s *session, in inbox) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		a.cfg.Alive()
		a.contacts.turn()
		a.letGo()
		s.lookAgain(ctx)
		select {
		case <-ctx.Done():
			return nil
		case d := <-in.decisions:
			s.again = a.receive(d) || s.again
		case sample := <-in.samples:
			a.recordSample(sample)
		case h := <-in.rivals:
			a.meet(h)
		case r := <-in.requests:
			a.answer(r)
		case r := <-a.reloads:
			a.reload(r)
			s.changed, s.again = true, true
		case <-probe.C:
			if err := errors.Join(s.ask(ctx), s.askLoads(ctx)); err != nil {
				return err
			}
		case got := <-s.heard:
			s.asking = false
			a.liveness.record(got)
		case got := <-s.loaded:
			s.askingLoads = false
			s.publishLoads(got)
		case t := <-s.tried:
			if err := s.endTry(ctx, t); err != nil {
				return err
			}
		case g := <-s.restarted.Signs:
			a.restarted(s.lv, s.manager, g)
		case <-s.events:
			s.again = true
		case <-tick.C:
			s.again = true
			if err := s.beginTries(ctx); err != nil {
				return err
			}
		case c := <-a.chosen:
			a.choose(c)
			s.changed, s.again = true, true
		case r := <-a.done:
			a.ended(r)
			s.changed, s.again = true, true
		case <-s.late.C:
			if s.looking {
				a.cfg.Report(errUnanswered)
			}
		case l := <-s.looks:
			if err := s.seen(ctx, l, in.decisions); err != nil {
				return err
			}
		case step := <-a.sweeper.results:
			a.swept(ctx, s.lv, step)
		}
	}
}

// errUnanswered is what health says of a libvirt that takes calls and does not answer.
var errUnanswered = fmt.Errorf("libvirt has not answered for %s", lookDeadline)

// unanswered reports that, unless it is stopped before. Calls that reach libvirt for the first time have no deadline.
func (a *Actuator) unanswered() *time.Timer {
	return time.AfterFunc(lookDeadline, func() { a.cfg.Report(errUnanswered) })
}

// lookAgain begins another look at libvirt, if one is wanted and none goes on.
func (s *session) lookAgain(ctx context.Context) {
	if !s.again || s.looking {
		return
	}
	s.looking, s.again, s.changed = true, false, false
	s.late.Reset(lookDeadline)
	measure := s.launches
	go func() {
		end := s.conn.Calls().Begin(bus.APILibvirt, "look")
		l := lookAt(s.manager, measure, s.byAge)
		end()
		l.stopping = s.local && l.err == nil && l.disturbed() && s.cfg.stopping(ctx)
		s.looks <- l
	}()
}

// seen acts on what a look has found.
func (s *session) seen(ctx context.Context, l snapshot, decisions <-chan bus.Decision) error {
	s.looking = false
	switch {
	case l.err != nil:
		return l.err
	case l.stopping: // the service that shuts the VMs down one by one must not find new ones
		s.cfg.Report(bus.Troubles{{
			Problem: bus.Problem{Code: bus.ProblemHostShutdown},
			Text:    "this host is shutting down: nothing is launched or removed any more",
		}})
		return nil
	case s.changed:
		s.again = true
		return nil
	}
	templates, serves := s.stage()
	s.setAsideNames(l.inventory)
	s.cfg.Acts(bus.Acts{
		HostID: s.hostID, Full: s.full(), Taken: s.taken(l.inventory), Kept: s.kept(l.inventory), Failures: s.failedLaunches(),
		Hooks: s.hooks.Pending(), ClusterID: s.term.kept.ClusterID, Term: s.term.kept.Term, Templates: templates, Serves: serves,
	})
	s.damaged = l.inventory.Damaged
	s.cfg.Report(s.problem())
	s.catchUp(decisions)
	s.reportChanges(l.inventory)
	s.liveness.observe(l.inventory.Owned, s.cfg.Now())
	s.checkups.look(l.inventory.Owned, s.groups, s.workers, s.cfg.Now())
	s.again = s.act(ctx, s.manager, s.slots, l)
	s.sweep(s.lv, l.inventory)
	return nil
}

// ask asks the guest agents, unless that goes on.
func (s *session) ask(ctx context.Context) error {
	vms := s.agentsToProbe()
	if len(vms) == 0 || s.asking {
		return nil
	}
	if err := s.lv.Ref(); err != nil {
		return fmt.Errorf("ask the guest agents: %w", err)
	}
	s.asking = true
	go func() { s.heard <- vm.AskAgents(ctx, s.lv, s.manager.Calls, vms) }()
	return nil
}

// within calls f, and reports whether it has returned in time.
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
func (a *Actuator) prepare(lv *libvirt.Connect) (vm.Manager, int, error) {
	acc, err := vm.ReadAcceleration(lv, a.cfg.Acceleration)
	if err != nil {
		return vm.Manager{}, 0, err
	}
	node, err := lv.GetNodeInfo()
	if err != nil {
		return vm.Manager{}, 0, fmt.Errorf("read the host's cores: %w", err)
	}
	if a.hostID, a.host, err = a.cfg.Identify(lv); err != nil {
		return vm.Manager{}, 0, err
	}
	templates, serves := a.stage()
	a.cfg.Acts(bus.Acts{HostID: a.hostID, Full: []string{}, Taken: map[string][]int{}, Templates: templates, Serves: serves})
	// So that files which others put into the pool's folder are seen when names are chosen.
	if pool, err := lv.LookupStoragePoolByName(a.cfg.Pools.Disks); err == nil {
		_ = pool.Refresh(0) // refused while a volume is being made: then they are seen later
		_ = pool.Free()
	}
	h := vm.Manager{
		Conn: lv, Pools: a.cfg.Pools, Calls: vm.NewCalls(), PoolReserveMiB: a.cfg.Limits.PoolReserveMiB,
		Machine: vm.Machine{VirtType: acc.VirtType, Arch: acc.Arch, Network: a.cfg.Network, CPU: acc.CPU},
	}
	h.Calls.Times = a.conn.Calls()
	h.LibvirtID, h.HostID = acc.HostUUID, a.hostID
	if uri, err := lv.GetURI(); err == nil {
		h.LibvirtID += vm.LibvirtPath(uri)
	}
	host := a.host // of this connection, as workers run beside the next one's
	h.Tell = func(e bus.Event) {
		if e.Event == bus.EventIgnored { // each launch says it
			if _, said := a.ignored.LoadOrStore(e.Group+" "+e.Sentence, true); said {
				return
			}
		}
		a.publish(host, e, nil)
	}
	a.cores, h.Host, h.Hooks = int(node.Cpus), host, a.hooks
	if a.cfg.ConsoleDir != "" {
		h.Consoles = console.NewKeeper(a.cfg.ConsoleDir, a.log)
	}
	if err := a.prepareSweeps(&h); err != nil {
		return vm.Manager{}, 0, err
	}
	// Booting takes a core; more boots than cores at the same time make each of them slower.
	return h, max(1, a.cores), nil
}

func lookAt(h vm.Manager, launches, outdated bool) (l snapshot) {
	if l.inventory, l.err = vm.ReadInventory(h.Conn); l.err != nil {
		return l
	}
	if slices.ContainsFunc(l.inventory.Owned, func(v vm.VM) bool { return v.Meta.Saver != "" }) {
		l.saver, _ = h.Saver() // unknown, it is tried
	}
	// A pool that is not there takes away nothing but the making of VMs, which will say so.
	_ = l.inventory.ReadPool(h.Conn, h.Pools.Disks, h.HostID)
	if launches {
		if l.vcpus, l.err = runningVCPUs(h.Conn); l.err != nil {
			return l
		}
		l.measured = true
	}
	if outdated {
		if templates, err := template.List(h.Conn, h.Pools.Templates); err == nil {
			l.replaced = map[string]time.Time{}
			for _, t := range templates {
				l.replaced[t.Name] = t.Changed
			}
		}
	}
	return l
}

// restarted records what a guest's restart shows: where the collector reads it, so that its CPU is no load for a while, and for
// its agent, which is silent meanwhile.
func (a *Actuator) restarted(lv *libvirt.Connect, h vm.Manager, g vm.GuestSign) {
	at := a.cfg.Now()
	if g.Sign == vm.SignRestarted {
		a.liveness.restarted(g.UUID, at)
		a.checkups.restarted(g.UUID, at)
	}
	if err := lv.Ref(); err != nil {
		return
	}
	log := a.log
	go func() { // it may wait for QEMU, for longer than the stage lives
		defer func() { _, _ = lv.Close() }()
		if err := h.MarkRestart(g, at); err != nil {
			log.Warn().Err(err).Str("uuid", g.UUID).Msg("the restart of a guest is not noted, so its CPU counts as load")
		}
	}()
}
