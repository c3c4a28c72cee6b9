package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Plan is what to compare.
type Plan struct {
	Traces   []Trace
	Policies []string // see Policies
	Boots    []time.Duration
	Seeds    int // runs with different noise, at least 1
	Params   Params
	AtOnce   int // runs at a time; 0: as many as there are CPUs
	// Keep is of how many seconds a point is kept, of each trace's run with the first boot time and seed; 0 is none.
	Keep int
	// Begins is called as the n-th of so many runs begins, never twice at a time; it may be nil.
	Begins func(n, of int)
}

// Result is one policy on one trace and boot time, as the mean over the seeds.
type Result struct {
	Trace   string        `json:"trace"`
	Policy  string        `json:"policy"`
	Boot    time.Duration `json:"boot_ns"`
	Metrics Metrics       `json:"metrics"`
	Points  []Point       `json:"points,omitempty"`
}

// Compare runs all policies on all traces, with as many runs at a time as the plan says. The results come in the order
// of traces, boot times and policies. It ends early with the context's cause.
func Compare(ctx context.Context, p Plan) ([]Result, error) {
	var results []Result
	for _, t := range p.Traces {
		for _, boot := range p.Boots {
			for _, name := range p.Policies {
				results = append(results, Result{Trace: t.Name, Policy: name, Boot: boot})
			}
		}
	}
	byName := map[string]Trace{}
	for _, t := range p.Traces {
		if _, again := byName[t.Name]; again {
			return nil, fmt.Errorf("trace %s: there are two of this name", t.Name)
		}
		byName[t.Name] = t
	}
	var wg sync.WaitGroup
	next := make(chan int)
	failed := make([]error, len(results))
	for range cmp.Or(p.AtOnce, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				failed[i] = p.run(ctx, byName[results[i].Trace], &results[i])
			}
		})
	}
	for i := range results {
		if ctx.Err() != nil {
			break
		}
		next <- i
		if p.Begins != nil {
			p.Begins(i+1, len(results))
		}
	}
	close(next)
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return results, errors.Join(failed...)
}

func (p Plan) run(ctx context.Context, t Trace, r *Result) error {
	var all []Metrics
	for seed := range p.Seeds {
		w := p.Params
		w.Boot, w.Seed = r.Boot, uint64(seed+1) //nolint:gosec // a small number
		perfect, err := newController("oracle", t, w)
		if err != nil {
			return err
		}
		best, _, err := Run(ctx, t, w, perfect, 0)
		if err != nil {
			return err
		}
		c, err := newController(r.Policy, t, w)
		if err != nil {
			return err
		}
		keep := 0
		if seed == 0 && r.Boot == p.Boots[0] {
			keep = p.Keep
		}
		m, points, err := Run(ctx, t, w, c, keep)
		if err != nil {
			return err
		}
		m.charge(best.VMHours)
		all = append(all, m)
		if keep > 0 {
			r.Points = points
		}
	}
	r.Metrics = Mean(all)
	return nil
}

// Mean is the mean of each figure.
func Mean(all []Metrics) Metrics {
	var mean Metrics
	for _, m := range all {
		for i, f := range mean.fields() {
			*f += *m.fields()[i] / float64(len(all))
		}
	}
	return mean
}

func (m *Metrics) fields() []*float64 {
	return []*float64{
		&m.ThetaU, &m.ThetaO, &m.TauU, &m.TauO, &m.Instability, &m.Jitter, &m.LostPercent, &m.HighPercent, &m.Actions, &m.VMHours,
		&m.PerNeed,
		&m.Cost, &m.lostHours, &m.highHours,
	}
}

// Overall is each policy's mean over all traces and boot times, in the order of the plan.
func Overall(p Plan, results []Result) []Result {
	var overall []Result
	for _, name := range p.Policies {
		var all []Metrics
		for _, r := range results {
			if r.Policy == name {
				all = append(all, r.Metrics)
			}
		}
		overall = append(overall, Result{Policy: name, Metrics: Mean(all)})
	}
	return overall
}
