package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard/internal/feed"
)

// What is kept of what cannot be delivered.
const (
	queueLength = 100              // messages for each target; beyond it new ones are dropped
	firstPause  = time.Second      // between two tries, growing
	maxPause    = 2 * time.Minute  // up to this
	giveUpAfter = 30 * time.Minute // from the first try on
)

// Notifier tells its targets.
type Notifier struct {
	targets []*queue
	changes chan []Target // others that are to be told
	log     zerolog.Logger
	client  *http.Client
	now     func() time.Time
	ticker  func(time.Duration) (ticks <-chan time.Time, stop func()) // what tests replace
	pauses  func() backoff.BackOff
}

// queue is what waits for one target.
type queue struct {
	Target
	waiting chan Message
	dropped atomic.Uint64
	end     context.CancelFunc // of the work for it
}

// New is a notifier of these targets, which are right.
func New(targets []Target, log zerolog.Logger) (*Notifier, error) {
	if err := check(targets); err != nil {
		return nil, err
	}
	n := &Notifier{
		changes: make(chan []Target, 1),
		log:     log, client: newClient(), now: time.Now,
		ticker: func(every time.Duration) (<-chan time.Time, func()) { t := time.NewTicker(every); return t.C, t.Stop },
		pauses: func() backoff.BackOff {
			b := backoff.NewExponentialBackOff()
			b.InitialInterval, b.MaxInterval = firstPause, maxPause
			return b
		},
	}
	for _, t := range targets {
		n.targets = append(n.targets, newQueue(t))
	}
	return n, nil
}

func newQueue(t Target) *queue { return &queue{Target: t, waiting: make(chan Message, queueLength)} }

func check(targets []Target) error {
	var problems []error
	for _, t := range targets {
		for _, f := range t.Check(func(string) bool { return false }) {
			problems = append(problems, fmt.Errorf("target %q: %s: found %s, want %s", t.Name, f.Field, f.Found, f.Allowed))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// Retarget has others be told from now on, without waiting for it. What waits for a target that stays as it is goes on waiting,
// and what waits for another is dropped. One at a time may call it.
func (n *Notifier) Retarget(targets []Target) error {
	if err := check(targets); err != nil {
		return err
	}
	select {
	case <-n.changes: // they never held
	default:
	}
	n.changes <- targets
	return nil
}

// retarget takes other targets; work begins the work for one.
func (n *Notifier) retarget(targets []Target, work func(*queue)) {
	before := n.targets
	n.targets = nil
	for _, t := range targets {
		i := slices.IndexFunc(before, func(q *queue) bool { return reflect.DeepEqual(q.Target, t) })
		if i >= 0 {
			n.targets = append(n.targets, before[i])
			before = slices.Delete(before, i, i+1)
			continue
		}
		q := newQueue(t)
		work(q)
		n.targets = append(n.targets, q)
	}
	for _, q := range before {
		q.end()
	}
	n.log.Info().Msgf("notify: %s of the config from now on", bus.Count(len(targets), "target"))
}

// Run hears the bus, once there is a target, and tells the targets until ctx ends. What is not delivered by then is dropped.
func (n *Notifier) Run(ctx context.Context, conn *client.Conn) error {
	for len(n.targets) == 0 {
		select {
		case <-ctx.Done():
			return nil
		case targets := <-n.changes:
			for _, t := range targets {
				n.targets = append(n.targets, newQueue(t))
			}
		}
	}
	messages := feed.New()
	if err := messages.Subscribe(conn); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	inbox := make(chan any, 1024)
	var dropped atomic.Uint64
	wg.Go(func() { messages.Pump(ctx, inbox, &dropped) })
	work := func(q *queue) {
		working, end := context.WithCancel(ctx)
		q.end = end
		wg.Go(func() { n.work(working, q) })
	}
	for _, q := range n.targets {
		work(q)
	}
	ticks, stop := n.ticker(time.Second)
	defer stop()
	w, f := newWatch(n.now()), newFlood()
	for {
		select {
		case <-ctx.Done():
			return nil
		case targets := <-n.changes:
			n.retarget(targets, work)
		case message := <-inbox:
			n.offer(f, w.take(message, n.now()))
		case <-ticks:
			now := n.now()
			_, connected := conn.Connected()
			n.offer(f, w.tick(connected, now))
			n.send(f.due(now))
			if lost := dropped.Swap(0); lost > 0 {
				n.log.Warn().Msgf("notify: %d messages of the bus came too fast to be looked at", lost)
			}
		}
	}
}

// offer sends what the flood control lets through. What no target wants does not count in it.
func (n *Notifier) offer(f *flood, messages []Message) {
	for _, m := range messages {
		for _, q := range n.targets {
			if q.wants(m) {
				n.send(f.take(m, n.now()))
				break
			}
		}
	}
}

// send queues messages for those who want them. It never waits.
func (n *Notifier) send(messages []Message) {
	for _, m := range messages {
		for _, q := range n.targets {
			if !q.wants(m) {
				continue
			}
			select {
			case q.waiting <- m:
			default:
				if q.dropped.Add(1) == 1 {
					n.log.Warn().Str("target", q.Name).Msgf("notify: %d messages wait for it already: new ones are dropped", queueLength)
				}
			}
		}
	}
}

// work tells one target what waits for it, one after the other.
func (n *Notifier) work(ctx context.Context, q *queue) {
	for {
		var m Message
		select {
		case <-ctx.Done():
			return
		case m = <-q.waiting:
		}
		said := false
		_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, q.deliver(ctx, n.client, m) },
			backoff.WithBackOff(n.pauses()), backoff.WithMaxElapsedTime(giveUpAfter),
			backoff.WithNotify(func(err error, again time.Duration) {
				if !said {
					n.log.Warn().Str("target", q.Name).Err(err).Msg("notify: not delivered yet, it is tried again")
				}
				said = true
			}))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			n.log.Error().Str("target", q.Name).Str("message", m.Text).Err(err).Msg("notify: not delivered")
		case said:
			n.log.Info().Str("target", q.Name).Msg("notify: delivered after all")
		}
		if lost := q.dropped.Load(); lost > 0 && len(q.waiting) == 0 {
			q.dropped.Store(0)
			n.log.Warn().Str("target", q.Name).Msgf("notify: %d messages were dropped meanwhile", lost)
		}
	}
}
