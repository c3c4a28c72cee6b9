package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// longestPause bounds how long is waited after failures, where the interval is shorter.
const longestPause = time.Minute

// Poller asks queries and publishes their answers.
type Poller struct {
	publish func(*bus.Metric) error
	ask     func(context.Context, bus.Prometheus) (float64, error)
	log     zerolog.Logger

	mu      sync.Mutex
	asked   map[string]question // what Follow said last, by the query as JSON
	changed chan struct{}       // holds one thing where that differs from what Run goes by
}

// question is a query, and the groups that follow its answer.
type question struct {
	query  bus.Prometheus
	groups []string // sorted
}

// NewPoller publishes with publish, whose errors are logged.
func NewPoller(publish func(*bus.Metric) error, log zerolog.Logger) *Poller {
	return &Poller{
		publish: publish, ask: Ask, log: log.With().Str("stage", "decider").Logger(),
		asked: map[string]question{}, changed: make(chan struct{}, 1),
	}
}

// Follow says which groups' queries are to be asked from now on. It does not wait.
func (p *Poller) Follow(queries map[string]bus.Prometheus) {
	asked, err := shared(queries)
	if err != nil {
		p.log.Error().Err(err).Msg("queries of Prometheus") // they are texts and times, which JSON can say
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if equal(asked, p.asked) {
		return
	}
	p.asked = asked
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// shared are the queries, each once with its groups.
func shared(queries map[string]bus.Prometheus) (map[string]question, error) {
	asked := map[string]question{}
	for group, query := range queries {
		key, err := json.Marshal(query)
		if err != nil {
			return nil, fmt.Errorf("group %s: %w", group, err)
		}
		groups := append(asked[string(key)].groups, group)
		slices.Sort(groups)
		asked[string(key)] = question{query, groups}
	}
	return asked, nil
}

func equal(a, b map[string]question) bool {
	if len(a) != len(b) {
		return false
	}
	for key, q := range a {
		if other, found := b[key]; !found || !slices.Equal(q.groups, other.groups) {
			return false
		}
	}
	return true
}

// Run asks until ctx ends. A query that is new, or has another group, is asked at once.
func (p *Poller) Run(ctx context.Context) error {
	type running struct {
		question
		stop context.CancelFunc
	}
	now := map[string]running{}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer func() {
		for _, r := range now {
			r.stop()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.changed:
		}
		p.mu.Lock()
		asked := p.asked
		p.mu.Unlock()
		for key, r := range now {
			if q, still := asked[key]; !still || !slices.Equal(q.groups, r.groups) {
				r.stop()
				delete(now, key)
			}
		}
		for key, q := range asked {
			if _, runs := now[key]; !runs {
				of, stop := context.WithCancel(ctx)
				now[key] = running{q, stop}
				wg.Go(func() { p.poll(of, q) })
			}
		}
	}
}

// poll asks one query again and again, less often while it fails.
func (p *Poller) poll(ctx context.Context, q question) {
	failures := 0
	for {
		value, err := p.ask(ctx, q.query)
		if ctx.Err() != nil {
			return
		}
		log := func(e *zerolog.Event) *zerolog.Event {
			return e.Strs("groups", q.groups).Str("query", bus.Clip(q.query.Query, 200))
		}
		switch {
		case err != nil:
			if failures++; failures == 1 {
				log(p.log.Warn()).Err(err).Msg("a query of Prometheus says nothing: what follows it holds")
			}
		case failures > 0:
			failures = 0
			log(p.log.Info()).Msg("a query of Prometheus says a number again")
		}
		for _, group := range q.groups {
			m := bus.Metric{V: bus.Version, Group: group, Name: bus.PrometheusMetric, Value: &value}
			if err != nil {
				m.Value, m.Error = nil, err.Error()
			}
			if err := p.publish(&m); err != nil {
				log(p.log.Debug()).Err(err).Msg("the answer of a query is lost, the next one says it again")
			}
		}
		if !sleep(ctx, pause(q.query.Interval, failures)) {
			return
		}
	}
}

// pause is how long to wait until a query is asked again, after so many failures in a row.
func pause(interval time.Duration, failures int) time.Duration {
	most := max(interval, longestPause)
	for range failures {
		if interval >= most {
			break
		}
		interval *= 2
	}
	return min(interval, most)
}

// sleep reports whether it took its time.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
