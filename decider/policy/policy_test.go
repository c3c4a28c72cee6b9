package policy

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func read(at time.Duration, cpu float64, ready, coming, desired int) Reading {
	return Reading{
		Now: t0.Add(at), CPUPercent: &cpu, Ready: ready, Coming: coming, Desired: desired, Boot: 30 * time.Second, Min: 1, Max: 100,
	}
}

// The documentation's rounding of percentages: 12.7 becomes 12, .67 becomes 1, -.58 becomes -1, -6.67 becomes -6.
func TestStepAdjusts(t *testing.T) {
	for _, tt := range []struct {
		kind        bus.Adjustment
		n           int
		adjust      float64
		least, want int
	}{
		{bus.AdjustPercent, 100, 12.7, 0, 112},
		{bus.AdjustPercent, 1, 67, 0, 2},
		{bus.AdjustPercent, 1, -58, 0, 0},
		{bus.AdjustPercent, 100, -6.67, 0, 94},
		{bus.AdjustPercent, 4, 50, 0, 6},
		{bus.AdjustPercent, 4, 25, 2, 6},
		{bus.AdjustPercent, 4, 0, 2, 4},
		{bus.AdjustPercent, 10, -10, 3, 7},
		{bus.AdjustChange, 10, 3, 0, 13},
		{bus.AdjustChange, 10, -2, 0, 8},
		{bus.AdjustExact, 10, 4, 0, 4},
	} {
		s := Step{Adjustment: tt.kind, MinMagnitude: tt.least}
		if got := s.adjust(tt.n, &bus.Band{Adjust: tt.adjust}); got != tt.want {
			t.Errorf("%s of %g on %d, at least %d: %d, want %d", tt.kind, tt.adjust, tt.n, tt.least, got, tt.want)
		}
	}
}

