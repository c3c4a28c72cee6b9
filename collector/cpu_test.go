package collector

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestPercent(t *testing.T) {
	const tick = time.Second
	at := func(run uint, cpu, at time.Duration, vcpus int) counter {
		return counter{run: run, cpu: cpu, at: t0.Add(at), vcpus: vcpus}
	}
	const none = -1
	for _, tt := range []struct {
		name        string
		before, now counter
		want        float64
	}{
		{"half of one vCPU", at(1, 10*time.Second, 0, 1), at(1, 10500*time.Millisecond, tick, 1), 50},
		{"idle is 0, and known", at(1, 10*time.Second, 0, 1), at(1, 10*time.Second, tick, 1), 0},
		{"all of one vCPU", at(1, 0, 0, 1), at(1, time.Second, tick, 1), 100},
		{"one of four vCPUs", at(1, 0, 0, 4), at(1, time.Second, tick, 4), 25},
		{"all of four vCPUs", at(1, 0, 0, 4), at(1, 4*time.Second, tick, 4), 100},
		{"emulator threads take it above 100", at(1, 0, 0, 1), at(1, 1050*time.Millisecond, tick, 1), 105},
		{"over two seconds", at(1, 0, 0, 1), at(1, time.Second, 2*tick, 1), 50},
		{"the shortest window", at(1, 0, 0, 1), at(1, 250*time.Millisecond, tick/2, 1), 50},
		{"the longest window", at(1, 0, 0, 1), at(1, time.Second, 5*tick, 1), 20},

		{"first reading", counter{}, at(1, time.Hour, tick, 1), none},
		{"restarted", at(1, 10*time.Second, 0, 1), at(2, 11*time.Second, tick, 1), none},
		{"the counter went back", at(1, 10*time.Second, 0, 1), at(1, 9*time.Second, tick, 1), none},
		{"no time has passed", at(1, 0, tick, 1), at(1, time.Second, tick, 1), none},
		{"time went back", at(1, 0, tick, 1), at(1, time.Second, 0, 1), none},
		{"too short", at(1, 0, 0, 1), at(1, time.Second, tick/2-1, 1), none},
		{"too long", at(1, 0, 0, 1), at(1, time.Second, 5*tick+1, 1), none},
		{"a vCPU was added", at(1, 0, 0, 1), at(1, time.Second, tick, 2), none},
		{"a vCPU was removed", at(1, 0, 0, 2), at(1, time.Second, tick, 1), none},
		{"libvirt's figure, then the kernel's", at(1, 0, 0, 1), counter{run: 1, cpu: 1, at: t0.Add(tick), vcpus: 1, exact: true}, none},
		{"no vCPUs", at(1, 0, 0, 0), at(1, time.Second, tick, 0), none},
		{"no counter now", at(1, time.Second, 0, 1), counter{}, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, known := percent(tt.before, tt.now, tick/2, 5*tick)
			switch {
			case known != (tt.want != none):
				t.Errorf("known is %v (%g)", known, got)
			case known && math.Abs(got-tt.want) > 1e-9:
				t.Errorf("got %g, want %g", got, tt.want)
			}
		})
	}
	t.Run("no bounds, no time", func(t *testing.T) {
		if got, known := percent(at(1, 0, 0, 1), at(1, time.Second, 0, 1), 0, tick); known {
			t.Errorf("got %g", got)
		}
	})
}

