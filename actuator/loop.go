package actuator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	lookEvery    = time.Second      // between two looks at libvirt when nothing happens
	lookDeadline = 10 * time.Second // for one look; it normally takes milliseconds
	stopDeadline = 10 * time.Second // for the workers to leave when the stage stops
	goodbye      = 2 * time.Second  // for the connection to close
)

// hear keeps a sample of a group of this config, so that those of groups that somebody made up take no memory.
func (a *Actuator) hear(s bus.Sample) {
	if a.groups[s.Group] != nil {
		a.load.take(s, a.hostID, a.cfg.Now())
	}
}

// look is one view of libvirt, taken while the set of workers did not change.
type look struct {
	inventory vm.Inventory
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
	restarted := vm.NewRestarts()
	events, stopEvents, err := domainEvents(lv, restarted)
	if err != nil {
		_, _ = lv.Close()
		return err
	}
	stopRestarts, err := restarted.Listen(lv)
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
	if uri, err := lv.GetURI(); err != nil || !vm.IsLocal(uri) {
		local = false
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	deadline := time.NewTimer(lookDeadline)
	defer deadline.Stop()
	heard := make(chan vm.Answers, 1)
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
				l := lookAt(lv, a.cfg.Pools, measure, a.byAge)
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
				go func() { heard <- vm.AskAgents(ctx, lv, h.Calls, vms) }()
			}
		case got := <-heard:
			asking = false
			a.pulses.hear(got)
		case g := <-restarted.Signs:
			a.restarted(lv, h, g)
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
			a.damaged = l.inventory.Damaged
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
	a.cfg.Acts(bus.Acts{HostID: a.hostID, Full: []string{}, Taken: map[string][]int{}})
	// So that files which others put into the pool's folder are seen when names are chosen.
	if pool, err := lv.LookupStoragePoolByName(a.cfg.Pools.Disks); err == nil {
		_ = pool.Refresh(0) // refused while a volume is being made: then they are seen later
		_ = pool.Free()
	}
	h := vm.Manager{
		Conn: lv, Pools: a.cfg.Pools, Machine: vm.Machine{VirtType: acc.VirtType, Arch: acc.Arch}, Calls: vm.NewCalls(),
	}
	h.LibvirtID = acc.HostUUID
	if uri, err := lv.GetURI(); err == nil {
		h.LibvirtID += vm.LibvirtPath(uri)
	}
	host := a.host // of this connection, as workers run beside the next one's
	h.Tell = func(e bus.Event) { a.publish(host, e, nil) }
	a.cores = int(node.Cpus)
	h.Host, h.Hooks = host, a.hooks
	if err := a.prepareSweeps(&h); err != nil {
		return vm.Manager{}, 0, err
	}
	// Booting takes a core; more boots than cores at the same time make each of them slower.
	return h, max(1, a.cores), nil
}

func lookAt(lv *libvirt.Connect, pools vm.Pools, launches, outdated bool) (l look) {
	if l.inventory, l.err = vm.ReadInventory(lv); l.err != nil {
		return l
	}
	// A pool that is not there takes away nothing but the making of VMs, which will say so.
	_ = vm.TakenByVolumes(lv, pools.Disks, l.inventory.Taken)
	if launches {
		if l.vcpus, l.err = runningVCPUs(lv); l.err != nil {
			return l
		}
		l.measured = true
	}
	if outdated {
		if templates, err := template.List(lv, pools.Templates); err == nil {
			l.replaced = map[string]time.Time{}
			for _, t := range templates {
				l.replaced[t.Name] = t.Changed
			}
		}
	}
	return l
}

// domainEvents wakes the loop whenever a domain changes.
func domainEvents(lv *libvirt.Connect, restarted *vm.Restarts) (<-chan struct{}, func(), error) {
	events := make(chan struct{}, 1)
	id, err := lv.DomainEventLifecycleRegister(nil, func(_ *libvirt.Connect, dom *libvirt.Domain, e *libvirt.DomainEventLifecycle) {
		restarted.Changed(dom, e)
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

// restarted notes what a guest's restart shows: where the collector reads it, so that its CPU is no load for a while, and for
// its agent, which is silent meanwhile.
func (a *Actuator) restarted(lv *libvirt.Connect, h vm.Manager, g vm.GuestSign) {
	at := a.cfg.Now()
	if g.Sign == vm.SignRestarted {
		a.pulses.restarted(g.UUID, at)
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
