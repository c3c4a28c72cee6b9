package policy

import (
	"fmt"
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// PredictiveInterval is the time between two readings of Predictive.
const PredictiveInterval = 5 * time.Second

const (
	hour = int(time.Hour / PredictiveInterval) // in readings
	// leastAhead is the shortest forecast: load also moves while VMs that boot at once are asked for.
	leastAhead  = 20 * time.Second
	farthest    = 240 // readings: 20 min
	shortMean   = 3   // readings: 15 s
	none        = -1. // no forecast
	fewErrors   = 20  // with fewer, the margin is a share of the load
	startMargin = 0.15
	fullUse     = 0.8 // the use of a VM that is planned for
	// poolHold is for how long, at least, fewer VMs of a warm pool must be enough until it has fewer: one that is removed takes a
	// boot to come back.
	poolHold = 5 * time.Minute
)

// Tuning is what a setting stands for.
type Tuning struct {
	Quantile float64 `json:"quantile"` // of the forecast's past errors, for the margin
	Surge    float64 `json:"surge"`    // how many times the ready VMs' capacity is asked for while they are saturated
	Gate     float64 `json:"gate"`     // quantile of the past rises of the load that VMs are kept for; 0 is none
	Horizons int     `json:"horizons"` // how many times the forecast's span those rises are looked at over
	// Hold is how long the highest recommendation holds, as a multiple of the boot time, between HoldMin and HoldMax.
	Hold    float64       `json:"hold"`
	HoldMin time.Duration `json:"hold_min"`
	HoldMax time.Duration `json:"hold_max"`
}

// tunings are the settings, from the one that loses the least to the one that costs the least.
var tunings = []struct {
	setting bus.PolicySetting
	tuning  Tuning
}{
	{
		bus.SettingSafe,
		Tuning{Quantile: .95, Surge: 4, Gate: .95, Horizons: 3, Hold: 2, HoldMin: 20 * time.Second, HoldMax: time.Minute},
	},
	{
		bus.SettingBalanced,
		Tuning{Quantile: .95, Surge: 4, Gate: .95, Horizons: 1, Hold: 2, HoldMin: 20 * time.Second, HoldMax: time.Minute},
	},
	{
		bus.SettingThrifty,
		Tuning{Quantile: .90, Surge: 3, Gate: .90, Horizons: 1, Hold: 2, HoldMin: time.Minute, HoldMax: time.Minute},
	},
}

// Settings are the names of all settings.
func Settings() []bus.PolicySetting {
	var names []bus.PolicySetting
	for _, t := range tunings {
		names = append(names, t.setting)
	}
	return names
}

// TuningOf is what a setting stands for.
func TuningOf(s bus.PolicySetting) (Tuning, error) {
	for _, t := range tunings {
		if t.setting == s {
			return t.tuning, nil
		}
	}
	return Tuning{}, fmt.Errorf("policy: found the setting %q, want one of %q", s, Settings())
}

// Predictive forecasts the load to the time when a VM that is asked for now would be ready, with a margin learned from the
// errors of its own past forecasts, and keeps VMs for as high a rise of the load as was usual lately.
type Predictive struct {
	Tuning Tuning    `json:"tuning"`
	Loads  Ring      `json:"loads"` // VMs' worth of load, one value a reading
	Slow   float64   `json:"slow"`  // the load's exponential mean over 60 s
	Span             // of a boot
	Near   *Span     `json:"near,omitempty"` // of a handover from the warm pool; nil without one
	Wants  Ring      `json:"wants"`          // the recommendations of the last minute
	Season Season    `json:"season"`
	Seen   time.Time `json:"seen"` // the newest reading
	Surge  Surge     `json:"surge"`
	Uneven Uneven    `json:"uneven"`
	Pool   Steady    `json:"pool"` // of the warm pool that is as large as the load's usual rise
}

// Span is what was learned of the load over the time that a VM takes to serve once it is asked for.
type Span struct {
	Experts []Expert  `json:"experts"` // by the order of forecasts
	Rises   Quantiles `json:"rises"`   // of the load above its level, over the time that a VM should be kept for
}

func newSpan() Span {
	s := Span{Experts: make([]Expert, 5), Rises: Quantiles{Ring: Ring{Size: hour}}}
	for i := range s.Experts {
		s.Experts[i].Made.Size, s.Experts[i].Errors.Ring.Size = farthest, hour
	}
	return s
}

// Expert is one way to forecast, with what became of its forecasts.
type Expert struct {
	Made   Ring      `json:"made"`   // forecasts of which the outcome is not known yet
	Errors Quantiles `json:"errors"` // outcome less forecast, over the last hour
	Loss   float64   `json:"loss"`   // pinball loss of forecast and margin, an exponential mean over an hour
}

// NewPredictive is without any past.
func NewPredictive(t Tuning) *Predictive {
	return &Predictive{Tuning: t, Loads: Ring{Size: hour}, Span: newSpan(), Wants: Ring{Size: 180}}
}

// Interval implements Policy.
func (p *Predictive) Interval() time.Duration { return PredictiveInterval }

// Recommend implements Policy.
func (p *Predictive) Recommend(r Reading) Recommendation {
	if r.CPUPercent == nil || r.Ready == 0 {
		return Recommendation{Desired: r.Desired, Reason: "no ready VM has a CPU reading"}
	}
	load := round(r.load())
	p.resume(r.Now)
	p.see(load)
	uneven := p.Uneven.see(r, p.Surge.Asks > AsksNothing)
	have := r.Ready + r.Coming
	boot, near := p.outlooks(r, load, uneven)
	if rise, known := p.rise(); known {
		p.Pool.see(rise, r.Now, max(poolHold, boot.over))
	}
	want, why := boot.want, boot.why(load)
	if near != nil {
		if want = withPool(boot.want, near.want, have, r.Warm); want < boot.want {
			why = near.why(load) + fmt.Sprintf(", and %d wait for what is expected later", r.Warm)
		}
	}
	if uneven >= 1.05 {
		why += fmt.Sprintf(", times %.1f as some VMs are full before the others", uneven)
	}

	if surge, says := p.Surge.want(r, p.Tuning.Surge); surge > want {
		want, why = surge, says
	}
	if p.Surge.Ended { // what was asked for then is no measure of what there is to do
		p.Surge.Ended, p.Wants = false, Ring{Size: p.Wants.Size}
	}
	p.Wants.Push(float64(want))

	if want >= have {
		return Recommendation{Desired: want, Reason: why}
	}
	if p.Surge.Asks > AsksNothing {
		return Recommendation{Desired: have, Reason: why}
	}
	keep, rise := p.keeps(boot, 0)
	if near != nil {
		keep, rise = p.keeps(boot, r.Warm)
		if k, also := p.keeps(*near, 0); k > keep {
			keep, rise = k, also
		}
	}
	if rise != "" && keep > want {
		why = rise
	}
	return Recommendation{Desired: min(have, max(want, keep)), Reason: why}
}

// withPool is how many VMs are wanted where so many of a warm pool wait, beside those that there are: what those serve for in
// time may wait until the load comes nearer, and what is beyond them has to be launched a boot ahead.
func withPool(boot, near, have, warm int) int {
	if boot <= have+warm {
		return near
	}
	return max(boot, near)
}

// outlook is what is expected at the end of a span.
type outlook struct {
	*Span
	over             time.Duration // that VMs take, leastAhead at least
	forecast, margin float64       // in VMs' worth of load
	want             int
}

func (o outlook) why(load float64) string {
	return fmt.Sprintf("load %.1f VMs, %.1f expected in %.0f s with a margin of %.1f", load, o.forecast,
		(o.over + PredictiveInterval).Seconds(), o.margin)
}

// outlooks are those at the end of a boot, and of a handover from the warm pool; nil: there is none.
func (p *Predictive) outlooks(r Reading, load, uneven float64) (boot outlook, near *outlook) {
	boot = p.look(&p.Span, max(r.Boot, leastAhead), load, uneven)
	if r.Handover == 0 {
		p.Near = nil
		return boot, nil
	}
	if p.Near == nil {
		p.Near = new(newSpan())
	}
	return boot, new(p.look(p.Near, min(max(r.Handover, leastAhead), boot.over), load, uneven))
}

// look compares what was forecast for now with what came, and forecasts anew.
func (p *Predictive) look(s *Span, over time.Duration, load, uneven float64) outlook {
	ahead := readings(over)
	p.learn(s, load, ahead)
	o := outlook{Span: s, over: over}
	o.margin, o.forecast = p.forecast(s, load, ahead)
	o.want = int(math.Ceil(max(load, o.forecast+o.margin) * uneven / fullUse))
	return o
}

// readings are how many of them a VM is asked for ahead.
func readings(over time.Duration) int {
	return min(int(math.Ceil(float64(over+PredictiveInterval)/float64(PredictiveInterval))), farthest)
}

// keeps is below how many VMs none is let go, beside so many that wait: those that were wanted while one that is missed now would
// take to come back, and those that the load's usual rise asks for, of which rise says so where it is more.
func (p *Predictive) keeps(o outlook, waiting int) (keep int, rise string) {
	t := p.Tuning
	hold := min(max(time.Duration(t.Hold*float64(o.over)), t.HoldMin), t.HoldMax)
	for i := range min(p.Wants.Len(), int(hold/PredictiveInterval)) {
		keep = max(keep, int(p.Wants.Back(i)))
	}
	if t.Gate > 0 {
		level := p.mean(shortMean)
		if gate := int(math.Ceil((level + o.Rises.At(t.Gate)) / fullUse)); gate > keep {
			keep = gate
			rise = fmt.Sprintf("load %.1f VMs, which rose by up to %.1f lately", level, o.Rises.At(t.Gate))
		}
	}
	return keep - waiting, rise
}

// Rise is how many VMs the usual rise of the load within one boot asks for, by the quantile that VMs are kept for; nil: too
// little of the load was seen yet. It is less only once less was enough for poolHold, and for a boot.
func (p *Predictive) Rise() *int {
	if p == nil {
		return nil
	}
	rise, known := p.rise()
	if !known {
		return nil
	}
	return new(max(rise, p.Pool.VMs))
}

// rise is that at this moment.
func (p *Predictive) rise() (vms int, known bool) {
	if p.Rises.Ring.Len() < fewErrors {
		return 0, false
	}
	return int(math.Ceil(max(0, p.Rises.At(p.Tuning.Gate))/fullUse - 1e-9)), true
}

// resume is for a reading that comes later than it should. After a minute the recent past says nothing of the present; what
// was learned of the load's misses, rises and periods holds.
func (p *Predictive) resume(now time.Time) {
	gap := now.Sub(p.Seen)
	p.Seen = now
	if gap < time.Minute || p.Loads.Len() == 0 {
		return
	}
	p.Season.Skip(int(min(gap, seasonSize*time.Minute)/time.Minute), round(p.Slow))
	p.Loads, p.Wants = Ring{Size: p.Loads.Size}, Ring{Size: p.Wants.Size}
	p.Surge = Surge{}
	for _, s := range []*Span{&p.Span, p.Near} {
		for i := 0; s != nil && i < len(s.Experts); i++ {
			s.Experts[i].Made = Ring{Size: s.Experts[i].Made.Size}
		}
	}
}

// see takes a load.
func (p *Predictive) see(load float64) {
	p.Loads.Push(load)
	if p.Loads.Len() == 1 {
		p.Slow = load
	}
	p.Slow += (load - p.Slow) * float64(PredictiveInterval) / float64(time.Minute)
	p.Season.Add(load)
}

// learn compares what was forecast for now with what came.
func (p *Predictive) learn(s *Span, load float64, ahead int) {
	t := &p.Tuning
	for i := range s.Experts {
		e := &s.Experts[i]
		if e.Made.Len() < ahead {
			continue
		}
		forecast := e.Made.Back(ahead - 1)
		if forecast == none {
			continue
		}
		miss := load - forecast
		over := miss - e.Errors.At(t.Quantile)
		loss := max(t.Quantile*over, (t.Quantile-1)*over)
		e.Loss += (loss - e.Loss) / float64(min(e.Errors.Ring.Len()+1, hour))
		e.Errors.Add(round(miss))
	}
	// The rise that followed a moment D ago: the peak since, less the level then.
	d := min(t.Horizons*ahead, farthest)
	if p.Loads.Len() < d+shortMean {
		return
	}
	peak := 0.
	for i := range d {
		peak = max(peak, p.Loads.Back(i))
	}
	level := 0.
	for i := range shortMean {
		level += p.Loads.Back(d+i) / shortMean
	}
	s.Rises.Add(round(peak - level))
}

// forecast is that of the expert that did best lately, and its margin.
func (p *Predictive) forecast(s *Span, load float64, ahead int) (margin, forecast float64) {
	season, known := p.Season.Forecast(ahead, p.mean(12))
	if !known {
		season = none
	}
	all := [5]float64{p.mean(shortMean), p.Slow, max(0, p.trend(12, ahead, 1)), max(0, p.trend(36, ahead, .8)), season}
	best := -1
	for i, f := range all {
		e := &s.Experts[i]
		e.Made.Push(round(f))
		if f == none || e.Errors.Ring.Len() < fewErrors {
			continue
		}
		if best < 0 || e.Loss < s.Experts[best].Loss {
			best = i
		}
	}
	if best < 0 {
		return startMargin * load, all[0]
	}
	return s.Experts[best].Errors.At(p.Tuning.Quantile), all[best]
}

// mean is that of the newest n loads.
func (p *Predictive) mean(n int) float64 {
	n = min(n, p.Loads.Len())
	sum := 0.
	for i := range n {
		sum += p.Loads.Back(i)
	}
	return sum / float64(n)
}

// trend extends the least-squares line through the newest n loads, with a share of its slope.
func (p *Predictive) trend(n, ahead int, share float64) float64 {
	n = min(n, p.Loads.Len())
	if n < 2 {
		return p.Loads.Back(0)
	}
	var sy, sxy float64
	mid := float64(n-1) / 2
	for i := range n {
		y := p.Loads.Back(i)
		sy += y
		sxy += (mid - float64(i)) * y
	}
	slope := sxy * 12 / (float64(n) * (float64(n)*float64(n) - 1))
	return sy/float64(n) + share*slope*(mid+float64(ahead))
}

// round keeps what is remembered short.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
