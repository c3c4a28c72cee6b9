package policy

import (
	"math"
	"time"
)

// Expected is what a load is expected to be in the time up to the next of a curve: its highest, in VMs.
type Expected struct {
	In     time.Duration // from the newest reading on
	Load   float64
	Margin float64 // for what was missed lately; see VMs
}

// VMs is how many VMs are planned for it.
func (e Expected) VMs() int { return int(math.Ceil(max(e.Load, e.Load+e.Margin)/fullUse - 1e-9)) }

// Curve is what the policy expects of the load over a time, in steps of whole minutes, and by which period; the memory stays as
// it is. Without a period the curve ends where what it goes by ends: at the time that a VM takes to boot, which is its one point.
func (p *Predictive) Curve(boot, over, step time.Duration) (curve []Expected, period time.Duration) {
	if p == nil || p.Loads.Len() == 0 {
		return nil, 0
	}
	season, level := p.Season, p.mean(12)
	q := p.Tuning.Quantile
	if n := len(season.Peaks); season.Period == 0 || n < season.Period+2 {
		boot = max(boot, leastAhead) + PredictiveInterval
		load := max(p.mean(shortMean), p.Slow)
		margin := startMargin * load
		if e := p.Experts[0].Errors; e.Ring.Len() >= fewErrors {
			margin = e.At(q)
		}
		return []Expected{{In: boot, Load: load, Margin: margin}}, 0
	}
	margin := startMargin * level
	if e := p.Experts[len(p.Experts)-1].Errors; e.Ring.Len() >= fewErrors {
		margin = e.At(q)
	}
	minutes := max(1, int(step/time.Minute))
	for at := 0; at < int(over/time.Minute); at += minutes {
		highest := 0.
		for m := at; m < at+minutes; m++ {
			highest = max(highest, season.phase(m, level))
		}
		curve = append(curve, Expected{In: time.Duration(at) * time.Minute, Load: round(highest), Margin: round(margin)})
	}
	return curve, time.Duration(season.Period) * time.Minute
}

// phase is the highest load of the last minute that had the phase that comes in so many minutes, moved as Forecast does.
func (s *Season) phase(ahead int, level float64) float64 {
	n := len(s.Peaks)
	at := n + ahead
	at -= (ahead/s.Period + 1) * s.Period
	return max(0, s.Peaks[at]+(level-s.Means[n-s.Period])/2)
}
