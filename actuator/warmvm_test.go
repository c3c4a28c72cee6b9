package actuator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// poolSpec is a group with a warm pool.
func poolSpec(state bus.WarmState) bus.Group {
	return webSpec(func(g *bus.Group) { g.WarmPool = bus.WarmPool{Size: bus.WarmSize{VMs: 1}, State: state} })
}

// A VM is made for the pool, waits there, is handed over as the same one, and comes back.
func TestVMOfTheWarmPool(t *testing.T) {
	for state, waits := range map[bus.WarmState]bus.State{bus.WarmPaused: bus.StatePaused, bus.WarmStopped: bus.StateShutoff} {
		t.Run(string(waits), func(t *testing.T) {
			b := newHost(t)
			spec := poolSpec(state)
			if err := b.Prepare(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
				t.Fatal(err)
			}
			if v := b.only(); v.Meta.Phase != bus.PhaseWarm || v.State != waits || v.Meta.Booted.IsZero() {
				t.Errorf("made: %+v", v)
			}
			if got := b.heard(); got != "creating started warmed" {
				t.Errorf("told %s", got)
			}
			for range 2 { // the second is of a plan that is out of date
				if err := b.HandOver(t.Context(), spec, b.only(), "d"); err != nil {
					t.Fatal(err)
				}
			}
			if v := b.only(); v.UUID != someUUID || v.Meta.Phase != bus.PhaseReady || v.State != bus.StateRunning ||
				!v.Meta.Handed.IsZero() {
				t.Errorf("handed over: %+v", v)
			}
			if got := b.heard(); got != "creating started warmed handover ready" {
				t.Errorf("told %s", got)
			}
			back := vm.Removal{VM: b.only(), Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true, Reuse: true}
			if err := b.Remove(t.Context(), back, spec, &vm.Drain{}, "d"); !vm.IsCalledOff(err) {
				t.Errorf("back to the pool: %v", err)
			}
			if v := b.only(); v.UUID != someUUID || v.Meta.Phase != bus.PhaseWarm || v.State != waits {
				t.Errorf("back: %+v", v)
			}
			if got := b.heard(); !strings.HasSuffix(got, "ready draining warmed") {
				t.Errorf("told %s", got)
			}
			removal := vm.Removal{VM: b.only(), Kind: vm.Unneeded, Reason: "too many"}
			if err := b.Remove(t.Context(), removal, spec, nil, "d"); err != nil {
				t.Fatal(err)
			}
			b.hasNothing()
		})
	}
}

// A VM whose memory is saved waits so. libvirt's driver for tests boots it in place of having it go on from there, as QEMU's does
// where the file is not complete: that is no handover.
func TestSavedVMOfTheWarmPool(t *testing.T) {
	b := newHost(t)
	spec := poolSpec(bus.WarmSaved)
	prepare := func(name, uuid string) vm.VM {
		t.Helper()
		if err := b.Prepare(t.Context(), spec, name, uuid, "d"); err != nil {
			t.Fatal(err)
		}
		return b.only()
	}
	v := prepare("web-1", someUUID)
	here, err := b.Saver()
	if err != nil || v.Meta.Phase != bus.PhaseWarm || v.State != bus.StateSaved || v.Meta.Saver != here || here == "" {
		t.Fatalf("made: %+v, and the saver is %q (%v)", v, here, err)
	}
	dom := b.domain("web-1")
	if err := dom.Create(); err != nil { // by a person
		t.Fatal(err)
	}
	if err := b.Park(t.Context(), spec, b.only(), "d"); err != nil || b.only().State != bus.StateSaved {
		t.Errorf("it does not wait again: %v, %+v", err, b.only())
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T)
		want   string
	}{
		{"booted anew", func(*testing.T) {}, "has booted it anew"},
		{"its memory is gone", func(t *testing.T) {
			if err := b.domain("web-1").ManagedSaveRemove(0); err != nil {
				t.Fatal(err)
			}
		}, "its saved memory is gone"},
		{
			"another CPU", func(*testing.T) { b.Machine.CPU = "0c5d1f2e" },
			"its memory was saved by " + here + ", and its host has",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if len(b.inventory().Owned) == 0 {
				prepare("web-1", someUUID)
			}
			tt.change(t)
			if err := b.HandOver(t.Context(), spec, b.only(), "d"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if v := b.only(); v.Meta.Phase != bus.PhaseFailed {
				t.Errorf("it is %+v", v)
			}
			b.settle(webSpec(), 0)
			b.hasNothing()
		})
	}
}

