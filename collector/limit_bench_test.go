package collector

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/internal/figures"
)

// kernelFile is a file of the kernel with the CPU time of a VM, which is kept open: to read that again is the least that anybody
// can do to know it.
type kernelFile struct {
	file  *os.File
	field int // of a line with fields, from 0; the first number that counts
	many  int // fields in a row
}

// read is the sum of the fields.
func (k kernelFile) read(b *testing.B) (sum uint64) {
	b.Helper()
	var room [512]byte
	n, err := k.file.ReadAt(room[:], 0)
	if n == 0 {
		b.Fatalf("%s: %v", k.file.Name(), err)
	}
	text := room[:n]
	text = text[bytes.LastIndexByte(text, ')')+1:] // a process's name can have blanks
	field, in := -1, false
	var value uint64
	for _, c := range text {
		digit := c > ' '
		if digit && !in {
			field, value = field+1, 0
		}
		switch {
		case digit && c >= '0' && c <= '9':
			value = 10*value + uint64(c-'0')
		case in && !digit && field >= k.field && field < k.field+k.many:
			sum += value
		}
		in = digit
	}
	return sum
}

// kernelFiles are /proc/PID/stat of each VM, and its cgroup's file, where it has one of its own.
func (r *rig) kernelFiles(b *testing.B) (stats, groups []kernelFile) {
	b.Helper()
	for _, name := range r.vms {
		text, err := os.ReadFile("/run/libvirt/qemu/" + name + ".pid")
		if err != nil {
			return nil, nil // of a libvirt elsewhere
		}
		proc := filepath.Join("/proc", strings.TrimSpace(string(text)))
		if f, err := os.Open(filepath.Join(proc, "stat")); err == nil {
			b.Cleanup(func() { _ = f.Close() })
			const utime = 11 // after the name
			stats = append(stats, kernelFile{f, utime, 2})
		}
		text, _ = os.ReadFile(filepath.Join(proc, "cgroup"))
		for line := range strings.Lines(string(text)) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) < 3 || parts[2] == "/" {
				continue
			}
			name, field := "/sys/fs/cgroup/cpuacct"+parts[2]+"/cpuacct.usage", 0
			switch {
			case parts[0] == "0": // version 2: "usage_usec" and the number
				name, field = "/sys/fs/cgroup"+parts[2]+"/cpu.stat", 1
			case !strings.Contains(parts[1], "cpuacct"):
				continue
			}
			if f, err := os.Open(name); err == nil {
				b.Cleanup(func() { _ = f.Close() })
				groups = append(groups, kernelFile{f, field, 1})
			}
		}
	}
	return stats, groups
}

// addFigures adds what one reading of n VMs has cost.
func (c *costs) addFigures(b *testing.B, figure string, n int) {
	b.Helper()
	cpu := func(way int) (all []float64) {
		for _, round := range c[way] {
			all = append(all, round.cpu()/1e3)
		}
		return all
	}
	twice := map[int]float64{1: 100, 20: 300}[n]
	add := func(way string, kind figures.Kind, is int, aim float64) {
		figures.Add(b, figures.Way{Figure: figure, Way: way, Kind: kind, Unit: "µs of CPU", Values: cpu(is), Aim: aim})
	}
	add("a tick", figures.Ours, wayPass, 0)
	add("virsh domstats twice, a VM after the other", figures.Rival, wayFork, twice)
	add("virsh domstats of all, twice", figures.Rival, wayForkBulk, 0)
	add("libvirt's bulk call", figures.Rival, wayBulk, 0)
	add("pread of /proc/PID/stat", figures.Limit, wayStat, 2)
	add("pread of the cgroup", figures.Limit, wayGroup, 2)
}
