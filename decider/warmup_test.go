package decider

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// image is how VMs of a template boot: when they are ready, and until when their CPU is busy with it, both from the start.
// Every tenth second, for two, it has a pause.
type image struct {
	name        string
	ready, busy time.Duration
	pauses      bool
}

func images() []image {
	return []image{
		{"demo", 5 * time.Second, 6 * time.Second, false},
		{"nothing after ready", time.Minute, time.Minute, false},
		{"Debian's cloud image", 176 * time.Second, 206 * time.Second, true},
		{"Windows, and its services", 2 * time.Minute, 10 * time.Minute, true},
		{"slow to be ready", 10 * time.Minute, 12 * time.Minute, true},
	}
}

func (i image) cpu(age time.Duration) float64 {
	switch {
	case age >= i.busy, i.pauses && int(age.Seconds())%10 < 2:
		return 2
	}
	return 100
}

// bootWorld is a group of VMs of an image, in steps of a second.
type bootWorld struct {
	spec  bus.Group
	image image
	load  float64 // of the whole group from each VM's ready on, in percent of one VM
	now   time.Time
	vms   []bus.VM
	made  int
	state State
	// crowded is until when others take four fifths of the host.
	crowded time.Time
}

func newBootWorld(i image, lowest int) *bootWorld {
	return &bootWorld{spec: spec(bounds(lowest, 5)), image: i, now: t0}
}

func (w *bootWorld) step() bus.Decision {
	w.now = w.now.Add(time.Second)
	serving := 0
	for i := range w.vms {
		if vm := &w.vms[i]; vm.Phase == bus.PhaseLaunching && w.now.Sub(vm.Created) >= w.image.ready {
			vm.Phase, vm.PhaseSince, vm.BootedAt = bus.PhaseReady, w.now, new(w.now)
		}
		if w.vms[i].Phase == bus.PhaseReady {
			serving++
		}
	}
	for i := range w.vms {
		vm := &w.vms[i]
		began := vm.Created
		if vm.RebootedAt != nil {
			began = *vm.RebootedAt
		}
		cpu := w.image.cpu(w.now.Sub(began))
		if vm.Phase == bus.PhaseReady {
			cpu = max(cpu, min(100, w.load/float64(serving)))
		}
		waits := 0.0
		if w.now.Before(w.crowded) {
			cpu, waits = cpu/5, cpu*4/5
		}
		vm.CPUPercent = &cpu
		if w.now.Second()%10 == 0 { // as often as it is read
			vm.RunDelayPercent = &waits
		}
	}
	obs := Observation{Hosts: []HostObservation{{Name: "kvm1", Time: w.now, VMs: slices.Clone(w.vms)}}, Fresh: 1}
	var d bus.Decision
	d, w.state = Decide(w.spec, w.state, obs, w.now)
	for len(w.vms) < d.Desired {
		w.made++
		w.vms = append(w.vms, bus.VM{
			Name: fmt.Sprintf("web-%d", w.made), UUID: fmt.Sprint(w.made), State: bus.StateRunning, Phase: bus.PhaseLaunching,
			Created: w.now, PhaseSince: w.now,
		})
	}
	w.vms = w.vms[:d.Desired] // the newest leave first
	return d
}

// run goes on for a while and returns the most VMs that were desired.
func (w *bootWorld) run(d time.Duration) (most int) {
	for range int(d / time.Second) {
		most = max(most, w.step().Desired)
	}
	return most
}

// Nobody asks for anything: whatever the image does while it boots, no VM is made for that. Nor is one for a replacement,
// for the hand of a person, or for another decider that takes over.
func TestBootIsNotLoad(t *testing.T) {
	for _, i := range images() {
		for lowest := 1; lowest <= 2; lowest++ {
			t.Run(fmt.Sprintf("%s, min %d", i.name, lowest), func(t *testing.T) {
				w := newBootWorld(i, lowest)
				quiet := func(what string) {
					t.Helper()
					if most := w.run(i.busy + time.Minute); most != lowest {
						t.Errorf("%s: %d VMs, want %d", what, most, lowest)
					}
				}
				quiet("first boot")
				w.vms = w.vms[:lowest-1]
				quiet("replaced")
				for v := range w.vms {
					w.vms[v].RebootedAt = new(w.now)
				}
				quiet("all reboot")
				w.vms = nil
				text, err := json.Marshal(newCheckpoint(w.state, w.now))
				if err != nil {
					t.Fatal(err)
				}
				var kept checkpoint
				if err := json.Unmarshal(text, &kept); err != nil {
					t.Fatal(err)
				}
				w.state = recall(kept, nil, bus.Controls{}, w.now)
				if _, known := w.state.Warmup.usual(); !known {
					t.Error("what was learned is not kept")
				}
				quiet("another decider, all replaced")
			})
		}
	}
}

