package collector

import (
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

func figure(p *int) int {
	if p == nil {
		return -1
	}
	return *p
}

// Tmpfs and shared memory are not free, though they are in "Cached"; and what is free is never more than there is, as both
// figures are of one reading.
func TestHostMemory(t *testing.T) {
	const gib = 1 << 20 // in KiB
	meminfo := func(lines ...string) string { return strings.Join(lines, "\n") + "\n" }
	for _, tt := range []struct {
		name        string
		total, free int // MiB; -1 is unknown
		got         func() (int, *int)
	}{
		{"half of the memory is a tmpfs", 24576, 11264, func() (int, *int) {
			return kernelMemory(meminfo("MemTotal:       25165824 kB", "MemFree:         9437184 kB", "MemAvailable:   11534336 kB",
				"Buffers:          524288 kB", "Cached:         14680064 kB", "Shmem:          12582912 kB"))
		}},
		{
			"a kernel that does not estimate", 1024, -1,
			func() (int, *int) { return kernelMemory(meminfo("MemTotal: 1048576 kB", "MemFree: 524288 kB")) },
		},
		{
			"none is available", 1024, 0,
			func() (int, *int) { return kernelMemory(meminfo("MemTotal: 1048576 kB", "MemAvailable: 0 kB")) },
		},
		{
			"more than there is", 1024, -1,
			func() (int, *int) { return kernelMemory(meminfo("MemTotal: 1048576 kB", "MemAvailable: 2097152 kB")) },
		},
		{"no unit", 0, -1, func() (int, *int) { return kernelMemory(meminfo("MemTotal: 1048576", "MemAvailable: 1048576")) }},
		{"no number", 0, -1, func() (int, *int) { return kernelMemory(meminfo("MemTotal: much kB")) }},
		{"no file", 0, -1, func() (int, *int) { return kernelMemory("") }},
		{"libvirt's word", 8192, 6144, func() (int, *int) {
			return nodeMemory(&libvirt.NodeMemoryStats{
				TotalSet: true, Total: 8 * gib, FreeSet: true, Free: 3 * gib, BuffersSet: true, Buffers: gib, CachedSet: true,
				Cached: 2 * gib,
			})
		}},
		{
			"libvirt says no total", 0, -1,
			func() (int, *int) { return nodeMemory(&libvirt.NodeMemoryStats{FreeSet: true, Free: 23 * gib}) },
		},
		{
			"libvirt does not say what is free", 8192, -1,
			func() (int, *int) { return nodeMemory(&libvirt.NodeMemoryStats{TotalSet: true, Total: 8 * gib}) },
		},
		{"23 GiB free of 6", 6144, -1, func() (int, *int) {
			return nodeMemory(&libvirt.NodeMemoryStats{TotalSet: true, Total: 6 * gib, FreeSet: true, Free: 23 * gib})
		}},
	} {
		if total, free := tt.got(); total != tt.total || figure(free) != tt.free {
			t.Errorf("%s: %d MiB, %d free; want %d, %d", tt.name, total, figure(free), tt.total, tt.free)
		}
	}
}

func TestUnused(t *testing.T) {
	for _, tt := range []struct {
		name      string
		given     int
		resident  *int
		hugePages bool
		want      int
	}{
		{"an idle guest", 8192, new(700), false, 7492},
		{"all is touched, and QEMU's own beside", 256, new(290), false, 0},
		{"unknown", 256, nil, false, -1},
		{"in huge pages, which are not in its resident memory", 8192, new(40), true, 0},
	} {
		if got := figure(unused(tt.given, tt.resident, tt.hugePages)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestPromised(t *testing.T) {
	read := &promises{at: t0, mib: map[string]*int{"a": new(100), "stranger": new(1000), "dumb": nil}}
	for _, tt := range []struct {
		name    string
		known   *promises
		after   time.Duration
		running map[string]int
		ended   map[string]bool
		want    int
	}{
		{"whoever's", read, 0, map[string]int{"a": 256}, nil, 1100},
		{"one was started since, and has all to take", read, time.Second, map[string]int{"a": 256, "b": 256}, nil, 1356},
		{"one has ended since", read, time.Second, nil, map[string]bool{"a": true}, 1000},
		{"an unknown one counts nothing", read, 0, map[string]int{"dumb": 256}, nil, 1100},
		{"nothing runs", &promises{at: t0}, 0, nil, nil, 0},
		{"old", read, slowMaxAge, map[string]int{"a": 256}, nil, -1},
		{"not read yet", nil, 0, map[string]int{"a": 256}, nil, -1},
	} {
		if got := figure(promisedMiB(tt.known, t0.Add(tt.after), tt.running, tt.ended)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// An own VM counts with all that it was given until its resident memory was read, while it is paused too, and no more once it is
// off.
func TestPromisedOfOwnVMs(t *testing.T) {
	c := &Collector{ran: map[string]bool{}}
	own := func(uuid string, s bus.State) reading { return reading{uuid: uuid, state: s, memoryMiB: 256} }
	say := func(want int, readings ...reading) {
		t.Helper()
		if got := figure(c.promised(readings, t0)); got != want {
			t.Errorf("%d MiB for %+v, want %d", got, readings, want)
		}
	}
	say(-1, own("a", bus.StateRunning))
	c.promises.latest.Store(&promises{at: t0, mib: map[string]*int{"a": new(100), "stranger": new(1000)}})
	say(1100, own("a", bus.StateRunning))
	say(1356, own("a", bus.StatePaused), own("b", bus.StateRunning))
	say(1256, own("a", bus.StateShutoff), own("b", bus.StateUnknown))
	say(1000)
	c.promises.latest.Store(&promises{at: t0, mib: map[string]*int{"stranger": new(1000)}})
	say(1000)
	if len(c.ran) > 0 {
		t.Errorf("%v are kept forever", c.ran)
	}
}
