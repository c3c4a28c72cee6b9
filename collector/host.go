package collector

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// hostCounter is one reading of the host's CPU time, over all cores.
type hostCounter struct {
	busy, total time.Duration
}

// hostPercent is the host's CPU use between two readings, 100 being all cores; false where it is unknown.
func hostPercent(before, now hostCounter) (float64, bool) {
	total, busy := now.total-before.total, now.busy-before.busy
	if before.total == 0 || total <= 0 || busy < 0 || busy > total {
		return 0, false
	}
	return 100 * float64(busy) / float64(total), true
}

// hostSize is what does not change of a host.
type hostSize struct {
	id   bus.HostID // "" while it has not been read
	name string
	host bus.Host
}

// readSize reads who a host is, its cores and memory.
func readSize(conn *libvirt.Connect, identify func(*libvirt.Connect) (bus.HostID, string, error)) (hostSize, error) {
	id, name, err := identify(conn)
	if err != nil {
		return hostSize{}, err
	}
	info, err := conn.GetNodeInfo()
	if err != nil {
		return hostSize{}, fmt.Errorf("read the host's size: %w", err)
	}
	return hostSize{id, name, bus.Host{Cores: int(info.Cpus), MemoryMiB: int(info.Memory / 1024)}}, nil
}

// readHost adds to a host's size its load: what the kernel says of this machine, else what libvirt knows without asking any VM.
// What a driver does not support stays unknown.
func readHost(conn *libvirt.Connect, size hostSize, local bool) (bus.Host, hostCounter) {
	h := size.host
	var c hostCounter
	meminfo, stat := "", ""
	if local {
		meminfo, stat = readText("/proc/meminfo"), readText("/proc/stat")
	}
	if total, free := Memory(conn, meminfo); total > 0 {
		h.MemoryMiB, h.MemoryFreeMiB = total, free
	}
	if c, ok := kernelCPU(stat); ok {
		return h, c
	}
	if s, err := conn.GetCPUStats(int(libvirt.NODE_CPU_STATS_ALL_CPUS), 0); err == nil && s.IdleSet {
		c.busy = time.Duration(s.Kernel + s.User)
		c.total = c.busy + time.Duration(s.Idle+s.Iowait)
	}
	return h, c
}

// readText is a file of the kernel's; "" where that cannot be read.
func readText(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

// kernelCPU reads /proc/stat, whose first line has the time of all cores in steps of 10 ms: user, nice, system, idle, iowait,
// irq, softirq (proc_stat(5)). What other machines took of a core (steal) is in neither figure, as in libvirt's.
func kernelCPU(stat string) (c hostCounter, known bool) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return c, false
	}
	const idle, iowait = 3, 4
	for i, field := range fields[1:8] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return hostCounter{}, false
		}
		t := time.Duration(n) * 10 * time.Millisecond
		c.total += t
		if i != idle && i != iowait {
			c.busy += t
		}
	}
	return c, true
}

// Memory is how much memory libvirt's host has, 0 where that is unknown, and how much of it new VMs can have. Both are of one
// source: the kernel's /proc/meminfo where that of libvirt's host can be read, else libvirt's word.
func Memory(conn *libvirt.Connect, meminfo string) (totalMiB int, freeMiB *int) {
	if total, free := kernelMemory(meminfo); total > 0 {
		return total, free
	}
	if m, err := conn.GetMemoryStats(libvirt.NODE_MEMORY_STATS_ALL_CELLS, 0); err == nil {
		if total, free := nodeMemory(m); total > 0 {
			return total, free
		}
	}
	// It counts the memory of the NUMA nodes, which can be less than the kernel uses: no figure to hold a free one against.
	if info, err := conn.GetNodeInfo(); err == nil {
		return int(info.Memory / 1024), nil
	}
	return 0, nil
}

// kernelMemory reads /proc/meminfo. MemAvailable is the kernel's own estimate of what programs can have without swapping: other
// than "cached" it leaves out tmpfs and shared memory, which cannot be dropped.
func kernelMemory(meminfo string) (totalMiB int, freeMiB *int) {
	kib := map[string]uint64{}
	for line := range strings.Lines(meminfo) {
		key, rest, _ := strings.Cut(line, ":")
		value, isKiB := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 53); err == nil && isKiB {
			kib[key] = n
		}
	}
	available, known := kib["MemAvailable"]
	return memory(kib["MemTotal"], available, known)
}

// nodeMemory is what libvirt reports of a host whose /proc is out of reach. It does not distinguish tmpfs and shared memory from
// what is cached of files, so they count as free.
func nodeMemory(m *libvirt.NodeMemoryStats) (totalMiB int, freeMiB *int) {
	if !m.TotalSet {
		return 0, nil
	}
	free := m.Free
	if m.BuffersSet {
		free += m.Buffers
	}
	if m.CachedSet {
		free += m.Cached
	}
	return memory(m.Total, free, m.FreeSet)
}

// memory is two figures of one reading in MiB. More free than there is cannot be true, and so is unknown.
func memory(totalKiB, freeKiB uint64, known bool) (totalMiB int, freeMiB *int) {
	if known && freeKiB <= totalKiB {
		freeMiB = new(int(freeKiB / 1024))
	}
	return int(totalKiB / 1024), freeMiB
}

// poolFreeMiB is the free space of the pool's file system. On this machine the file system itself is asked:
// libvirt's figure is as old as its last refresh, and refreshing is not for a stage that changes nothing.
func poolFreeMiB(conn *libvirt.Connect, name string, local bool) (int, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	if err != nil {
		return 0, fmt.Errorf("look up storage pool %q: %w", name, err)
	}
	defer func() { _ = pool.Free() }()
	if local {
		text, err := pool.GetXMLDesc(0)
		if err != nil {
			return 0, fmt.Errorf("read storage pool %q: %w", name, err)
		}
		var p libvirtxml.StoragePool
		var fs unix.Statfs_t
		if p.Unmarshal(text) == nil && p.Target != nil && unix.Statfs(p.Target.Path, &fs) == nil {
			return int(fs.Bavail * uint64(fs.Bsize) >> 20), nil
		}
	}
	info, err := pool.GetInfo()
	if err != nil {
		return 0, fmt.Errorf("read storage pool %q: %w", name, err)
	}
	return int(info.Available >> 20), nil
}
