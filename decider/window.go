package decider

import (
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Observation is what one evaluation of a group looks at.
type Observation struct {
	Hosts []HostObservation // by name
	// Fresh is the number of hosts with a sample since the previous evaluation, Stale the names of those whose
	// last sample is too old to act on.
	Fresh int
	Stale []string
}

// HostObservation is one host's newest list of the group's VMs.
type HostObservation struct {
	Name string
	Time time.Time // the host's clock when it took the list; VM times are by the same clock
	// VMs is the complete list. CPUPercent is the mean over the known readings since the previous evaluation,
	// each at most 100.
	VMs []bus.VM
}

// Window gathers a group's samples. It is not safe for concurrent use.
type Window struct {
	hosts map[string]*hostWindow
}

type hostWindow struct {
	sample  bus.Sample
	arrived time.Time // by the decider's own clock
	fresh   bool
	cpu     map[string]mean // by the VM's UUID
}

type mean struct {
	sum float64
	n   int
}

// reordering is how long a sample may come after a newer one. One that seems older after a longer silence is of a
// host whose clock was set back.
const reordering = 2 * time.Second

// Add takes a sample that arrived now. A duplicate, or one that is older than the host's last one, is ignored.
func (w *Window) Add(s bus.Sample, now time.Time) {
	if w.hosts == nil {
		w.hosts = map[string]*hostWindow{}
	}
	h := w.hosts[s.Host]
	if h == nil {
		h = &hostWindow{cpu: map[string]mean{}}
		w.hosts[s.Host] = h
	} else if s.Time.Equal(h.sample.Time) || s.Time.Before(h.sample.Time) && now.Sub(h.arrived) < reordering {
		return
	}
	h.sample, h.arrived, h.fresh = s, now, true
	for _, vm := range s.VMs {
		if vm.CPUPercent != nil && *vm.CPUPercent >= 0 {
			m := h.cpu[vm.UUID]
			h.cpu[vm.UUID] = mean{m.sum + min(*vm.CPUPercent, 100), m.n + 1}
		}
	}
}

// AllFresh says whether every known host has sent a sample since the previous evaluation.
func (w *Window) AllFresh() bool {
	for _, h := range w.hosts {
		if !h.fresh {
			return false
		}
	}
	return len(w.hosts) > 0
}

// Take is the observation at now; samples older than staleAfter are stale. It starts the next window.
func (w *Window) Take(now time.Time, staleAfter time.Duration) Observation {
	var o Observation
	for name, h := range w.hosts {
		if h.fresh {
			o.Fresh++
		}
		if now.Sub(h.arrived) > staleAfter {
			o.Stale = append(o.Stale, name)
		}
		ho := HostObservation{Name: name, Time: h.sample.Time, VMs: slices.Clone(h.sample.VMs)}
		for i := range ho.VMs {
			vm := &ho.VMs[i]
			vm.CPUPercent = nil
			if m := h.cpu[vm.UUID]; m.n > 0 {
				avg := m.sum / float64(m.n)
				vm.CPUPercent = &avg
			}
		}
		o.Hosts = append(o.Hosts, ho)
		h.fresh = false
		clear(h.cpu)
	}
	slices.Sort(o.Stale)
	slices.SortFunc(o.Hosts, func(a, b HostObservation) int { return strings.Compare(a.Name, b.Name) })
	return o
}