// A VM that is ready and cannot wait goes, whether it was made for the pool or has served.
func TestVMThatCannotWait(t *testing.T) {
	b := newHost(t)
	spec := poolSpec("frozen") // of a later version
	if err := b.Prepare(t.Context(), spec, "web-1", someUUID, "d"); !errors.Is(err, vm.ErrCannotWait) {
		t.Errorf("made for the pool: %v", err)
	}
	b.hasNothing()
	if err := b.Launch(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	back := vm.Removal{VM: b.only(), Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true, Reuse: true}
	if err := b.Remove(t.Context(), back, spec, &vm.Drain{}, "d"); err != nil {
		t.Errorf("back to the pool: %v", err)
	}
	b.hasNothing()
	if got := b.heard(); !strings.HasSuffix(got, "ready draining stopping removed") {
		t.Errorf("told %s", got)
	}
}

// One whose memory would leave less than the reserve in the pool of disks does not wait: not on its way there, and not when it
// comes back.
func TestSavedVMWithoutRoom(t *testing.T) {
	b := newHost(t)
	spec := poolSpec(bus.WarmSaved)
	const all = 1 << 30 // MiB
	without := func(err error) {
		t.Helper()
		if !errors.Is(err, vm.ErrCannotWait) || !strings.Contains(err.Error(), "pool_reserve") {
			t.Errorf("got %v, want that it cannot wait", err)
		}
	}
	b.PoolReserveMiB = all
	without(b.Prepare(t.Context(), spec, "web-1", someUUID, "d"))
	b.settle(webSpec(), 0)
	b.hasNothing()
	b.PoolReserveMiB = 0
	if err := b.Prepare(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	if err := b.domain("web-1").Create(); err != nil { // by a person
		t.Fatal(err)
	}
	b.PoolReserveMiB = all
	without(b.Park(t.Context(), spec, b.only(), "d"))
	if v := b.only(); v.Meta.Phase != bus.PhaseStopping {
		t.Errorf("it is %+v", v)
	}
	b.settle(webSpec(), 0)
	if err := b.Launch(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	back := vm.Removal{VM: b.only(), Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true, Reuse: true}
	if err := b.Remove(t.Context(), back, spec, &vm.Drain{}, "d"); err != nil { // it goes instead
		t.Error(err)
	}
	b.hasNothing()
}

// Cut off at any moment, a handover is gone on with by the next actuator, and so is the way to the pool.
func TestWarmPoolGoesOn(t *testing.T) {
	b := newHost(t)
	spec := poolSpec(bus.WarmPaused)
	ctx, cancel := context.WithCancel(t.Context())
	b.on[bus.EventStarted] = cancel // it runs, and is waited for
	slow := poolSpec(bus.WarmPaused)
	slow.ReadyAfter, slow.BootTimeout = time.Hour, 2*time.Hour
	if err := b.Prepare(ctx, slow, "web-1", someUUID, "d"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if v := b.only(); v.Meta.Phase != bus.PhasePreparing || v.State != bus.StateRunning {
		t.Fatalf("cut off: %+v", v)
	}
	if got := show(b.plan(spec, 0)); got != "await web-1" {
		t.Errorf("planned: %s", got)
	}
	if err := b.AwaitReady(t.Context(), spec, b.only(), "d"); err != nil {
		t.Fatal(err)
	}
	dom := b.domain("web-1")
	if err := dom.Resume(); err != nil { // by a person
		t.Fatal(err)
	}
	if err := b.Park(t.Context(), spec, b.only(), "d"); err != nil || b.only().State != bus.StatePaused {
		t.Errorf("it does not wait again: %v, %+v", err, b.only())
	}

	ctx, cancel = context.WithCancel(t.Context())
	b.on[bus.EventHanded] = cancel // its metadata says so, and it still stands still
	if err := b.HandOver(ctx, spec, b.only(), "d"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if v := b.only(); !v.BeingHanded() || v.State != bus.StatePaused {
		t.Fatalf("cut off: %+v", v)
	}
	if got := show(b.plan(spec, 1)); got != "hand over web-1" {
		t.Errorf("planned: %s", got)
	}
	if err := b.HandOver(t.Context(), spec, b.only(), "d"); err != nil || !b.only().Serves() {
		t.Errorf("it does not serve: %v, %+v", err, b.only())
	}
	if got := b.heard(); strings.Count(got, "handover") != 1 {
		t.Errorf("told %s", got)
	}
}

// One that does not answer when it is to serve fails, and counts in no number of the pool; one that cannot wait is on its way
// out.
func TestBrokenVMOfTheWarmPool(t *testing.T) {
	b := newHost(t)
	spec := poolSpec(bus.WarmPaused)
	if err := b.Prepare(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	silent := spec
	silent.ReadyWhen, silent.BootTimeout = bus.ReadyAgent, time.Nanosecond
	if err := b.HandOver(t.Context(), silent, b.only(), "d"); err == nil || !strings.Contains(err.Error(), "leaving the warm pool") {
		t.Errorf("one without an agent: %v", err)
	}
	if v := b.only(); v.Meta.Phase != bus.PhaseFailed {
		t.Errorf("it is %+v", v)
	}
	b.settle(webSpec(), 0)
	b.hasNothing()

	if err := b.Prepare(t.Context(), silent, "web-2", someUUID, "d"); err == nil {
		t.Error("one without an agent is warm")
	}
	b.hasNothing()
}

// In a pool of two kinds each VM waits as it was made to, whatever the pool says of the others.
func TestVMsOfBothKinds(t *testing.T) {
	b := newHost(t)
	spec := poolSpec(bus.WarmStopped)
	if err := b.Prepare(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	both := poolSpec(bus.WarmPaused)
	both.WarmPool.Stopped.VMs = 1
	dom := b.domain("web-1")
	if err := dom.Create(); err != nil { // by a person
		t.Fatal(err)
	}
	if err := b.Park(t.Context(), both, b.only(), "d"); err != nil || b.only().State != bus.StateShutoff {
		t.Errorf("it does not wait shut down again: %v, %+v", err, b.only())
	}
	if err := b.HandOver(t.Context(), both, b.only(), "d"); err != nil {
		t.Fatal(err)
	}
	for stops, waits := range map[bool]bus.State{true: bus.StateShutoff, false: bus.StatePaused} {
		back := vm.Removal{VM: b.only(), Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true, Reuse: true, Stops: stops}
		if err := b.Remove(t.Context(), back, both, &vm.Drain{}, "d"); !vm.IsCalledOff(err) {
			t.Errorf("back to the pool: %v", err)
		}
		if v := b.only(); v.State != waits || v.Meta.Stops != stops {
			t.Errorf("back: %+v, want it %s", v, waits)
		}
		if err := b.HandOver(t.Context(), both, b.only(), "d"); err != nil {
			t.Fatal(err)
		}
	}
}
