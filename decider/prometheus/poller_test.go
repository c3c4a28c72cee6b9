package prometheus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// polled is a poller whose server is scripted, with what it asked and published, and when.
type polled struct {
	*Poller
	start     time.Time
	mu        sync.Mutex // guards what follows
	fails     bool
	asked     []string
	published []string
}

func runPoller(t *testing.T) *polled {
	t.Helper()
	p := &polled{start: time.Now()}
	at := func() string { return time.Since(p.start).String() }
	p.Poller = NewPoller(func(m *bus.Metric) error {
		text := "?" + m.Error
		if m.Value != nil {
			text = fmt.Sprint(*m.Value)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.published = append(p.published, at()+" "+m.Group+" "+text)
		return nil
	}, zerolog.Nop())
	p.ask = func(_ context.Context, q bus.Prometheus) (float64, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, at()+" "+q.Query)
		if p.fails {
			return 0, errors.New("no")
		}
		return 5, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *polled) fail(is bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = is
}

// after lets time pass, and is what happened in it.
func (p *polled) after(d time.Duration) (asked, published []string) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, published = p.asked, p.published
	p.asked, p.published = nil, nil
	slices.Sort(published)
	return asked, published
}

func wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestPollerSharesAQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := runPoller(t)
		q := bus.Prometheus{Query: "a", Interval: 15 * time.Second}
		p.Follow(map[string]bus.Prometheus{"web": q, "api": q})
		asked, published := p.after(20 * time.Second)
		wants(t, "asked", asked, "0s a", "15s a")
		wants(t, "published", published, "0s api 5", "0s web 5", "15s api 5", "15s web 5")

		p.Follow(map[string]bus.Prometheus{"web": q, "api": q}) // nothing new
		other := q
		other.Query = "b"
		asked, _ = p.after(5 * time.Second)
		wants(t, "asked by nothing new", asked)
		p.Follow(map[string]bus.Prometheus{"web": q, "api": other})
		asked, published = p.after(time.Second)
		slices.Sort(asked)
		wants(t, "asked at once", asked, "25s a", "25s b")
		wants(t, "published", published, "25s api 5", "25s web 5")

		p.Follow(nil)
		asked, _ = p.after(time.Hour)
		wants(t, "asked by one who does not lead", asked)
	})
}

// A failure is unknown, and is asked about less and less often, up to a minute.
func TestPollerBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := runPoller(t)
		p.fail(true)
		p.Follow(map[string]bus.Prometheus{"web": {Query: "a", Interval: 10 * time.Second}})
		asked, published := p.after(200 * time.Second)
		wants(t, "asked", asked, "0s a", "20s a", "1m0s a", "2m0s a", "3m0s a")
		wants(t, "published", published[:2], "0s web ?no", "1m0s web ?no")
		p.fail(false)
		asked, _ = p.after(55 * time.Second)
		wants(t, "asked once it answers", asked, "4m0s a", "4m10s a")
	})
}

func TestPause(t *testing.T) {
	for _, tt := range []struct {
		interval time.Duration
		failures int
		want     time.Duration
	}{
		{time.Second, 0, time.Second},
		{time.Second, 3, 8 * time.Second},
		{time.Second, 1000, time.Minute},
		{time.Hour, 0, time.Hour},
		{time.Hour, 2, time.Hour},
	} {
		if got := pause(tt.interval, tt.failures); got != tt.want {
			t.Errorf("%s after %d failures: %s, want %s", tt.interval, tt.failures, got, tt.want)
		}
	}
}
