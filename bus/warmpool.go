package bus

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// WarmState is how the VMs of a warm pool wait.
type WarmState string

// The ways to wait.
const (
	WarmPaused  WarmState = ""        // suspended, with all their memory: milliseconds from service
	WarmSaved   WarmState = "saved"   // their memory is in a file, from which they go on: the time to read it from service
	WarmStopped WarmState = "stopped" // shut down after their first boot: another boot from service, and they take disks alone
)

// TakesMemory reports whether VMs that wait so take memory of their host; the others take it when they are handed over.
func (s WarmState) TakesMemory() bool { return s == WarmPaused }

// WarmPool is a group's VMs that have booted ahead and wait, so that scaling out takes one of them in place of a launch. The
// words are those of AWS's warm pools.
type WarmPool struct {
	Size  WarmSize  `json:"size,omitzero"`
	State WarmState `json:"state,omitempty"`
	// Stopped is how many more VMs wait shut down, beside those of Size, which wait as State says; none where that is
	// WarmStopped.
	Stopped WarmSize `json:"stopped,omitzero"`
	// Min and Max bound a Size that is forecast, in VMs; Max 0 is nothing.
	Min int `json:"min,omitempty"`
	Max int `json:"max,omitempty"`
	// MaxAge is from which age on a VM that waits is replaced; 0 is none.
	MaxAge time.Duration `json:"max_age,omitempty"`
	Reuse  bool          `json:"reuse,omitempty"` // VMs that are scaled in return to the pool, where it has room
}

// On reports whether there is a pool.
func (p WarmPool) On() bool { return p.Size != WarmSize{} || p.TwoKinds() }

// TwoKinds reports whether some of its VMs wait as State says and others shut down.
func (p WarmPool) TwoKinds() bool { return p.Stopped != WarmSize{} }

// StateOf is how a VM of the pool waits, or is to wait.
func (p WarmPool) StateOf(m Metadata) WarmState {
	if m.Stops {
		return WarmStopped
	}
	return p.State
}

// Sized is the pool with a size that is forecast as the number that was: as many VMs as the load's usual rise within one boot
// asks for, from Min to Max, nil where that is not known. Any other size stays.
func (p WarmPool) Sized(forecast *int) WarmPool {
	if !p.Size.Forecast {
		return p
	}
	p.Size = WarmSize{VMs: p.Min}
	if forecast != nil {
		p.Size.VMs = max(p.Min, *forecast)
	}
	if p.Max > 0 {
		p.Size.VMs = min(p.Size.VMs, p.Max)
	}
	return p
}

// Wants is how many VMs the pool has while desired serve and the group may have most in all, from 0; taken is how many of most
// others have that do not serve.
func (p WarmPool) Wants(desired, most, taken int) int {
	left := max(0, most-desired-taken)
	return min(left, p.Size.of(desired, left)+p.Stopped.of(desired, left))
}

// Pauses is how many of all VMs that a pool of two kinds has wait as State says: those come first.
func (p WarmPool) Pauses(all, desired int) int { return min(all, p.Size.of(desired, all)) }

// of is how many VMs a size is while desired serve and max leaves so many more.
func (s WarmSize) of(desired, left int) int {
	switch {
	case s.Rest:
		return left
	case s.Percent > 0:
		return (desired*s.Percent + 99) / 100
	}
	return s.VMs
}

// WarmSize is how many VMs a warm pool is to have; at most one of its fields is set, and without any there is no pool.
type WarmSize struct {
	VMs     int  `json:"vms,omitempty"`
	Percent int  `json:"percent,omitempty"` // of desired, rounded up
	Rest    bool `json:"rest,omitempty"`    // all that max leaves beside desired
	// Forecast is as many as the policy predictive expects the load to rise by within one boot; see WarmPool.Sized, without which
	// it is none.
	Forecast bool `json:"forecast,omitempty"`
}

// The words for a size of all that max leaves, and for one that is forecast.
const (
	WarmRest     = "max-minus-desired"
	WarmForecast = "forecast"
)

const (
	mostWarm        = 1000
	mostWarmPercent = 1000
)

// WantWarmSize is what a size may be, in words.
var WantWarmSize = fmt.Sprintf("a whole number of VMs from 0 to %d, a percentage of desired such as 50%%, up to %d%%, %s, or %s",
	mostWarm, mostWarmPercent, WarmRest, WarmForecast)

var warmSize = regexp.MustCompile(`^[0-9]{1,4}%?$`)

// ParseWarmSize reads a size as a config has it.
func ParseWarmSize(s string) (WarmSize, error) {
	refused := fmt.Errorf("found %q, want %s", Clip(s, 40), WantWarmSize)
	switch s {
	case WarmRest:
		return WarmSize{Rest: true}, nil
	case WarmForecast:
		return WarmSize{Forecast: true}, nil
	}
	if !warmSize.MatchString(s) {
		return WarmSize{}, refused
	}
	if digits := s[:len(s)-1]; s[len(s)-1] == '%' {
		n, err := strconv.Atoi(digits)
		if err != nil || n > mostWarmPercent {
			return WarmSize{}, refused
		}
		return WarmSize{Percent: n}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n > mostWarm {
		return WarmSize{}, refused
	}
	return WarmSize{VMs: n}, nil
}

func (s WarmSize) String() string {
	switch {
	case s.Rest:
		return WarmRest
	case s.Forecast:
		return WarmForecast
	case s.Percent > 0:
		return fmt.Sprintf("%d%%", s.Percent)
	}
	return strconv.Itoa(s.VMs)
}
