package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// HistoryStream is the JetStream stream of what happened: lifecycle events, and decisions that changed something.
const HistoryStream = "vmscaler-history"

// What the history holds at most; the oldest goes first. An event or decision has about 500 to 1,000 bytes.
const (
	HistoryAge   = 7 * 24 * time.Hour
	historyBytes = 64 << 20
	readerGone   = time.Minute // then the server forgets one who reads it and has ended without a word
)

// ErrNoHistory says that the server keeps none: it has no JetStream, or nobody has made the stream yet.
var ErrNoHistory = errors.New("this bus keeps no history")

// It captures no ctl subject: JetStream would answer the requests itself.
func historyConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        HistoryStream,
		Description: "vmscaler: lifecycle events, and decisions that changed something",
		Subjects:    []string{AllEvents, "vmscaler.decision.*." + string(Out), "vmscaler.decision.*." + string(In)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		MaxAge:      HistoryAge,
		MaxBytes:    historyBytes,
		Storage:     jetstream.FileStorage,
	}
}

// EnsureHistory makes the stream where it is missing. On a server without JetStream the error is ErrNoHistory.
// One that is there stays as it is: its limits may have been changed on purpose.
func EnsureHistory(ctx context.Context, c *Conn) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	_, err = js.Stream(ctx, HistoryStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, historyConfig())
	}
	return historyError(err)
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

// HistoryQuery says what of the history to read.
type HistoryQuery struct {
	Group  string    // "" is all groups
	Since  time.Time // zero is all that is kept
	Follow bool      // go on with what happens from now on, until the context ends
}

// Record is an entry of the history: either an event or a decision.
type Record struct {
	Event    *Event    `json:"event,omitempty"`
	Decision *Decision `json:"decision,omitempty"`
}

// Time is when it happened.
func (r Record) Time() time.Time {
	if r.Event != nil {
		return r.Event.Time
	}
	return r.Decision.Time
}

// ReadHistory gives the records in their order to yield, until that returns an error, which it returns. Messages that
// cannot be read are left out.
func ReadHistory(ctx context.Context, c *Conn, q HistoryQuery, yield func(Record) error) error {
	js, err := jetstream.New(c.nc)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy, InactiveThreshold: readerGone}
	if q.Group != "" {
		cfg.FilterSubjects = []string{"vmscaler.lifecycle." + Token(q.Group) + ".>", "vmscaler.decision." + Token(q.Group) + ".*"}
	}
	if !q.Since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &q.Since
	}
	consumer, err := js.OrderedConsumer(ctx, HistoryStream, cfg)
	if err != nil {
		return historyError(err)
	}
	defer func() { // else the server keeps it for a while
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = js.DeleteConsumer(ending, HistoryStream, consumer.CachedInfo().Name) // it goes by itself as well
	}()
	if !q.Follow && consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
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
		if record, err := decodeRecord(msg.Subject(), msg.Data()); err != nil {
			c.Drop(msg.Subject(), err)
		} else if err := yield(record); err != nil {
			return err
		}
		if meta, err := msg.Metadata(); err == nil && meta.NumPending == 0 && !q.Follow {
			return nil
		}
	}
}

func decodeRecord(subject string, data []byte) (Record, error) {
	if len(subject) > len(decisionPrefix) && subject[:len(decisionPrefix)] == decisionPrefix {
		d, err := Decode[Decision](data)
		return Record{Decision: &d}, err
	}
	e, err := Decode[Event](data)
	return Record{Event: &e}, err
}

const decisionPrefix = "vmscaler.decision."
