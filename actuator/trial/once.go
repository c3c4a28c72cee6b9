package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// removeWithin is how long the removal of throw-away VMs may take, also after Ctrl-C.
const removeWithin = 2 * time.Minute

// Leftovers are the throw-away VMs that have their disks in a pool, but those that a person wants to look at.
func Leftovers(conn *libvirt.Connect, pool string) ([]vm.VM, error) {
	inv, err := vm.ReadInventory(conn)
	if err != nil {
		return nil, err
	}
	return leftovers(inv.Owned, pool), nil
}

func leftovers(owned []vm.VM, pool string) []vm.VM {
	return slices.DeleteFunc(slices.Clone(owned), func(one vm.VM) bool {
		return !bus.IsThrowAway(one.Meta.Group) || one.Meta.Pool != pool || one.Protected
	})
}

// Sweep removes what killed trials have left that had their disks in a pool, and returns the names of the VMs. The caller knows
// that no trial runs there.
func Sweep(ctx context.Context, conn *libvirt.Connect, pool string) (removed []string, err error) {
	left, err := Leftovers(conn, pool)
	if err != nil {
		return nil, err
	}
	return removeAll(ctx, vm.Manager{Conn: conn, Calls: vm.NewCalls()}, left)
}

// RemoveGroup removes all VMs of a group, without asking their guests.
func RemoveGroup(ctx context.Context, m vm.Manager, group string) (removed []string, err error) {
	inv, err := vm.ReadInventory(m.Conn)
	if err != nil {
		return nil, err
	}
	return removeAll(ctx, m, inv.Group(group))
}

func removeAll(ctx context.Context, m vm.Manager, vms []vm.VM) (removed []string, err error) {
	late := fmt.Errorf("it took longer than %s", removeWithin)
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), removeWithin, late)
	defer cancel()
	m.Tell = func(bus.Event) {}
	var problems []error
	for _, one := range vms {
		err := m.Remove(ctx, vm.Removal{VM: one, Kind: vm.Operator, Reason: "a trial is over"}, bus.Group{}, nil, "")
		if err != nil {
			problems = append(problems, fmt.Errorf("remove %s (`vmscaler down %s` does it): %w", one.Name, one.Meta.Group, err))
			continue
		}
		removed = append(removed, one.Name)
	}
	return removed, errors.Join(problems...)
}

// throwAway is a group of its own whose VMs are made as those of spec. They wait for their guests alone, as nobody counts on
// them, and have no ports of the host, which belong to the VMs of spec.
func throwAway(spec bus.Group) bus.Group {
	spec.Name = bus.NewThrowAwayGroup()
	spec.ReadyWhen, spec.Hooks, spec.Checks = bus.ReadyAgent, bus.DefaultGroup().Hooks, nil
	spec.Identity = bus.IdentityOff // what the template has is looked at
	spec.Disks = slices.Clone(spec.Disks)
	for i := range spec.Disks {
		spec.Disks[i].Keep = bus.KeepNever
	}
	spec.Hardware.NICs = slices.Clone(spec.Hardware.NICs)
	for i := range spec.Hardware.NICs {
		spec.Hardware.NICs[i].Forwards = nil
	}
	return spec
}

// clone is one throw-away VM.
type clone struct {
	m    vm.Manager
	spec bus.Group
	vm   vm.VM
	dom  *libvirt.Domain

	started time.Time
	ready   string // what showed that it has booted
}

// tell records what the making of the VM says.
func (c *clone) tell(e bus.Event) {
	if e.Event == bus.EventStarted {
		c.started = time.Now()
	}
	if e.Event == bus.EventReady {
		c.ready = e.Sentence
	}
}

// launch makes and starts a VM, and waits for nothing. It is there also if it fails, for RemoveGroup.
func launch(ctx context.Context, m vm.Manager, spec bus.Group, n int) (*clone, error) {
	c := &clone{m: m, spec: spec}
	c.m.Tell = c.tell
	uuid := vm.NewUUID()
	name := bus.VMName(spec.Name, n)
	now := spec
	now.ReadyWhen, now.ReadyAfter = bus.ReadyUptime, 0
	if err := c.m.Launch(ctx, now, name, uuid, ""); err != nil {
		return nil, err
	}
	inv, err := vm.ReadInventory(m.Conn)
	if err != nil {
		return nil, err
	}
	for _, one := range inv.Group(spec.Name) {
		if one.UUID == uuid {
			c.vm = one
		}
	}
	c.dom, err = m.Conn.LookupDomainByUUIDString(uuid)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", name, err)
	}
	return c, nil
}

// awaitReady waits until the VM is ready as one of the group is, and returns what showed it.
func (c *clone) awaitReady(ctx context.Context) (string, error) {
	if err := c.m.AwaitReady(ctx, c.spec, c.vm, ""); err != nil {
		return "", err
	}
	return c.ready, nil
}

// awaitOff waits until the VM is off, for limit at most, and returns for how long; nil: it was not in time.
func (c *clone) awaitOff(ctx context.Context, limit time.Duration) (*time.Duration, error) {
	began := time.Now()
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		state, _, err := c.dom.GetState()
		switch {
		case err != nil:
			return nil, fmt.Errorf("read the state of %s: %w", c.vm.Name, err)
		case state == libvirt.DOMAIN_SHUTOFF, state == libvirt.DOMAIN_CRASHED:
			return new(time.Since(began)), nil
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-late.C:
			return nil, nil
		case <-poll.C:
		}
	}
}

func (c *clone) free() {
	if c.dom != nil {
		_ = c.dom.Free()
	}
}
