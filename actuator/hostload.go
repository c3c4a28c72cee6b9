package actuator

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// freshFor is how long a sample of this host counts as current.
const freshFor = 10 * time.Second

// load is what this host's collector has measured last, by group.
type load map[string]heardSample

type heardSample struct {
	sample bus.Sample
	at     time.Time // when it came
}

// take keeps a sample of a host. One that seems older than what does not count any more is of a clock that was set back.
func (l load) take(s bus.Sample, host bus.HostID, now time.Time) {
	last := l[s.Group]
	if s.HostID == host && (s.Time.After(last.sample.Time) || now.Sub(last.at) > freshFor) {
		l[s.Group] = heardSample{s, now}
	}
}

// cpu is the CPU use of a group's VMs in percent, by UUID. Those that are not in it are unknown.
func (l load) cpu(group string, now time.Time) map[string]float64 {
	cpu := map[string]float64{}
	if h, heard := l[group]; heard && now.Sub(h.at) <= freshFor {
		for _, vm := range h.sample.VMs {
			if vm.CPUPercent != nil {
				cpu[vm.UUID] = *vm.CPUPercent
			}
		}
	}
	return cpu
}

// host is the host's load by the newest sample of any group.
func (l load) host(now time.Time) (newest bus.Host, fresh bool) {
	var at time.Time
	for _, h := range l {
		if now.Sub(h.at) <= freshFor && h.at.After(at) {
			newest, at, fresh = h.sample.HostLoad, h.at, true
		}
	}
	return newest, fresh
}

// vm is what the collector saw last of a VM that runs.
func (l load) vm(group, uuid string, now time.Time) (seen bus.VM, runs bool) {
	h, heard := l[group]
	if !heard || now.Sub(h.at) > freshFor {
		return bus.VM{}, false
	}
	for _, v := range h.sample.VMs {
		if v.UUID == uuid && v.State != bus.StateShutoff && v.State != bus.StateCrashed {
			return v, true
		}
	}
	return bus.VM{}, false
}

// running is the VMs that this host's collector saw running last, by UUID. They are in the memory that it calls promised.
func (l load) running(now time.Time) map[string]bool {
	uuids := map[string]bool{}
	for _, h := range l {
		if now.Sub(h.at) > freshFor {
			continue
		}
		for _, vm := range h.sample.VMs {
			if vm.State != bus.StateShutoff && vm.State != bus.StateCrashed {
				uuids[vm.UUID] = true
			}
		}
	}
	return uuids
}