func TestStill(t *testing.T) {
	const tick = time.Second
	type step struct {
		at  int           // seconds
		cpu time.Duration // the counter's value
		run uint
	}
	ms := time.Millisecond
	for _, tt := range []struct {
		name  string
		tick  time.Duration
		steps []step
		want  bool // after the last step
		age   int
	}{
		{"first reading", tick, []step{{0, 0, 1}}, false, 0},
		{"it moves", tick, []step{{0, 0, 1}, {4, 10 * ms, 1}, {8, 20 * ms, 1}}, false, 0},
		{"an idle guest may leave it for a while", tick, []step{{0, 0, 1}, {1, 0, 1}, {4, 0, 1}}, false, 4},
		{"not for long", tick, []step{{0, 0, 1}, {1, 0, 1}, {5, 0, 1}}, true, 5},
		{"it goes on counting", tick, []step{{0, 0, 1}, {5, 0, 1}, {17, 0, 1}}, true, 17},
		{"from the last move on", tick, []step{{0, 0, 1}, {3, time.Second, 1}, {7, time.Second, 1}}, false, 4},
		{"it moves again", tick, []step{{0, 0, 1}, {6, 0, 1}, {7, time.Second, 1}}, false, 0},
		{"it goes back", tick, []step{{0, time.Second, 1}, {4, time.Second, 1}, {6, 0, 1}}, false, 0},
		{"another run with the same value", tick, []step{{0, 0, 1}, {4, 0, 1}, {6, 0, 2}}, false, 0},
		{"long ticks", 10 * tick, []step{{0, 0, 1}, {20, 0, 1}}, false, 20},
		{"three long ticks", 10 * tick, []step{{0, 0, 1}, {10, 0, 1}, {30, 0, 1}}, true, 30},
		{"a guest that uses next to nothing", tick, []step{{0, 0, 1}, {8, 10 * ms, 1}, {30, 10 * ms, 1}}, false, 22},
		{"three times as long as it took before", tick, []step{{0, 0, 1}, {8, 10 * ms, 1}, {32, 10 * ms, 1}}, true, 24},
		{"no longer than a minute", tick, []step{{0, 0, 1}, {90, 10 * ms, 1}, {150, 10 * ms, 1}}, true, 60},
		{"a busy guest whose source was stuck", tick, []step{{0, 0, 1}, {8, 8 * time.Second, 1}, {13, 8 * time.Second, 1}}, true, 5},
		{"what the run before took", tick, []step{{0, 0, 1}, {8, 10 * ms, 1}, {9, 0, 2}, {14, 0, 2}}, true, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s stall
			var now time.Time
			for _, step := range tt.steps {
				now = t0.Add(time.Duration(step.at) * time.Second)
				s = s.next(counter{run: step.run, cpu: step.cpu, at: now, vcpus: 1})
			}
			age, stuck := s.stuck(now, tt.tick)
			if stuck != tt.want || age != time.Duration(tt.age)*time.Second {
				t.Errorf("got %v after %s, want %v after %d s", stuck, age, tt.want, tt.age)
			}
		})
	}
}

func TestNextPause(t *testing.T) {
	var got []time.Duration
	var pause time.Duration
	for range 5 {
		pause = nextPause(pause)
		got = append(got, pause/time.Second)
	}
	if want := []time.Duration{1, 2, 4, 5, 5}; !slices.Equal(got, want) {
		t.Errorf("pauses of %d s, want %d", got, want)
	}
}

func TestHostPercent(t *testing.T) {
	const none = -1
	s := time.Second
	for _, tt := range []struct {
		name        string
		before, now hostCounter
		want        float64
	}{
		{"half", hostCounter{10 * s, 100 * s}, hostCounter{11 * s, 102 * s}, 50},
		{"idle", hostCounter{10 * s, 100 * s}, hostCounter{10 * s, 102 * s}, 0},
		{"full", hostCounter{10 * s, 100 * s}, hostCounter{12 * s, 102 * s}, 100},
		{"first reading", hostCounter{}, hostCounter{10 * s, 100 * s}, none},
		{"no reading now", hostCounter{10 * s, 100 * s}, hostCounter{}, none},
		{"nothing has passed", hostCounter{10 * s, 100 * s}, hostCounter{10 * s, 100 * s}, none},
		{"busy went back", hostCounter{10 * s, 100 * s}, hostCounter{9 * s, 102 * s}, none},
		{"more busy than there was", hostCounter{10 * s, 100 * s}, hostCounter{13 * s, 102 * s}, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, known := hostPercent(tt.before, tt.now)
			if known != (tt.want != none) || known && got != tt.want {
				t.Errorf("got %g, %v; want %g", got, known, tt.want)
			}
		})
	}
}