// The documentation's example: 10 VMs, alarm at 50 %, 10 % more from 60 on and 30 % from 70 on. At 60 one comes; at 70
// while that one warms up two more, as three are wanted and one is on its way.
func TestStepCountsWhatWarmsUp(t *testing.T) {
	s := &Step{
		Upper: 50, Lower: 50, Adjustment: bus.AdjustPercent, Period: time.Minute, PeriodsOut: 1, PeriodsIn: 1, Warmup: 3 * time.Minute,
		Out: []bus.Band{
			{From: 10, Adjust: 10},
			{From: 20, Adjust: 30},
		}, In: []bus.Band{{From: 10, Adjust: -10}, {From: 20, Adjust: -30}},
	}
	desired := 10
	for _, tt := range []struct {
		at   time.Duration
		cpu  float64
		want int
	}{
		{0, 59, 10},
		{time.Minute, 60, 11},
		{2 * time.Minute, 70, 13},
		{3 * time.Minute, 75, 13},
		{4 * time.Minute, 20, 13}, // not in while VMs warm up
		{10 * time.Minute, 41, 13},
		{11 * time.Minute, 40, 12},
		{12 * time.Minute, 30, 9},
	} {
		desired = s.Recommend(read(tt.at, tt.cpu, desired, 0, desired)).Desired
		if desired != tt.want {
			t.Fatalf("after %s at %g %%: %d, want %d", tt.at, tt.cpu, desired, tt.want)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		name             string
		cpu              float64
		readings, ready  int
		desired, at, out int // it wants out from reading number at on
	}{
		{"out at the third", 90, 5, 4, 4, 3, 6},
		{"in at the fifteenth", 20, 16, 6, 6, 15, 2},
		{"within 10 % below", 55, 30, 6, 6, 31, 0},
		{"what comes is enough", 90, 5, 4, 6, 6, 0},
	} {
		target := &Target{Value: 60, Period: time.Minute, PeriodsOut: 3, PeriodsIn: 15, Warmup: 5 * time.Minute}
		for i := 1; i <= tt.readings; i++ {
			got := target.Recommend(read(time.Duration(i)*time.Minute, tt.cpu, tt.ready, 0, tt.desired)).Desired
			want := tt.desired
			if i >= tt.at {
				want = tt.out
			}
			if got != want {
				t.Errorf("%s: reading %d wants %d, want %d", tt.name, i, got, want)
			}
		}
	}
	target := &Target{Value: 60, Period: time.Minute, PeriodsOut: 1, PeriodsIn: 1, Warmup: 5 * time.Minute}
	for i, tt := range []struct {
		at      time.Duration
		cpu     float64
		desired int
		want    int
	}{{0, 90, 2, 3}, {time.Minute, 10, 3, 3}, {4 * time.Minute, 10, 3, 3}, {5 * time.Minute, 10, 3, 1}} {
		if got := target.Recommend(read(tt.at, tt.cpu, 2, 0, tt.desired)).Desired; got != tt.want {
			t.Errorf("reading %d: %d, want %d", i, got, tt.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &Quantiles{Ring: Ring{Size: rapid.IntRange(1, 20).Draw(t, "size")}}
		var all []float64
		for range rapid.IntRange(1, 60).Draw(t, "values") {
			v := float64(rapid.IntRange(-5, 5).Draw(t, "value"))
			q.Add(v)
			all = append(all, v)
			if rapid.IntRange(0, 5).Draw(t, "kept") == 0 {
				kept := &Quantiles{}
				remember(t, q, kept)
				q = kept
			}
			last := slices.Clone(all[max(0, len(all)-q.Ring.Size):])
			if newest := q.Ring.Back(0); newest != v || q.Ring.Back(q.Ring.Len()-1) != last[0] {
				t.Fatalf("newest %g, oldest %g of %v", newest, q.Ring.Back(q.Ring.Len()-1), last)
			}
			slices.Sort(last)
			p := rapid.Float64Range(0, 1).Draw(t, "p")
			if got, want := q.At(p), last[min(int(p*float64(len(last))), len(last)-1)]; got != want {
				t.Fatalf("the %g quantile of %v is %g, want %g", p, last, got, want)
			}
		}
	})
}

type fataler interface{ Fatal(args ...any) }

// remember makes another of what it is as JSON.
func remember[T any](t fataler, from, to *T) {
	data, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}

func TestSeason(t *testing.T) {
	const hours = 8
	truth := func(shape string, i int) float64 { // i in readings
		at := float64(i) / float64(60*minute) // hours
		switch {
		case shape == "wave":
			return 5 + 3*math.Sin(2*math.Pi*at)
		case shape == "spikes" && math.Mod(at, 1) < .1:
			return 10
		case shape == "spikes":
			return 2
		}
		return 5
	}
	for _, tt := range []struct {
		shape string
		noise float64 // its standard deviation
		want  int     // minutes
	}{{"wave", .2, 60}, {"spikes", .1, 60}, {"noise", 1, 0}, {"constant", 0, 0}} {
		var s Season
		random := rand.New(rand.NewPCG(1, 1))
		for i := range hours * 60 * minute {
			s.Add(truth(tt.shape, i) + tt.noise*random.NormFloat64())
		}
		if off := s.Period - tt.want; off < -1 || off > 1 {
			t.Errorf("%s: period %d min, want %d", tt.shape, s.Period, tt.want)
		}
		const now = hours * 60 * minute
		forecast, known := s.Forecast(minute/2, truth(tt.shape, now))
		if known != (tt.want > 0) {
			t.Errorf("%s: known %t", tt.shape, known)
		}
		if came := truth(tt.shape, now+minute/2); tt.shape == "wave" && math.Abs(forecast-came) > 1 {
			t.Errorf("%s: forecast %g, came %g", tt.shape, forecast, came)
		}
	}
	var s Season
	for range (seasonSize + 1) * minute {
		s.Add(1)
	}
	if len(s.Peaks) != seasonSize || len(s.Means) != seasonSize {
		t.Errorf("%d peaks and %d means are kept", len(s.Peaks), len(s.Means))
	}
}

// follower lets a policy have what it wants, with a boot time.
type follower struct {
	policy Policy
	at     time.Duration
	ready  int
	boots  []time.Duration // when those that boot are ready
}

func (f *follower) step(load float64) Recommendation {
	f.at += f.policy.Interval()
	for len(f.boots) > 0 && f.boots[0] <= f.at {
		f.boots, f.ready = f.boots[1:], f.ready+1
	}
	r := read(f.at, math.Min(100, 100*load/float64(f.ready)), f.ready, len(f.boots), f.ready+len(f.boots))
	if alarmer, ok := f.policy.(Alarmer); ok {
		alarmer.Alarm(r)
	}
	w := f.policy.Recommend(r)
	for f.ready+len(f.boots) < w.Desired {
		f.boots = append(f.boots, f.at+30*time.Second)
	}
	for f.ready+len(f.boots) > max(1, w.Desired) {
		if n := len(f.boots); n > 0 {
			f.boots = f.boots[:n-1]
		} else {
			f.ready--
		}
	}
	return w
}

func TestPredictive(t *testing.T) {
	begin := func() *follower { return &follower{policy: NewPredictive(tuning(bus.SettingBalanced)), ready: 5} }
	t.Run("a steady load keeps what carries it", func(t *testing.T) {
		f := begin()
		for i := range 2000 {
			if w := f.step(3.9); i > 100 && w.Desired != 5 {
				t.Fatalf("reading %d wants %d: %s", i, w.Desired, w.Reason)
			}
		}
	})
	t.Run("a ramp never saturates", func(t *testing.T) {
		f := begin()
		for i := range 1500 {
			load := 3 + .02*float64(i)
			f.step(load)
			if i > 100 && load > float64(f.ready) {
				t.Fatalf("reading %d: load %g, %d ready", i, load, f.ready)
			}
		}
	})
	t.Run("a surge does not wait for the next reading, and is of the ready VMs", func(t *testing.T) {
		f := begin()
		for range 100 {
			f.step(3.9)
		}
		p := f.policy.(*Predictive)
		second := func(cpu float64) (desired int) {
			f.at += time.Second
			w, now := p.Alarm(read(f.at, cpu, 5, 0, 5))
			if !now {
				return 0
			}
			return w.Desired
		}
		first, all := int(math.Ceil(5*1.5/.8)), int(math.Ceil(5*4/.8))
		for i, want := range []int{0, first, all, 0, 0} { // the last two say nothing new
			if got := second(98); got != want {
				t.Errorf("second %d asks for %d, want %d", i+1, got, want)
			}
		}
		if w := p.Recommend(read(f.at, 98, 5, 20, 25)); w.Desired != all {
			t.Errorf("while they boot it wants %d, before %d", w.Desired, all)
		}
		second(94) // a noisy one ends nothing
		if w := p.Recommend(read(f.at, 94, 5, 20, 25)); w.Desired != all {
			t.Errorf("after a noisy reading it wants %d", w.Desired)
		}
		second(60)
		second(60)
		if w := p.Recommend(read(f.at, 60, 5, 20, 25)); w.Desired >= all {
			t.Errorf("when it is over it wants %d", w.Desired)
		}
	})
	t.Run("a peak is kept for a while", func(t *testing.T) {
		f := begin()
		for range 100 {
			f.step(3.9)
		}
		f.step(4.6)
		high := f.step(4.6).Desired
		if now := f.step(1).Desired; now != high {
			t.Errorf("%d s after %d it wants %d", PredictiveInterval/time.Second, high, now)
		}
		for range 200 {
			f.step(1)
		}
		if f.ready >= high {
			t.Errorf("it never goes: %d", f.ready)
		}
	})
	t.Run("an unknown CPU is no opinion", func(t *testing.T) {
		r := read(0, 0, 3, 0, 4)
		r.CPUPercent = nil
		if w := NewPredictive(tuning(bus.SettingSafe)).Recommend(r); w.Desired != 4 {
			t.Errorf("wants %d", w.Desired)
		}
	})
}

// VMs that are full while the average is low need more beside them; without any that fades.
func TestUneven(t *testing.T) {
	p := NewPredictive(tuning(bus.SettingBalanced))
	at := time.Duration(0)
	step := func(cpu, full float64) Recommendation {
		at += PredictiveInterval
		r := read(at, cpu, 10, 0, 10)
		r.Full = full
		p.Alarm(r)
		return p.Recommend(r)
	}
	var even, uneven Recommendation
	for range 100 {
		even = step(60, 0)
	}
	for range 40 {
		uneven = step(60, .2)
	}
	if even.Desired > 9 || uneven.Desired <= 10 || !strings.Contains(uneven.Reason, "some VMs are full before the others") {
		t.Errorf("even %+v, uneven %+v", even, uneven)
	}
	for range 1500 {
		even = step(60, 0)
	}
	if even.Desired > 9 {
		t.Errorf("two hours later %+v", even)
	}
	for range 40 {
		step(88, .2) // a busy group: noise takes some of its VMs' readings to the top
	}
	if p.Uneven.Factor > 1.01 {
		t.Errorf("a busy group is uneven: %g", p.Uneven.Factor)
	}
}

// Whatever it is shown: it wants no VMs below 0, can be kept as JSON at any moment, goes on from there as it would have,
// and does not grow.
func TestPredictiveWithAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		setting := rapid.SampledFrom(Settings()).Draw(t, "setting")
		a, b := NewPredictive(tuning(setting)), NewPredictive(tuning(setting))
		seed := rapid.Uint64().Draw(t, "seed")
		random := rand.New(rand.NewPCG(seed, 1))
		keeps, pool := rapid.IntRange(50, 400).Draw(t, "keeps"), rapid.Bool().Draw(t, "warm pool")
		for i := range rapid.IntRange(1, 1200).Draw(t, "readings") {
			r := read(time.Duration(i)*5*time.Second, 100*random.Float64(), random.IntN(30), random.IntN(5), random.IntN(30))
			r.Boot, r.Full = time.Duration(random.IntN(3000))*time.Second, random.Float64()
			if pool {
				r.Handover, r.Warm = time.Duration(random.IntN(60))*time.Second, random.IntN(5) // 0: for a while there is none
			}
			if random.IntN(10) == 0 {
				r.CPUPercent = nil
			}
			aa, nowA := a.Alarm(r)
			if ab, nowB := b.Alarm(r); aa != ab || nowA != nowB || aa.Desired < 0 {
				t.Fatalf("reading %d: alarmed by %+v, and with its memory kept by %+v", i, aa, ab)
			}
			wa, wb := a.Recommend(r), b.Recommend(r)
			if wa != wb || wa.Desired < 0 {
				t.Fatalf("reading %d: %+v, and with its memory kept %+v", i, wa, wb)
			}
			if i%keeps == 0 {
				kept := &Predictive{}
				remember(t, b, kept)
				b = kept
			}
		}
		for _, e := range slices.Concat(a.Experts, a.near().Experts) {
			if e.Made.Len() > farthest || e.Errors.Ring.Len() > hour {
				t.Fatalf("%d forecasts and %d errors", e.Made.Len(), e.Errors.Ring.Len())
			}
		}
	})
}

