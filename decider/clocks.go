package decider

import (
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// hostClock has what a host says in times of the decider's clock, where its own is off. So nothing that is decided depends on a
// host's clock: for how long a VM serves, how old it is, which of two hosts' VMs is older.
type hostClock struct {
	offset bus.ClockOffset // of the collector that speaks for it
	behind time.Duration   // what its times are moved by; 0: its clock is right enough
}

// clockSteps is by how much a host's clock has to be seen to change before its times are moved by something else: so those of a
// VM stay the same from one sample to the next.
const clockSteps = time.Second

// told is a sample that arrived now, its times by the decider's clock. Until it is known how far a new host's clock is off, which
// takes four samples, they are as they came.
func (c *hostClock) told(s bus.Sample, now time.Time) bus.Sample {
	c.offset.Observe(s.Time, now)
	if behind, known := c.offset.Skew(); known && (behind-c.behind).Abs() > clockSteps {
		c.behind = 0
		if behind.Abs() > bus.TolerableSkew {
			c.behind = behind
		}
	}
	return shifted(s, c.behind)
}

// shifted is a sample with its times moved. The one that came stays as it is.
func shifted(s bus.Sample, by time.Duration) bus.Sample {
	if by == 0 {
		return s
	}
	known := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(by)
	}
	noted := func(t *time.Time) *time.Time {
		if t == nil {
			return nil
		}
		return new(known(*t))
	}
	s.Time, s.VMs = known(s.Time), slices.Clone(s.VMs)
	for i := range s.VMs {
		vm := &s.VMs[i]
		vm.Created, vm.PhaseSince = known(vm.Created), known(vm.PhaseSince)
		vm.BootedAt, vm.RebootedAt, vm.RestartedAt = noted(vm.BootedAt), noted(vm.RebootedAt), noted(vm.RestartedAt)
	}
	return s
}

// clocksAhead are by how many seconds the hosts' clocks are ahead of the decider's, as far as that is known.
func (w *Window) clocksAhead() map[bus.HostID]float64 {
	ahead := map[bus.HostID]float64{}
	for id, h := range w.hosts {
		if behind, known := h.clock.offset.Skew(); known {
			ahead[id] = -behind.Round(time.Millisecond).Seconds()
		}
	}
	return ahead
}

// hostSkew is by how much a host's clock is off; more than 0 is behind.
type hostSkew struct {
	host string
	skew time.Duration
}

// skewed are the hosts whose clocks are off, by name.
func (w *Window) skewed() (hosts []hostSkew) {
	for _, h := range w.hosts {
		if skew, known := h.clock.offset.Skew(); known && skew.Abs() > bus.TolerableSkew {
			hosts = append(hosts, hostSkew{h.sample.Host, skew})
		}
	}
	slices.SortFunc(hosts, func(a, b hostSkew) int { return strings.Compare(a.host, b.host) })
	return hosts
}

func sideOf(behind time.Duration) string {
	if behind < 0 {
		return seconds(-behind) + " ahead"
	}
	return seconds(behind) + " behind"
}
