package simulate

import (
	"math"
	"time"
)

// Metrics say how well a controller followed a demand. All but VMHours are the lower the better. The first five are
// those of Herbst et al. and of the SPEC RG Cloud Group for elasticity.
type Metrics struct {
	ThetaU      float64 `json:"theta_u"`      // percent of the need that was missing, mean over time
	ThetaO      float64 `json:"theta_o"`      // percent of the need that was too much, mean over time
	TauU        float64 `json:"tau_u"`        // percent of the time with too few VMs
	TauO        float64 `json:"tau_o"`        // percent of the time with too many
	Instability float64 `json:"instability"`  // percent of the time in which supply and need moved apart
	Jitter      float64 `json:"jitter"`       // supply changes less need changes, an hour
	LostPercent float64 `json:"lost_percent"` // of the demand, above what the ready VMs can do
	HighPercent float64 `json:"high_percent"` // of the demand, while the CPU was above 90 %
	Actions     float64 `json:"actions"`      // creations and removals an hour
	VMHours     float64 `json:"vm_hours"`     // of all VMs, booting or going ones included
	PerNeed     float64 `json:"per_need"`     // VM-hours for each that was needed
	// Cost is (VM-hours + 10 for each vCPU-hour lost + 1 for each above 90 % CPU) for each VM-hour of the oracle.
	Cost float64 `json:"cost"`

	lostHours, highHours float64 // vCPU-hours
}

// charge sets Cost.
func (m *Metrics) charge(oracleHours float64) {
	m.Cost = (m.VMHours + 10*m.lostHours + m.highHours) / oracleHours
}

type meter struct {
	step                    int // seconds of a trace's row
	needed                  []int
	seconds                 int
	under, over, less, more float64
	demand, lost, high, vms float64
	need                    float64
	changes                 int
	supply                  []int // at the start of each step
	supplied, was           int
}

func newMeter(t Trace, needed []int) *meter {
	return &meter{step: int(t.Step / time.Second), needed: needed, was: -1}
}

// load is that of one second, in vCPUs.
type load struct {
	demand     float64
	lost, high float64 // of it
}

func (m *meter) add(second int, l load, ready, owned int) {
	need := m.needed[second/m.step]
	if second%m.step == 0 {
		m.supply = append(m.supply, ready)
	}
	if m.was >= 0 && ready != m.was {
		m.supplied++
	}
	m.was = ready
	m.seconds++
	m.need += float64(need)
	m.vms += float64(owned)
	m.demand += l.demand
	if ready < need {
		m.under += float64(need-ready) / float64(need)
		m.less++
	}
	if ready > need {
		m.over += float64(ready-need) / float64(need)
		m.more++
	}
	m.lost += l.lost
	m.high += l.high
}

func (m *meter) metrics() Metrics {
	percent := 100 / float64(m.seconds)
	hours := float64(m.seconds) / 3600
	apart, needChanges := 0., 0.
	for i := 1; i < len(m.supply); i++ {
		need, supply := sign(m.needed[i]-m.needed[i-1]), sign(m.supply[i]-m.supply[i-1])
		if need != supply {
			apart++
		}
		if need != 0 {
			needChanges++
		}
	}
	return Metrics{
		ThetaU: percent * m.under, ThetaO: percent * m.over, TauU: percent * m.less, TauO: percent * m.more,
		Instability: 100 * apart / math.Max(1, float64(len(m.supply)-1)), Jitter: (float64(m.supplied) - needChanges) / hours,
		LostPercent: 100 * m.lost / math.Max(m.demand, 1e-9), HighPercent: 100 * m.high / math.Max(m.demand, 1e-9),
		Actions: float64(m.changes) / hours, VMHours: m.vms / 3600, PerNeed: m.vms / m.need,
		lostHours: m.lost / 3600, highHours: m.high / 3600,
	}
}

func sign(n int) int {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return 0
}