// On a host that is overloaded a VM that boots uses little, as it gets little. That is no rest: once the host has room again
// the rest of its boot takes all of the CPU.
func TestBootOnACrowdedHostIsNotLoad(t *testing.T) {
	for _, i := range images() {
		if i.busy < i.ready+20*time.Second {
			continue // there is nothing left to do once it is ready
		}
		t.Run(i.name, func(t *testing.T) {
			w := newBootWorld(i, 1)
			w.crowded = t0.Add(i.ready + 20*time.Second)
			if most := w.run(i.busy + time.Minute); most != 1 {
				t.Errorf("%d VMs, want 1", most)
			}
			if d := w.step(); d.Inputs.Ready != 1 {
				t.Errorf("its CPU does not count: %+v", d.Inputs)
			}
		})
	}
}

// Under load from the first moment on a group grows all the same: at the latest when no boot takes that long, and soon once
// it is known how long they take.
func TestLoadFromTheStartScalesOut(t *testing.T) {
	for _, i := range images() {
		t.Run(i.name, func(t *testing.T) {
			w := newBootWorld(i, 1)
			w.load = 150
			first := i.ready + longestTail(i.ready) + 15*time.Second
			if most := w.run(first); most < 2 {
				t.Errorf("the first VM's load made none within %s", first)
			}
			w = newBootWorld(i, 1)
			w.run(i.busy + time.Minute)
			w.load = 1000
			if most := w.run(10 * time.Second); most != 2 {
				t.Errorf("%d VMs after 10 s of load, want 2", most)
			}
			usual, _ := w.state.Warmup.usual()
			each := i.ready + usual + 15*time.Second
			if most := w.run(3 * each); most != 5 {
				t.Errorf("%d VMs after three times %s, want 5", most, each)
			}
		})
	}
}

// A guest that restarts is not under load, alone or with all others, whoever restarted it, and once it has come to rest
// its CPU counts again.
func TestRebootIsNotLoad(t *testing.T) {
	for _, i := range images() {
		t.Run(i.name, func(t *testing.T) {
			for _, all := range []bool{false, true} {
				w := newBootWorld(i, 2)
				w.run(i.busy + time.Minute)
				for v := range w.vms {
					if v == 0 || all {
						w.vms[v].RebootedAt = new(w.now)
					}
				}
				d := w.step()
				if want := map[bool]int{false: 1, true: 2}[all]; d.Inputs.Warming != want {
					t.Errorf("%d VMs warm up, want %d", d.Inputs.Warming, want)
				}
				if most := w.run(2*i.busy + time.Minute); most != 2 {
					t.Errorf("all: %v: scaled out to %d", all, most)
				}
				if d := w.step(); d.Inputs.Ready != 2 {
					t.Errorf("all: %v: %d count again, want 2", all, d.Inputs.Ready)
				}
			}
		})
	}
}

// Whatever the boot looks like.
func TestNoBootMakesAVM(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := image{ready: time.Duration(rapid.IntRange(1, 600).Draw(t, "ready")) * time.Second, pauses: rapid.Bool().Draw(t, "pauses")}
		tail := min(int(tailsPerBoot*i.ready/time.Second)-10, 600)
		i.busy = i.ready + time.Duration(rapid.IntRange(0, max(1, tail)).Draw(t, "tail"))*time.Second
		lowest := rapid.IntRange(1, 3).Draw(t, "min")
		w := newBootWorld(i, lowest)
		if most := w.run(i.busy + time.Minute); most != lowest {
			t.Fatalf("%+v made %d VMs, min %d", i, most, lowest)
		}
		w.load = 500
		if most := w.run(20 * time.Second); most == lowest {
			t.Fatalf("%+v: load makes none", i)
		}
	})
}

