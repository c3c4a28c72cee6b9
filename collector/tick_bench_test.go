package collector

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// BenchmarkTick is what a tick of the collector costs with VMs that run: its own CPU time, libvirtd's, and its allocations.
func BenchmarkTick(b *testing.B) {
	fleets := []int{1, 20, 100}
	if testing.Short() {
		fleets = fleets[:1]
	}
	r := newRig(b)
	daemons := r.servers // without QEMU
	for _, n := range fleets {
		r.grow(n)
		b.Run(fmt.Sprintf("VMs=%d", n), func(b *testing.B) {
			r.servers = daemons
			size, err := readSize(r.conn, identify)
			if err != nil {
				b.Fatal(err)
			}
			pass := func() int {
				p := r.tick(size)
				if p.err != nil || len(p.readings) < n {
					b.Fatalf("a pass found %d VMs, want %d: %v", len(p.readings), n, p.err)
				}
				r.collector.publish(p)
				return 1
			}
			pass() // the first of anything is slower
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ticks := 0
			c := r.measure(func() int {
				for b.Loop() {
					ticks += pass()
				}
				return ticks
			})
			runtime.ReadMemStats(&after)
			us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
			b.ReportMetric(us(c.client), "own-us/tick")
			b.ReportMetric(us(c.server), "libvirtd-us/tick")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(ticks), "allocs/tick")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(ticks), "B/tick")
		})
	}
}

// makeFirmware makes one that does nothing but halt, for VMs that run and take no CPU time.
func (r *rig) makeFirmware() {
	rom := make([]byte, 64<<10)
	copy(rom[len(rom)-16:], []byte{0xfa, 0xf4, 0xeb, 0xfd}) // where a CPU starts: cli; hlt; and again, if something wakes it
	folder := r.b.TempDir()
	r.halts = filepath.Join(folder, "halts.rom")
	err := os.WriteFile(r.halts, rom, 0o644)
	for _, f := range []string{folder, filepath.Dir(folder)} { // QEMU is another user
		err = errors.Join(err, os.Chmod(f, 0o711))
	}
	if err != nil {
		r.b.Fatal(err)
	}
}

// tick is a pass of the collector, a second after the last one as far as it knows.
func (r *rig) tick(size hostSize) pass {
	r.now = r.now.Add(time.Second)
	return r.domains.readAll(size, identify, r.now)
}
