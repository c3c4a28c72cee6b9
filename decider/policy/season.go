package policy

import (
	"math"
	"time"
)

const (
	minute       = int(time.Minute / PredictiveInterval) // in readings
	seasonDays   = 3
	seasonSize   = seasonDays * 24 * 60 // minutes
	seasonLook   = 10                   // minutes between two searches for a period
	seasonCoarse = 5                    // minutes: the resolution of the first search
	seasonFrom   = 0.5                  // the autocorrelation from which on a period counts
)

// Season finds the period of a load, if it has one, of 15 min to a day and a half.
type Season struct {
	Peaks  []float64 `json:"peaks"` // the highest load of each of the last minutes, the newest last
	Means  []float64 `json:"means"`
	Peak   float64   `json:"peak"` // of the minute that has begun
	Sum    float64   `json:"sum"`
	Count  int       `json:"count"`  // its readings
	Looked int       `json:"looked"` // minutes since the last search
	Period int       `json:"period"` // minutes; 0 is none
}

// Add takes the next load.
func (s *Season) Add(load float64) {
	s.Peak, s.Sum, s.Count = max(s.Peak, load), s.Sum+load, s.Count+1
	if s.Count < minute {
		return
	}
	if len(s.Peaks) == seasonSize {
		s.Peaks = append(s.Peaks[:0], s.Peaks[1:]...)
		s.Means = append(s.Means[:0], s.Means[1:]...)
	}
	s.Peaks, s.Means = append(s.Peaks, s.Peak), append(s.Means, round(s.Sum/float64(s.Count)))
	s.Peak, s.Sum, s.Count = 0, 0, 0
	if s.Looked++; s.Looked >= seasonLook {
		s.Looked = 0
		s.Period = period(s.Means)
	}
}

// Skip takes minutes of which nothing is known for such of that level, so that what follows has its true phase.
func (s *Season) Skip(minutes int, level float64) {
	for range min(minutes, seasonSize) {
		s.Peaks, s.Means = append(s.Peaks, level), append(s.Means, level)
	}
	if over := len(s.Peaks) - seasonSize; over > 0 {
		s.Peaks, s.Means = append([]float64{}, s.Peaks[over:]...), append([]float64{}, s.Means[over:]...)
	}
}

// Forecast is the highest load about one period ago at the phase that comes in ahead readings, moved by half of what the
// level has changed since then. It is not known without a period.
func (s *Season) Forecast(ahead int, level float64) (float64, bool) {
	n := len(s.Peaks)
	if s.Period == 0 || n < s.Period+2 {
		return 0, false
	}
	at := float64(s.Count+ahead)/float64(minute) + float64(n) - float64(s.Period) // in minutes since the first
	peak := 0.
	for _, i := range []float64{at - .5, at + .5} {
		if k := int(i); k >= 0 && k < n {
			peak = max(peak, s.Peaks[k])
		}
	}
	then := s.Means[n-s.Period]
	return max(0, peak+(level-then)/2), true
}

// period is the lag of the highest autocorrelation beyond the first dip, 0 if that is too low.
func period(minutes []float64) int {
	coarse := make([]float64, len(minutes)/seasonCoarse)
	for i := range coarse {
		for j := range seasonCoarse {
			coarse[i] += minutes[i*seasonCoarse+j]
		}
	}
	best, at, dipped := seasonFrom, 0, false
	for lag := 1; lag <= len(coarse)/2; lag++ {
		r := autocorrelation(coarse, lag)
		if r < seasonFrom/2 {
			dipped = true
		}
		if dipped && lag*seasonCoarse >= 15 && r > best+.02 { // a multiple of a period is hardly better
			best, at = r, lag
		}
	}
	if at == 0 {
		return 0
	}
	best, fine := -1., 0
	for lag := at*seasonCoarse - seasonCoarse; lag <= at*seasonCoarse+seasonCoarse; lag++ {
		if r := autocorrelation(minutes, lag); r > best && lag <= len(minutes)/2+seasonCoarse {
			best, fine = r, lag
		}
	}
	return fine
}

// autocorrelation is that of a series with itself lag earlier, -1 to 1.
func autocorrelation(x []float64, lag int) float64 {
	n := len(x) - lag
	if n < 2 {
		return 0
	}
	var sa, sb, saa, sbb, sab float64
	for i := range n {
		a, b := x[i], x[i+lag]
		sa, sb, saa, sbb, sab = sa+a, sb+b, saa+a*a, sbb+b*b, sab+a*b
	}
	m := float64(n)
	va, vb := saa-sa*sa/m, sbb-sb*sb/m
	if va <= 1e-9 || vb <= 1e-9 {
		return 0
	}
	return (sab - sa*sb/m) / math.Sqrt(va*vb)
}