func TestWarming(t *testing.T) {
	boots := BootTimes{Mean: 20 * time.Second}
	known := Warmup{Tails: []time.Duration{10 * time.Second, 4 * time.Second}} // 20 s are usual
	vm := func(change func(*bus.VM)) bus.VM {
		v := bus.VM{
			UUID: "1", Phase: bus.PhaseReady, State: bus.StateRunning, Created: t0.Add(-20 * time.Second), PhaseSince: t0,
			BootedAt: new(t0),
		}
		if change != nil {
			change(&v)
		}
		return v
	}
	rested := known
	rested.vms = map[string]settling{"1": {since: t0, rested: true}}
	for _, tt := range []struct {
		name   string
		set    time.Duration
		learnt Warmup
		vm     bus.VM
		until  time.Duration // from the end of the boot
	}{
		{"nothing learned: five times its boot", bus.WarmupLearned, Warmup{}, vm(nil), 100 * time.Second},
		{
			"at least half a minute", bus.WarmupLearned,
			Warmup{},
			vm(func(v *bus.VM) { v.Created = t0.Add(-time.Second) }),
			30 * time.Second,
		},
		{
			"at most a quarter of an hour", bus.WarmupLearned,
			Warmup{},
			vm(func(v *bus.VM) { v.Created = t0.Add(-time.Hour) }),
			15 * time.Minute,
		},
		{"learned", bus.WarmupLearned, known, vm(nil), 20 * time.Second},
		{
			"its boot took twice as long", bus.WarmupLearned, known, vm(func(v *bus.VM) { v.Created = t0.Add(-40 * time.Second) }),
			40 * time.Second,
		},
		{"it has come to rest", bus.WarmupLearned, rested, vm(nil), 0},
		{
			"it has come to rest, and restarts", bus.WarmupLearned, rested,
			vm(func(v *bus.VM) { v.RebootedAt = new(t0.Add(time.Second)) }), 41 * time.Second,
		},
		{"a person has said so", 7 * time.Second, known, vm(nil), 7 * time.Second},
		{"a person has said none", 0, Warmup{}, vm(nil), 0},
		{
			"a person has said so, and it restarts", 7 * time.Second, rested, vm(func(v *bus.VM) { v.RebootedAt = new(t0) }),
			27 * time.Second,
		},
		{
			"a drain was called off", bus.WarmupLearned, known, vm(func(v *bus.VM) { v.PhaseSince = t0.Add(time.Hour) }),
			20 * time.Second,
		},
		{
			"a hook took a minute", bus.WarmupLearned, known, vm(func(v *bus.VM) { v.PhaseSince = t0.Add(time.Minute) }),
			20 * time.Second,
		},
		{
			"an actuator that does not say when it booted", bus.WarmupLearned, known,
			vm(func(v *bus.VM) { v.BootedAt, v.PhaseSince = nil, t0 }), 20 * time.Second,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := spec(warmup(tt.set))
			for _, at := range []time.Duration{-time.Second, tt.until - time.Second, tt.until} {
				want := at >= 0 && at < tt.until
				if got := tt.learnt.warming(s, boots, tt.vm, t0.Add(at)); got != want {
					t.Errorf("%s after its boot: warming %v, want %v", at, got, want)
				}
			}
		})
	}
}

// A drain that was called off, and a hook that took its time, say nothing of how long boots take.
func TestCalledOffDrainIsNoBoot(t *testing.T) {
	vm := bus.VM{
		UUID:       "1",
		Phase:      bus.PhaseReady,
		State:      bus.StateRunning,
		Created:    t0,
		PhaseSince: t0.Add(time.Hour),
		BootedAt:   new(t0.Add(20 * time.Second)),
	}
	var b BootTimes
	add := func() {
		obs := see(vm)
		obs.Hosts[0].Time = t0.Add(3 * time.Hour)
		b.Add(obs)
	}
	add()
	vm.PhaseSince = t0.Add(2 * time.Hour)
	add()
	if b.Mean != 20*time.Second {
		t.Errorf("boots take %s, want 20s", b.Mean)
	}
	vm.UUID, vm.BootedAt = "2", nil
	add()
	if b.Mean != 20*time.Second {
		t.Errorf("one that is unknown counts: %s", b.Mean)
	}
}

// Another template of the group has its own warm-up to be learned; VMs that came to rest before have done so for good.
func TestAnotherTemplateKeepsVMsAtRest(t *testing.T) {
	w := newBootWorld(image{name: "web", ready: 60 * time.Second, busy: 80 * time.Second}, 2)
	w.spec.Template = "web-1"
	w.run(100 * time.Second)
	if d := w.step(); d.Inputs.Ready != 2 || len(w.state.Warmup.Tails) == 0 {
		t.Fatalf("they are not at rest: %+v, %+v", d.Inputs, w.state.Warmup)
	}
	w.spec.Template = "web-2"
	if d := w.step(); d.Inputs.Ready != 2 || d.Inputs.Warming != 0 || len(w.state.Warmup.Tails) != 0 {
		t.Errorf("after the change: %+v, %+v", d.Inputs, w.state.Warmup)
	}
}
