package decider

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Observation is what one evaluation of a group looks at.
type Observation struct {
	Hosts []HostObservation // by name
	// Fresh is the number of hosts with a sample since the previous evaluation, Stale the names of those whose
	// last sample is too old to act on, Mismatched of those whose collector has another spec of the group.
	Fresh      int
	Stale      []string
	Mismatched []string
	Metric     *Published // what was published last of the policy's metric; nil is nothing
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
	SpecHash string // of the group; samples of another one are mismatched
	hosts    map[string]*hostWindow
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

// errOld is why a sample is not used.
var errOld = errors.New("it repeats or precedes the host's last sample")

// Add takes a sample that arrived now. A duplicate, or one that is older than the host's last one, is an error and
// changes nothing.
func (w *Window) Add(s bus.Sample, now time.Time) error {
	if w.hosts == nil {
		w.hosts = map[string]*hostWindow{}
	}
	h := w.hosts[s.Host]
	if h == nil {
		h = &hostWindow{cpu: map[string]mean{}}
		w.hosts[s.Host] = h
	} else if s.Time.Equal(h.sample.Time) || s.Time.Before(h.sample.Time) && now.Sub(h.arrived) < reordering {
		return errOld
	}
	h.sample, h.arrived, h.fresh = s, now, true
	for _, vm := range s.VMs {
		if vm.CPUPercent != nil && *vm.CPUPercent >= 0 {
			m := h.cpu[vm.UUID]
			h.cpu[vm.UUID] = mean{m.sum + min(*vm.CPUPercent, 100), m.n + 1}
		}
	}
	return nil
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
		if h.sample.SpecHash != w.SpecHash {
			o.Mismatched = append(o.Mismatched, name)
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
	slices.Sort(o.Mismatched)
	slices.SortFunc(o.Hosts, func(a, b HostObservation) int { return strings.Compare(a.Name, b.Name) })
	return o
}

// Samples are the newest of each host, by its name.
func (w *Window) Samples() []bus.Sample {
	samples := []bus.Sample{}
	for _, h := range w.hosts {
		samples = append(samples, h.sample)
	}
	slices.SortFunc(samples, func(a, b bus.Sample) int { return strings.Compare(a.Host, b.Host) })
	return samples
}
