package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
)

// Bounds of the streams and of who reads them.
const (
	readerGone = time.Minute // then the server forgets a reader that ended without unsubscribing
	// historyMessage is the largest message in the streams, so that a few cannot push all others out; the largest event
	// and decision fit.
	historyMessage = bus.MaxDecisionBytes + 1<<10
	// historyPerSubject is how often the same may have happened to one VM: what repeats without end pushes out only itself.
	historyPerSubject = 2000
	readAhead         = 4 << 20 // bytes that a reader has the server send at a time
)

// ErrNoHistory means that the server keeps none: it has no JetStream, or the stream does not exist yet.
var ErrNoHistory = errors.New("this bus keeps no history")

func historyConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        bus.HistoryStream,
		Description: "vmscaler: lifecycle events, and decisions that changed something",
		Subjects:    bus.HistorySubjects(),
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      bus.HistoryAge,
		MaxBytes:    bus.HistoryBytes,
		MaxMsgSize:  historyMessage,
		Storage:     jetstream.FileStorage,

		MaxMsgsPerSubject: historyPerSubject,
	}
}

func demandConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        bus.DemandStream,
		Description: "vmscaler: what was asked of each group",
		Subjects:    []string{bus.AllDemand},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      bus.DemandAge,
		MaxBytes:    bus.DemandBytes,
		MaxMsgSize:  historyMessage,
		Storage:     jetstream.FileStorage,
	}
}

// EnsureHistory makes the streams where they are missing. On a server without JetStream the error is ErrNoHistory.
// One that is there stays as it is, as its limits may have been changed on purpose; only an embedded server's gets a bound
// for its messages if it is of a time that knew none.
func EnsureHistory(ctx context.Context, c *Conn) error {
	c.history.CompareAndSwap(historyElsewhere, historyWanted)
	err := ensureHistory(ctx, c)
	switch {
	case err == nil:
		c.history.Store(historyMade)
	case errors.Is(err, ErrNoHistory):
		c.history.Store(historyElsewhere)
	}
	return err
}

// Whether a connection makes the history. While it is wanted and not made yet, as while a cluster elects its leader, nobody
// confirms an event, and it is lost if it does not wait.
const (
	historyElsewhere int32 = iota // somebody else does, or there is none
	historyWanted
	historyMade
)

func ensureHistory(ctx context.Context, c *Conn) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	for _, cfg := range []jetstream.StreamConfig{historyConfig(), demandConfig()} {
		stream, err := js.Stream(ctx, cfg.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = c.makeReplicated(func(replicas int) error {
				cfg.Replicas = replicas
				_, err := js.CreateStream(ctx, cfg)
				return err
			})
		} else if err == nil && c.Embedded() && stream.CachedInfo().Config.MaxMsgSize <= 0 {
			bounded := stream.CachedInfo().Config
			bounded.MaxMsgSize = cfg.MaxMsgSize
			_, err = js.UpdateStream(ctx, bounded)
		}
		if err != nil {
			return historyError(err)
		}
	}
	return nil
}

func historyError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount),
		errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrStreamNotFound):
		return ErrNoHistory
	}
	return fmt.Errorf("history: %w", err)
}

// HistoryQuery selects what to read of the history.
type HistoryQuery struct {
	Group  string    // "" is all groups
	VM     string    // events of this VM of the group alone; "" is all, and the decisions
	Since  time.Time // zero is all that is kept
	Follow bool      // go on with what happens from now on, until the context ends
	// Skipped is called with each message that cannot be read; it may be nil.
	Skipped func(subject string, why error)
}

// HistoryEntry is an entry of the history: either an event or a decision.
type HistoryEntry struct {
	Event    *bus.Event    `json:"event,omitempty"`
	Decision *bus.Decision `json:"decision,omitempty"`
}

// Time is when it happened.
func (r HistoryEntry) Time() time.Time {
	if r.Event != nil {
		return r.Event.Time
	}
	return r.Decision.Time
}

// ReadHistory gives the records in their order to yield, until that returns an error, which it returns; where this
// connection may not read them it is a *DeniedError. Messages that cannot be read are left out: their first receivers have logged
// them.
func ReadHistory(ctx context.Context, c *Conn, q HistoryQuery, yield func(HistoryEntry) error) error {
	var subjects []string
	if q.Group != "" {
		subjects = []string{bus.EventsOf(q.Group), bus.DecisionsOf(q.Group)}
	}
	if q.VM != "" {
		subjects = []string{bus.EventsOfVM(q.Group, q.VM)}
	}
	r := reading{stream: bus.HistoryStream, subjects: subjects, since: q.Since, follow: q.Follow}
	return read(ctx, c, r, func(msg jetstream.Msg) error {
		record, err := decodeEntry(msg.Subject(), msg.Data())
		if err != nil {
			if q.Skipped != nil {
				q.Skipped(msg.Subject(), err)
			}
			return nil
		}
		return yield(record)
	})
}

// ReadDemand passes a group's demand since a time, minute by minute, to yield, until that returns an error,
// which it returns.
func ReadDemand(ctx context.Context, c *Conn, group string, since time.Time, yield func(bus.Demand) error) error {
	r := reading{stream: bus.DemandStream, subjects: []string{"vmscaler.demand." + bus.Token(group)}, since: since}
	return read(ctx, c, r, func(msg jetstream.Msg) error {
		d, err := bus.DecodeOn[bus.Demand](msg.Subject(), msg.Data())
		if err != nil {
			c.Drop(msg.Subject(), err)
			return nil
		}
		return yield(d)
	})
}

// reading is which messages of a stream are read.
type reading struct {
	stream   string
	subjects []string  // none is all
	since    time.Time // zero: from the first on
	follow   bool      // also those to come
}

// read gives a stream's messages in their order to yield.
func read(ctx context.Context, c *Conn, r reading, yield func(jetstream.Msg) error) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	cfg := jetstream.OrderedConsumerConfig{
		DeliverPolicy:     jetstream.DeliverAllPolicy,
		InactiveThreshold: readerGone,
		FilterSubjects:    r.subjects,
	}
	if !r.since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &r.since
	}
	began := time.Now()
	consumer, err := js.OrderedConsumer(ctx, r.stream, cfg)
	if denied := c.deniedSince(began); err != nil && denied != nil {
		return denied
	}
	if err != nil {
		return historyError(err)
	}
	defer func() { // else the server keeps it for a while
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = js.DeleteConsumer(ending, r.stream, consumer.CachedInfo().Name) // it goes by itself as well
	}()
	if !r.follow && consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(readAhead))
	if err != nil {
		return historyError(err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return historyError(err)
		}
		if err := yield(msg); err != nil {
			return err
		}
		if meta, err := msg.Metadata(); err == nil && meta.NumPending == 0 && !r.follow {
			return nil
		}
	}
}

func decodeEntry(subject string, data []byte) (HistoryEntry, error) {
	if len(subject) > len(decisionPrefix) && subject[:len(decisionPrefix)] == decisionPrefix {
		d, err := bus.DecodeOn[bus.Decision](subject, data)
		return HistoryEntry{Decision: &d}, err
	}
	e, err := bus.DecodeOn[bus.Event](subject, data)
	return HistoryEntry{Event: &e}, err
}

const decisionPrefix = "vmscaler.decision."