func TestKernelCPU(t *testing.T) {
	const ms = 10 * time.Millisecond
	for _, tt := range []struct {
		name, stat string
		want       hostCounter
		known      bool
	}{
		{
			"all figures", "cpu  100 20 30 4000 500 6 7 8 9 10\ncpu0 100 20 30 4000 500 6 7 8 9 10\n",
			hostCounter{busy: 163 * ms, total: 4663 * ms},
			true,
		},
		{"without steal", "cpu  1 2 3 4 5 6 7\n", hostCounter{busy: 19 * ms, total: 28 * ms}, true},
		{"no softirq", "cpu  1 2 3 4 5 6\n", hostCounter{}, false},
		{"no number", "cpu  1 2 3 4 5 6 much\n", hostCounter{}, false},
		{"another file", "MemTotal: 1 kB 2 3 4 5 6 7\n", hostCounter{}, false},
		{"of one core", "cpu0 1 2 3 4 5 6 7\n", hostCounter{}, false},
		{"no file", "", hostCounter{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, known := kernelCPU(tt.stat); got != tt.want || known != tt.known {
				t.Errorf("got %+v, %v; want %+v, %v", got, known, tt.want, tt.known)
			}
		})
	}
}

func TestRunDelayPercent(t *testing.T) {
	const none = -1
	at := func(run uint, second int, delay time.Duration, known bool) slowReading {
		return slowReading{run: run, at: t0.Add(time.Duration(second) * time.Second), delay: delay, delayKnown: known}
	}
	for _, tt := range []struct {
		name        string
		before, now slowReading
		vcpus       int
		want        float64
	}{
		{"a quarter", at(1, 0, time.Second, true), at(1, 4, 2*time.Second, true), 1, 25},
		{"two vCPUs", at(1, 0, time.Second, true), at(1, 4, 5*time.Second, true), 2, 50},
		{"no wait is 0, and known", at(1, 0, time.Second, true), at(1, 4, time.Second, true), 1, 0},
		{"first reading", slowReading{}, at(1, 4, time.Second, true), 1, none},
		{"unknown before", at(1, 0, 0, false), at(1, 4, time.Second, true), 1, none},
		{"unknown now", at(1, 0, 0, true), at(1, 4, time.Second, false), 1, none},
		{"restarted", at(1, 0, time.Second, true), at(2, 4, 2*time.Second, true), 1, none},
		{"went back", at(1, 0, 2*time.Second, true), at(1, 4, time.Second, true), 1, none},
		{"no time has passed", at(1, 4, time.Second, true), at(1, 4, 2*time.Second, true), 1, none},
		{"time went back", at(1, 4, time.Second, true), at(1, 0, 2*time.Second, true), 1, none},
		{"gone in between", at(1, 0, time.Second, true), at(1, 4, 2*time.Second, true), 0, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runDelayPercent(tt.before, tt.now, tt.vcpus)
			if (got != nil) != (tt.want != none) || got != nil && *got != tt.want {
				t.Errorf("got %v, want %g", got, tt.want)
			}
		})
	}
}

func TestState(t *testing.T) {
	for s, want := range map[libvirt.DomainState]bus.State{
		libvirt.DOMAIN_RUNNING: bus.StateRunning, libvirt.DOMAIN_PAUSED: bus.StatePaused, libvirt.DOMAIN_SHUTDOWN: bus.StateShutdown,
		libvirt.DOMAIN_SHUTOFF: bus.StateShutoff, libvirt.DOMAIN_CRASHED: bus.StateCrashed, libvirt.DOMAIN_NOSTATE: bus.StateUnknown,
		libvirt.DOMAIN_BLOCKED: bus.StateOther, libvirt.DOMAIN_PMSUSPENDED: bus.StateAsleep, libvirt.DomainState(99): bus.StateOther,
	} {
		if got := bus.StateFromLibvirt(int(s)); got != want {
			t.Errorf("state %d is %q, want %q", s, got, want)
		}
	}
}

