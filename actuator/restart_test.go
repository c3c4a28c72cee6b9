package actuator

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// launched is a host with one VM of webSpec.
func launched(t *testing.T, spec bus.Group) (*testHost, vm.VM) {
	t.Helper()
	b := newHost(t)
	if err := b.Launch(t.Context(), spec, "web-1", someUUID, "d"); err != nil {
		t.Fatal(err)
	}
	b.events = nil
	return b, b.inventory().Owned[0]
}

// memoryMiB is what a VM's definition says.
func (b *testHost) memoryMiB(name string) int {
	b.t.Helper()
	info, err := b.domain(name).GetInfo()
	if err != nil {
		b.t.Fatal(err)
	}
	return int(info.MaxMem >> 10)
}

// A VM that restarts has the new definition and what it had: its disks, its age, and what a person has taken from it.
func TestRestart(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ProtectNew, g.ShutdownTimeout = true, time.Second })
	b, before := launched(t, spec)
	if err := vm.Protect(b.conn, before, bus.Protection{}); err != nil {
		t.Fatal(err)
	}
	files := b.volumes()
	next := spec
	next.MemoryMiB += 4
	if err := b.Restart(t.Context(), next, before, &vm.Drain{}, "d"); err != nil {
		t.Fatal(err)
	}
	after := b.inventory().Owned[0]
	if after.UUID != someUUID || after.Protected || !after.Serves() || after.Meta.Phase != bus.PhaseReady || after.Reimaging() ||
		after.Meta.Machine != next.MachineHash() || after.Meta.Storage != before.Meta.Storage || after.Meta.Restarted.IsZero() ||
		!after.Meta.Created.Equal(before.Meta.Created) || !after.Meta.Booted.Equal(before.Meta.Booted) {
		t.Errorf("it is %+v, was %+v", after, before)
	}
	if got := b.memoryMiB("web-1"); got != next.MemoryMiB {
		t.Errorf("it has %d MiB, want %d", got, next.MemoryMiB)
	}
	if !slices.Equal(b.volumes(), files) {
		t.Errorf("there are the volumes %v, want %v", b.volumes(), files)
	}
	if got := b.heard(); got != "draining stopping started ready" {
		t.Errorf("told %s", got)
	}
}

// A VM that does not come up with its new definition has the one before, boots with it, and serves again.
func TestRestartGoesBack(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ShutdownTimeout = time.Second })
	b, before := launched(t, spec)
	files := b.volumes()
	next := spec
	next.MemoryMiB, next.ReadyAfter, next.BootTimeout = next.MemoryMiB+4, time.Hour, time.Nanosecond
	err := b.Restart(t.Context(), next, before, &vm.Drain{}, "d")
	if text := fmt.Sprint(err); !strings.Contains(text, "not ready within") || !strings.Contains(text, "the definition before") {
		t.Errorf("got %v", err)
	}
	back := b.inventory().Owned[0]
	if back.Meta.Phase != bus.PhaseLaunching || back.Reimaging() || back.Meta.Machine != spec.MachineHash() || back.Off() ||
		!back.Meta.Restarted.IsZero() || b.memoryMiB("web-1") != spec.MemoryMiB {
		t.Errorf("it is %+v with %d MiB", back, b.memoryMiB("web-1"))
	}
	b.settle(spec, 1)
	now := b.inventory().Owned
	if len(now) != 1 || now[0].UUID != someUUID || !now[0].Serves() || !slices.Equal(b.volumes(), files) {
		t.Errorf("there are %+v and the volumes %v", now, b.volumes())
	}
}

// A VM that is protected while it drains, before it is to restart or gets new disks, serves on as it is.
func TestProtectedWhileItDrains(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ShutdownTimeout = time.Second })
	larger := spec
	larger.MemoryMiB += 4
	for name, do := range map[string]func(*testHost, vm.VM) error{
		"restart": func(b *testHost, v vm.VM) error { return b.Restart(t.Context(), larger, v, &vm.Drain{}, "d") },
		"reimage": func(b *testHost, v vm.VM) error { return b.Reimage(t.Context(), larger, v, &vm.Drain{}, "d") },
		"others have taken its place": func(b *testHost, v vm.VM) error {
			return b.Remove(t.Context(), vm.Removal{VM: v, Kind: vm.Outdated, Graceful: true}, spec, &vm.Drain{}, "d")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, v := launched(t, spec)
			files := b.volumes()
			b.on[bus.EventDraining] = func() {
				if err := vm.Protect(b.conn, v, bus.Protection{On: true, By: "ann"}); err != nil {
					t.Error(err)
				}
			}
			if err := do(b, v); !vm.IsCalledOff(err) {
				t.Errorf("got %v, want that it is called off", err)
			}
			now := b.inventory().Owned
			if len(now) != 1 || !now[0].Serves() || now[0].Reimaging() || now[0].Restarting() || !now[0].Protected ||
				now[0].Meta.Machine != spec.MachineHash() || b.memoryMiB("web-1") != spec.MemoryMiB ||
				!slices.Equal(b.volumes(), files) {
				t.Errorf("there are %+v and the volumes %v", now, b.volumes())
			}
			if got := b.heard(); got != "draining kept" {
				t.Errorf("told %s", got)
			}
		})
	}
}

