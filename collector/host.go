package collector

import (
	"fmt"
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
	name string // "" while it has not been read
	host bus.Host
}

// readSize reads a host's name, cores and memory.
func readSize(conn *libvirt.Connect) (hostSize, error) {
	name, err := conn.GetHostname()
	if err != nil {
		return hostSize{}, fmt.Errorf("read the host's name: %w", err)
	}
	info, err := conn.GetNodeInfo()
	if err != nil {
		return hostSize{}, fmt.Errorf("read the host's size: %w", err)
	}
	return hostSize{name, bus.Host{Cores: int(info.Cpus), MemoryMiB: int(info.Memory / 1024)}}, nil
}

// readHost adds to a host's size what libvirt knows of its load without asking any VM. What a driver does not
// support stays unknown.
func readHost(conn *libvirt.Connect, size hostSize) (bus.Host, hostCounter) {
	h := size.host
	var c hostCounter
	if m, err := conn.GetMemoryStats(libvirt.NODE_MEMORY_STATS_ALL_CELLS, 0); err == nil && m.FreeSet {
		free := m.Free
		if m.BuffersSet {
			free += m.Buffers
		}
		if m.CachedSet {
			free += m.Cached
		}
		mib := int(free / 1024)
		h.MemoryFreeMiB = &mib
	}
	if s, err := conn.GetCPUStats(int(libvirt.NODE_CPU_STATS_ALL_CPUS), 0); err == nil && s.IdleSet {
		c.busy = time.Duration(s.Kernel + s.User)
		c.total = c.busy + time.Duration(s.Idle+s.Iowait)
	}
	return h, c
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
