package decider

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	demandStep = 10 * time.Second
	demandSpan = time.Minute // of one message
)

// demand gathers what is asked of a group, for replays.
type demand struct {
	minute bus.Demand
	sums   []sums // of the steps of the minute
}

type sums struct {
	load, ready, owned float64
	loads, n           float64 // how many evaluations are in them
}

// add takes an evaluation, and returns the minute before if this one begins another, nil else.
func (m *demand) add(d bus.Decision, now time.Time) (finished *bus.Demand) {
	begin := now.UTC().Truncate(demandSpan)
	if !begin.Equal(m.minute.Time) {
		if len(m.sums) > 0 {
			done := m.finish()
			finished = &done
		}
		m.minute = bus.Demand{V: bus.Version, Group: d.Group, Time: begin, StepS: int(demandStep / time.Second)}
		m.sums = make([]sums, demandSpan/demandStep)
	}
	if !d.HasSample || d.Rule == bus.RuleNoData || d.Rule == bus.RuleBlind || d.Rule == bus.RuleMismatch {
		return finished
	}
	s := &m.sums[now.UTC().Sub(begin)/demandStep]
	serving := float64(d.Inputs.Ready + d.Inputs.Warming)
	s.n, s.ready, s.owned = s.n+1, s.ready+serving, s.owned+float64(d.Inputs.Owned)
	if avg := d.Inputs.AveragePercent; avg != nil {
		s.loads, s.load = s.loads+1, s.load+*avg/100*serving
	}
	return finished
}

func (m *demand) finish() bus.Demand {
	done := m.minute
	for _, s := range m.sums {
		var load *float64
		var ready, owned *int
		if s.n > 0 {
			ready, owned = new(int(s.ready/s.n+0.5)), new(int(s.owned/s.n+0.5))
		}
		if s.loads > 0 {
			load = new(float64(int(1000*s.load/s.loads+0.5)) / 1000)
		}
		done.Load, done.Ready, done.Owned = append(done.Load, load), append(done.Ready, ready), append(done.Owned, owned)
	}
	return done
}