// So it does where the removal was cut off, and its protection came between: whoever wanted it gone has to say so again.
func TestProtectedWhileItsRemovalWasCutOff(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ShutdownTimeout = time.Second })
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprintf("ordered %t", ordered), func(t *testing.T) {
			b, v := launched(t, spec)
			ctx, cut := context.WithCancel(t.Context())
			b.on[bus.EventDraining] = cut
			if err := b.Remove(ctx, vm.Removal{VM: v, Kind: vm.Outdated, Graceful: true}, spec, &vm.Drain{}, "d"); err == nil {
				t.Fatal("it is not cut off")
			}
			delete(b.on, bus.EventDraining)
			if err := vm.Protect(b.conn, v, bus.Protection{On: true, By: "ann"}); err != nil {
				t.Fatal(err)
			}
			if ordered {
				if _, err := b.SetOrder(t.Context(), v, bus.VMOrder{Verb: bus.VMRemove, By: "ann", At: time.Now()}); err != nil {
					t.Fatal(err)
				}
			}
			v = b.inventory().Owned[0]
			err := b.Remove(t.Context(), vm.Removal{VM: v, Kind: vm.Interrupted, Graceful: true}, spec, &vm.Drain{}, "d")
			now := b.inventory().Owned
			switch {
			case ordered && (err != nil || len(now) > 0):
				t.Errorf("%v; there are %+v", err, now)
			case !ordered && (!vm.IsCalledOff(err) || len(now) != 1 || !now[0].Serves() || !now[0].Protected):
				t.Errorf("%v; there are %+v", err, now)
			}
		})
	}
}

// Who would protect a VM that is off already, and loses its disks, is refused.
func TestTooLateToProtect(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ShutdownTimeout = time.Second })
	for want, do := range map[string]func(*testHost, vm.VM) error{
		"web-1: too late to protect it: it is off already, and gets new disks": func(b *testHost, v vm.VM) error {
			return b.Reimage(t.Context(), spec, v, &vm.Drain{}, "d")
		},
		"web-1: too late to protect it: it is off already, and is being removed": func(b *testHost, v vm.VM) error {
			return b.Remove(t.Context(), vm.Removal{VM: v, Kind: vm.ScaleIn, Graceful: true}, spec, &vm.Drain{}, "d")
		},
	} {
		t.Run(want, func(t *testing.T) {
			b, v := launched(t, spec)
			said := ""
			b.on[bus.EventStopping] = func() {
				err := vm.Protect(b.conn, v, bus.Protection{On: true, By: "ann"})
				if said = fmt.Sprint(err); !errors.Is(err, vm.ErrTooLate) {
					t.Errorf("got %v", err)
				}
				if err := vm.Protect(b.conn, v, bus.Protection{}); err != nil {
					t.Errorf("taken back: %v", err)
				}
			}
			if err := do(b, v); err != nil || said != want {
				t.Errorf("said %q, want %q; %v", said, want, err)
			}
		})
	}
}

