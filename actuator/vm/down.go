package vm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Groups are the names of the groups that own VMs on a host, sorted.
func (inv Inventory) Groups() []string {
	names := map[string]bool{}
	for _, vm := range inv.Owned {
		names[vm.Meta.Group] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Down removes VMs with their volumes, several at a time: each guest is asked to shut down, and destroyed after
// the time-out. tell is called with each step, from several goroutines. The caller holds the lock.
func Down(ctx context.Context, conn *libvirt.Connect, vms []VM, shutdownTimeout time.Duration, tell func(bus.Event)) error {
	h := Manager{Conn: conn, Tell: tell, Calls: NewCalls()}
	slots := make(chan struct{}, 8)
	errs := make([]error, len(vms))
	var wg sync.WaitGroup
	for i, vm := range vms {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() != nil {
				errs[i] = context.Cause(ctx)
				return
			}
			graceful := vm.Meta.Phase.Serves() || vm.Meta.Phase.StandsBy() || vm.Meta.Phase == bus.PhaseDraining ||
				vm.Meta.Phase == bus.PhaseRetained
			errs[i] = h.Remove(
				ctx,
				Removal{VM: vm, Kind: Operator, Reason: "vmscaler down", Graceful: graceful},
				bus.Group{ShutdownTimeout: shutdownTimeout},
				nil,
				"",
			)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// FindVMs are the owned VMs that a name means: the VM of that name, or else the group's VMs.
func (inv Inventory) FindVMs(name string) ([]VM, error) {
	for _, vm := range inv.Owned {
		if vm.Name == name {
			return []VM{vm}, nil
		}
	}
	if vms := inv.Group(name); len(vms) > 0 {
		return vms, nil
	}
	unknown := &UnknownError{Name: name, Groups: inv.Groups()}
	for _, vm := range inv.Owned {
		unknown.VMs = append(unknown.VMs, vm.Name)
	}
	return nil, unknown
}

// UnknownError means that no owned VM and no group has a name.
type UnknownError struct {
	Name        string
	Groups, VMs []string // that there are
}

func (e *UnknownError) Error() string {
	if len(e.Groups) == 0 {
		return fmt.Sprintf("no VM or group %q: vmscaler owns no VMs here", e.Name)
	}
	for _, group := range e.Groups { // which a VM's name names too
		if !strings.HasPrefix(e.Name, group+"-") {
			continue
		}
		var vms []string
		for _, name := range e.VMs {
			if _, is := bus.VMNumber(group, name); is {
				vms = append(vms, name)
			}
		}
		if len(vms) > 0 {
			return fmt.Sprintf("no VM or group %q: group %s has the VMs %s", e.Name, group, bus.List(vms))
		}
	}
	return fmt.Sprintf("no VM or group %q: there are the groups %s", e.Name, bus.List(e.Groups))
}