// near is what is learned for handovers; nothing without a pool.
func (p *Predictive) near() Span {
	if p.Near == nil {
		return Span{}
	}
	return *p.Near
}

func BenchmarkPredictive(b *testing.B) {
	p := NewPredictive(tuning(bus.SettingBalanced))
	random := rand.New(rand.NewPCG(1, 1))
	at := time.Duration(0)
	wish := func() {
		at += PredictiveInterval
		p.Recommend(read(at, 50+10*random.NormFloat64(), 10, 0, 10))
	}
	for range 24 * hour {
		wish()
	}
	data, err := json.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		wish()
	}
	b.ReportMetric(float64(len(data)), "bytes/memory")
}

// After an outage a period goes on at its true phase, and the minutes before it are not taken for those just now.
func TestPredictiveAfterAnOutage(t *testing.T) {
	p := NewPredictive(tuning(bus.SettingBalanced))
	at := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	begin := at
	load := func() float64 { // an hour: ten minutes of 8 VMs, else 1
		if at.Sub(begin)%time.Hour < 10*time.Minute {
			return 8
		}
		return 1
	}
	read := func() {
		cpu := 100 * load() / 20
		p.Recommend(Reading{Now: at, CPUPercent: &cpu, Ready: 20, Boot: 30 * time.Second, Desired: 20, Min: 1, Max: 20})
		at = at.Add(PredictiveInterval)
	}
	for at.Sub(begin) < 12*time.Hour {
		read()
	}
	if p.Season.Period < 58 || p.Season.Period > 62 {
		t.Fatalf("period %d min", p.Season.Period)
	}
	at = at.Add(2*time.Hour + 35*time.Minute)
	before := p.Loads.Len()
	for range 12 * 3 {
		read()
	}
	if n := p.Loads.Len(); n != 12*3 || before <= n {
		t.Errorf("%d readings of the recent past after the outage, %d before", n, before)
	}
	if n, want := len(p.Season.Peaks), int(at.Sub(begin)/time.Minute); n < want-2 || n > want+1 {
		t.Errorf("%d minutes of the past, want %d", n, want)
	}
	for at.Sub(begin) < 15*time.Hour+58*time.Minute { // one period after the first peak that was seen again
		read()
	}
	if peak, known := p.Season.Forecast(int(3*time.Minute/PredictiveInterval), 1); !known || peak < 5 {
		t.Errorf("3 minutes ahead it expects %.1f (%v), the peak of 8 is due in 2", peak, known)
	}
}