func TestVMOfAReading(t *testing.T) {
	const uuid = "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11"
	created := t0.Add(-time.Hour)
	meta := bus.Metadata{
		Group:   "web",
		UUID:    uuid,
		Phase:   bus.PhaseReady,
		Created: created.In(time.FixedZone("CEST", 7200)),
		Since:   t0.Add(-time.Minute),
		// What it was made from is repeated.
		Template: "demo", Machine: "89abcdef0123",
	}
	running := reading{
		name: "web-1", uuid: uuid, meta: meta, state: bus.StateRunning, memoryMiB: 256,
		counter: counter{run: 7, cpu: 10500 * time.Millisecond, at: t0, vcpus: 1},
	}
	earlier := counter{run: 7, cpu: 10 * time.Second, at: t0.Add(-time.Second), vcpus: 1}
	slow := slowReading{at: t0.Add(-2 * time.Second), run: 7, memoryUsedMiB: new(100), delayPercent: new(12.5)}
	base := bus.VM{
		Name: "web-1", UUID: uuid, State: bus.StateRunning, Phase: bus.PhaseReady, VCPUs: 1, MemoryMiB: 256,
		Created: created, PhaseSince: t0.Add(-time.Minute), Template: "demo", Machine: "89abcdef0123",
	}
	off := running
	off.state, off.counter = bus.StateShutoff, counter{vcpus: 1}
	protected := running
	protected.protected = true
	unreadable := running
	unreadable.state, unreadable.counter, unreadable.memoryMiB, unreadable.err = bus.StateUnknown, counter{}, 0, errors.New(
		"timed out",
	)

	forwarding := bus.DefaultGroup()
	forwarding.Name = "web"
	forwarding.Hardware.NICs = []bus.NIC{{Type: bus.NICUser, Forwards: []bus.Forward{{Host: 8080, Guest: 80}}}}

	for _, tt := range []struct {
		name   string
		r      reading
		before counter
		slow   slowReading
		want   bus.VM
	}{
		{"first reading", running, counter{}, slowReading{}, base},
		{"protected", protected, counter{}, slowReading{}, with(base, func(vm *bus.VM) { vm.Protected = true })},
		{"second reading", running, earlier, slowReading{}, with(base, func(vm *bus.VM) { vm.CPUPercent = new(50.0) })},
		{
			"rounded", with(running, func(r *reading) { r.counter.cpu = 10*time.Second + 123456789 }), earlier,
			slowReading{},
			with(base, func(vm *bus.VM) { vm.CPUPercent = new(12.3) }),
		},
		{"restarted", running, counter{run: 6, cpu: time.Second, at: t0.Add(-time.Second), vcpus: 1}, slowReading{}, base},
		{
			"with slow statistics", running, earlier, slow,
			with(base, func(vm *bus.VM) { vm.CPUPercent, vm.MemoryUsedMiB, vm.RunDelayPercent = new(50.0), new(100), new(12.5) }),
		},
		{"slow statistics of the run before", running, counter{}, with(slow, func(s *slowReading) { s.run = 6 }), base},
		{"slow statistics too old", running, counter{}, with(slow, func(s *slowReading) { s.at = t0.Add(-slowMaxAge) }), base},
		{
			"with an address", running, counter{}, with(slow, func(s *slowReading) {
				s.memoryUsedMiB, s.delayPercent, s.address, s.at = nil, nil, "10.0.0.7", t0.Add(-time.Hour)
			}), with(base, func(vm *bus.VM) { vm.Address = "10.0.0.7" }),
		},
		{"with the address of the run before", running, counter{}, slowReading{run: 6, address: "10.0.0.7", at: t0}, base},
		{
			"with that of its hook", with(running, func(r *reading) { r.meta.Address = "10.0.0.8" }),
			counter{},
			slowReading{},
			with(base, func(vm *bus.VM) { vm.Address = "10.0.0.8" }),
		},
		{"with one of nobody", with(running, func(r *reading) { r.meta.Address = "127.0.0.1" }), counter{}, slowReading{}, base},
		{
			"with forwarded ports", with(running, func(r *reading) { r.meta.Machine = forwarding.MachineHash() }),
			counter{},
			slowReading{},
			with(base, func(vm *bus.VM) { vm.Machine, vm.Forwards = forwarding.MachineHash(), map[int]int{80: 8080} }),
		},
		{"off", off, earlier, slow, with(base, func(vm *bus.VM) { vm.State = bus.StateShutoff })},
		{"unreadable", unreadable, earlier, slow, with(base, func(vm *bus.VM) {
			vm.State, vm.VCPUs, vm.MemoryMiB, vm.Error = bus.StateUnknown, 0, 0, "timed out"
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Collector{
				cfg:    Config{Tick: time.Second, Groups: []bus.Group{forwarding}},
				before: map[string]counter{uuid: tt.before}, slow: map[string]slowReading{},
			}
			if !tt.slow.at.IsZero() {
				c.slow[uuid] = tt.slow
			}
			got := c.vm(tt.r)
			same(t, "CPU", got.CPUPercent, tt.want.CPUPercent)
			same(t, "memory used", got.MemoryUsedMiB, tt.want.MemoryUsedMiB)
			same(t, "run delay", got.RunDelayPercent, tt.want.RunDelayPercent)
			got.CPUPercent, got.MemoryUsedMiB, got.RunDelayPercent = nil, nil, nil
			want := tt.want
			want.CPUPercent, want.MemoryUsedMiB, want.RunDelayPercent = nil, nil, nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// A counter that stands still is unknown, and not 0.
func TestVMWhoseCounterStandsStill(t *testing.T) {
	at := func(second int) counter {
		return counter{run: 7, cpu: 10 * time.Second, at: t0.Add(time.Duration(second) * time.Second), vcpus: 1}
	}
	c := &Collector{
		cfg:    Config{Tick: time.Second},
		before: map[string]counter{"u": at(6)},
		stalls: map[string]stall{"u": {since: at(0)}},
	}
	vm := c.vm(reading{uuid: "u", state: bus.StateRunning, counter: at(7)})
	if want := "its CPU counter has not moved for 7 s"; vm.CPUPercent != nil || vm.Error != want {
		t.Errorf("CPU known %v, error %q, want %q", vm.CPUPercent != nil, vm.Error, want)
	}
	c.before["u"], c.stalls["u"] = at(3), stall{since: at(0)}
	if vm := c.vm(reading{uuid: "u", state: bus.StateRunning, counter: at(4)}); vm.CPUPercent == nil || *vm.CPUPercent != 0 ||
		vm.Error != "" {
		t.Errorf("got %+v, want a known 0", vm)
	}
}

func with[T any](v T, change func(*T)) T { change(&v); return v }

func same[T comparable](t *testing.T, what string, got, want *T) {
	t.Helper()
	switch {
	case got == nil && want == nil:
	case got == nil || want == nil:
		t.Errorf("%s: known is %v, want %v", what, got != nil, want != nil)
	case *got != *want:
		t.Errorf("%s: got %v, want %v", what, *got, *want)
	}
}

func TestTakeSlow(t *testing.T) {
	c := &Collector{
		before: map[string]counter{"runs": {vcpus: 1}}, slow: map[string]slowReading{
			"runs": {run: 1, at: t0, delay: 0, delayKnown: true}, "gone": {run: 1, at: t0},
		},
	}
	c.takeSlow(slowResult{poolFreeMiB: new(7), vms: map[string]slowReading{
		"runs": {run: 1, at: t0.Add(4 * time.Second), delay: time.Second, delayKnown: true}, "gone": {run: 1, at: t0.Add(time.Second)},
	}})
	if d := c.slow["runs"].delayPercent; d == nil || *d != 25 {
		t.Errorf("run delay %v", d)
	}
	if _, kept := c.slow["gone"]; kept {
		t.Error("statistics of a VM that is gone are kept")
	}
	if c.poolFree == nil || *c.poolFree != 7 {
		t.Errorf("pool: %v", c.poolFree)
	}
	c.takeSlow(slowResult{err: errors.New("no such pool")})
	if c.poolFree != nil {
		t.Errorf("a pool that cannot be read has %d MiB free", *c.poolFree)
	}
}