// A VM that is protected while it is out of service comes back all the same, and is protected then.
func TestProtectedWhileOutOfService(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ShutdownTimeout = time.Second })
	larger := spec
	larger.MemoryMiB += 4
	protect := func(b *testHost, v vm.VM) func() {
		return func() {
			if err := vm.Protect(b.conn, v, bus.Protection{On: true, By: "ann"}); err != nil {
				b.t.Error(err)
			}
		}
	}
	comesBack := func(b *testHost) {
		b.t.Helper()
		now := b.inventory().Owned[0]
		if now.UUID != someUUID || !now.Serves() || now.Reimaging() || !now.Protected || now.Meta.Machine != larger.MachineHash() {
			b.t.Errorf("it is %+v", now)
		}
	}
	t.Run("restart", func(t *testing.T) {
		b, v := launched(t, spec)
		b.on[bus.EventStopping] = protect(b, v)
		if err := b.Restart(t.Context(), larger, v, &vm.Drain{}, "d"); err != nil {
			t.Fatal(err)
		}
		comesBack(b)
		if by := b.inventory().Owned[0].Protection.By; by != "ann" {
			t.Errorf("it is protected by %q", by)
		}
	})
	t.Run("restart that is cut off", func(t *testing.T) {
		b, v := launched(t, spec)
		ctx, cancel := context.WithCancel(t.Context())
		b.on[bus.EventStopping] = func() { protect(b, v)(); cancel() }
		if err := b.Restart(ctx, larger, v, &vm.Drain{}, "d"); !errors.Is(err, context.Canceled) {
			t.Fatalf("it was not cut off: %v", err)
		}
		if err := b.Restart(t.Context(), larger, b.inventory().Owned[0], &vm.Drain{}, "d"); err != nil {
			t.Fatal(err)
		}
		comesBack(b)
	})
	t.Run("reimage, noted by hand", func(t *testing.T) {
		b, v := launched(t, spec)
		b.on[bus.EventStopping] = func() {
			p := bus.Protection{On: true, By: "ann"}
			err := b.domain("web-1").SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, p.XML(), bus.ProtectionKey, bus.ProtectionURI,
				libvirt.DOMAIN_AFFECT_CONFIG)
			if err != nil {
				b.t.Error(err)
			}
		}
		if err := b.Reimage(t.Context(), larger, v, &vm.Drain{}, "d"); err != nil {
			t.Fatal(err)
		}
		comesBack(b)
	})
	t.Run("reimage that is cut off, of a group that protects", func(t *testing.T) {
		b, v := launched(t, spec)
		larger.ProtectNew = true
		ctx, cancel := context.WithCancel(t.Context())
		b.on[bus.EventCreating] = cancel // it is defined
		if err := b.Reimage(ctx, larger, v, &vm.Drain{}, "d"); !errors.Is(err, context.Canceled) {
			t.Fatalf("it was not cut off: %v", err)
		}
		v = b.inventory().Owned[0]
		if !v.Protected || !v.Off() {
			t.Fatalf("it is %+v", v)
		}
		if err := b.Reimage(t.Context(), larger, v, &vm.Drain{}, "d"); err != nil {
			t.Fatal(err)
		}
		comesBack(b)
	})
}

// A restart that was cut off goes on at whatever step, also for one whose group has got other disks meanwhile: that comes back
// as it is.
func TestRestartGoesOn(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ShutdownTimeout = time.Second })
	larger := func(g *bus.Group) { g.MemoryMiB += 4 }
	for name, tt := range map[string]struct {
		phase  bus.Phase
		off    bool
		change func(*bus.Group)
		memory int
	}{
		"while it drained":       {bus.PhaseDraining, false, larger, 4},
		"when it was off":        {bus.PhaseStopping, true, larger, 4},
		"with its definition":    {bus.PhaseLaunching, true, larger, 4},
		"and the disks are new":  {bus.PhaseStopping, true, func(g *bus.Group) { larger(g); g.DiskMiB = 64 }, 0},
		"and it was never ready": {bus.PhaseStopping, false, larger, 4},
	} {
		t.Run(name, func(t *testing.T) {
			b, v := launched(t, spec)
			meta := v.Meta
			meta.Reimaging, meta.Restarts = time.Now(), true
			if err := vm.SetPhase(b.domain("web-1"), &meta, tt.phase); err != nil {
				t.Fatal(err)
			}
			if tt.off {
				if err := b.domain("web-1").Destroy(); err != nil {
					t.Fatal(err)
				}
			}
			next := spec
			tt.change(&next)
			if err := b.Restart(t.Context(), next, b.inventory().Owned[0], &vm.Drain{}, "d"); err != nil {
				t.Fatal(err)
			}
			now := b.inventory().Owned[0]
			made := next.MachineHash()
			if tt.memory == 0 {
				made = spec.MachineHash()
			}
			if !now.Serves() || now.Reimaging() || now.Meta.Machine != made || now.Meta.Storage != spec.StorageHash() ||
				b.memoryMiB("web-1") != spec.MemoryMiB+tt.memory {
				t.Errorf("it is %+v with %d MiB", now, b.memoryMiB("web-1"))
			}
		})
	}
}

// Nothing is done to a VM whose disks are not what the config says, or that a person has given snapshots.
func TestRestartIsRefused(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.ShutdownTimeout = time.Second })
	for want, change := range map[string]func(*testHost, *bus.Group){
		"its disks are not what": func(_ *testHost, g *bus.Group) { g.DiskMiB = 64 },
		"it has 1 snapshot": func(b *testHost, g *bus.Group) {
			g.MemoryMiB++
			s, err := b.domain("web-1").CreateSnapshotXML("<domainsnapshot/>", 0)
			if err != nil {
				b.t.Fatal(err)
			}
			s.Free()
		},
	} {
		t.Run(want, func(t *testing.T) {
			b, before := launched(t, spec)
			next := spec
			change(b, &next)
			if err := b.Restart(t.Context(), next, before, &vm.Drain{}, "d"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
			if now := b.inventory().Owned[0]; !reflect.DeepEqual(now.Meta, before.Meta) || !now.Serves() || len(b.events) > 0 {
				t.Errorf("it is %+v, was %+v; told %s", now, before, b.heard())
			}
		})
	}
}