// tuning is of a setting that is known.
func tuning(s bus.PolicySetting) Tuning {
	t, err := TuningOf(s)
	if err != nil {
		panic(err)
	}
	return t
}

// A target that wants nothing else yet says what must happen for that, and for how long.
func TestTargetSaysWhatItWaitsFor(t *testing.T) {
	for _, tt := range []struct {
		cpu                      float64
		readings, ready, desired int
		warmup                   time.Duration
		want                     string // how the last sentence ends
	}{
		{90, 1, 4, 4, 0, "target 60 %; wants 6 after 2 more periods of 1m0s above it"},
		{90, 2, 4, 4, 0, "; wants 6 after 1 more period of 1m0s above it"},
		{90, 2, 4, 6, 0, "target 60 %"}, // what comes is enough
		{20, 14, 6, 6, 0, "; wants 2 after 1 more period of 1m0s below 90 % of it"},
		{55, 3, 12, 12, 0, "; wants 11 only below 90 % of it"},
		{60, 3, 6, 6, 0, "target 60 %"},
		{20, 16, 6, 6, time.Hour, "; wants 2 in 44m0s, once what was made last is warm"},
		{99, 2, 10, 10, 0, "target 60 %"}, // max
	} {
		target := &Target{Value: 60, Period: time.Minute, PeriodsOut: 3, PeriodsIn: 15}
		got := Recommendation{}
		for i := 1; i <= tt.readings; i++ {
			r := read(time.Duration(i)*time.Minute, tt.cpu, tt.ready, 0, tt.desired)
			if i == 1 && tt.warmup > 0 {
				target.Until = r.Now.Add(-time.Minute).Add(tt.warmup)
			}
			r.Max = map[bool]int{true: 10, false: 20}[tt.desired == 10]
			got = target.Recommend(r)
		}
		if !strings.HasSuffix(got.Reason, tt.want) {
			t.Errorf("%+v: %q, want it to end in %q", tt, got.Reason, tt.want)
		}
	}
}

