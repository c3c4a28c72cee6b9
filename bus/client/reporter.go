package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// Reporter publishes a stage's health: every three seconds, and at once when it changes.
type Reporter struct {
	conn    *Conn
	log     zerolog.Logger
	health  bus.Health
	reports chan report

	mu   sync.Mutex
	acts *bus.Acts
}

type report struct{ err error }

// Acts sets where the stage acts. It is part of the reports that follow.
func (r *Reporter) Acts(acts bus.Acts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acts = &acts
}

// Note is a report of a stage that is well, and has something to say all the same.
type Note string

func (n Note) Error() string { return string(n) }

// NewReporter makes a reporter for a stage.
func NewReporter(conn *Conn, stage, version string, log zerolog.Logger) *Reporter {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Reporter{
		conn: conn, log: log.With().Str("stage", stage).Logger(), reports: make(chan report, 1),
		health: bus.Health{
			V: bus.Version, Stage: stage, Instance: fmt.Sprintf("%s-%d", host, os.Getpid()), OK: true, Version: version,
			Since: time.Now().UTC(),
		},
	}
}

// Instance is the stage's name among all on the bus, and Since when it started, as its health says them.
func (r *Reporter) Instance() string { return r.health.Instance }

// Since is when the stage started.
func (r *Reporter) Since() time.Time { return r.health.Since }

// Report reports how the stage is: nil is well, and so is a Note. Of [bus.Troubles] the health message has the problems, too. It
// never blocks; the newest report wins.
func (r *Reporter) Report(err error) {
	for {
		select {
		case r.reports <- report{err}:
			return
		default:
		}
		select {
		case <-r.reports: // an older one that nobody has read yet
		default:
		}
	}
}

// Run publishes until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	tick := time.NewTicker(bus.HealthInterval)
	defer tick.Stop()
	r.publish()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-r.reports:
			before := r.health
			r.take(now.err)
			switch {
			case r.health.Message == before.Message:
				if r.acting() {
					r.publish()
				}
				continue
			case now.err == nil:
				r.log.Info().Msg("all is well again")
			case !r.health.Same(&before): // not each second again for how long
				r.log.Warn().Msg(r.health.Message)
			}
			r.publish()
		case <-tick.C:
			r.publish()
		}
	}
}

// take makes a report the stage's health.
func (r *Reporter) take(err error) {
	var note Note
	var troubles bus.Troubles
	r.health.OK, r.health.Message, r.health.Problems = err == nil || errors.As(err, &note), "", nil
	if err != nil {
		r.health.Message = bus.Cut(err.Error()) // as it is sent, to compare the next one with
	}
	if errors.As(err, &troubles) {
		r.health.Problems = troubles.Problems()
	}
}

// acting takes what Acts has said, and reports whether that is news.
func (r *Reporter) acting() (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = !reflect.DeepEqual(r.health.Acts, r.acts)
	r.health.Acts = r.acts
	return news
}

func (r *Reporter) publish() {
	r.acting()
	r.health.Time, r.health.Dropped, r.health.Calls = time.Now().UTC(), r.conn.Dropped(), r.conn.Calls().All()
	if err := r.conn.Publish(&r.health); err != nil {
		r.log.Debug().Err(err).Msg("health lost")
	}
}