// What each policy goes by, and a group with some of them.
func TestBounds(t *testing.T) {
	bounds := map[bus.PolicyType]Bound{
		bus.PolicyThreshold: BoundThresholds, bus.PolicyStep: BoundThresholds, bus.PolicyTarget: BoundTarget,
		bus.PolicyPredictive: BoundNone, "no-such-policy": BoundNone,
	}
	for _, kind := range append(Kinds(), "no-such-policy") {
		if want, is := bounds[kind]; !is || BoundOf(kind) != want {
			t.Errorf("%s: %d, want %d (%v)", kind, BoundOf(kind), want, is)
		}
	}
	for _, tt := range []struct {
		signal              bus.Signal
		types               []bus.PolicyType
		targets, thresholds bool
	}{
		{bus.SignalCPU, []bus.PolicyType{bus.PolicyTarget}, true, false},
		{bus.SignalMemory, []bus.PolicyType{bus.PolicyTarget}, false, false},
		{bus.SignalCPU, []bus.PolicyType{bus.PolicyStep, bus.PolicyTarget}, true, true},
		{bus.SignalCPU, []bus.PolicyType{bus.PolicyPredictive, bus.PolicyThreshold}, false, true},
		{bus.SignalCPU, []bus.PolicyType{bus.PolicyPredictive}, false, false},
	} {
		p := bus.Policy{Types: tt.types, Signal: tt.signal}
		if TargetsCPU(p) != tt.targets || HasThresholds(p) != tt.thresholds {
			t.Errorf("%v of %s: %v, %v", tt.types, tt.signal, TargetsCPU(p), HasThresholds(p))
		}
	}
}
