package client

import (
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	outboxSize   = 4096            // events that wait; then the oldest are lost
	outboxLook   = time.Second     // between two looks at those that wait
	acknowledged = 3 * time.Second // within which the history confirms an event; then it is sent again
	// historyPatience is for how long events wait for a history that cannot be made, as it may not be allowed.
	historyPatience = 2 * time.Minute
	drainTimeout    = 2 * time.Second // for the rest when it ends
)

// Outbox sends lifecycle events in their order and keeps each until the history has it, also while the bus is away. Where
// no history is kept an event is sent once, and at the next connection if there is none.
type Outbox struct {
	conn *Conn
	log  zerolog.Logger
	in   chan pendingEvent
	over chan struct{} // closed when Run has ended

	// Run's own.
	name    string // of this one among all
	waiting []*pendingEvent
	acks    chan string
	prefix  string // of the subjects to which the history confirms
	number  uint64
	history bool // something was confirmed once
}

// pendingEvent is an event on its way.
type pendingEvent struct {
	EventAt   bus.Event
	confirmed func()
	id        string
	msg       *nats.Msg
	sent      time.Time // zero: not yet
	over      uint64    // which connection: how many there were before it
}

// NewOutbox makes one; Run must run for it to send anything.
func NewOutbox(conn *Conn, log zerolog.Logger) *Outbox {
	return &Outbox{
		conn: conn,
		log:  log,
		name: rand.Text()[:8],
		in:   make(chan pendingEvent, 256),
		over: make(chan struct{}),
		acks: make(chan string, 256),
	}
}

// Send takes an event. After Run has ended it does nothing. Once the history has the event, or it was sent where none is
// kept, or can never be sent, as one whose VM has a name that no message may have, confirmed is called by Run's goroutine; it may
// be nil.
func (o *Outbox) Send(e bus.Event, confirmed func()) {
	select {
	case o.in <- pendingEvent{EventAt: e, confirmed: confirmed}:
	case <-o.over:
	}
}

// Run sends until ctx ends, and then what is left, for as long as outboxFarewell.
func (o *Outbox) Run(ctx context.Context) error {
	defer close(o.over)
	o.prefix = o.conn.nc.NewInbox() + "."
	sub, err := o.conn.nc.Subscribe(o.prefix+"*", func(msg *nats.Msg) {
		if strings.Contains(string(msg.Data), `"error"`) {
			o.log.Warn().Msgf("bus: the history does not take an event: %s", bus.Clip(string(msg.Data), 80))
			return
		}
		if len(msg.Data) == 0 { // nobody takes it: no server leads the history at the moment, or there is none
			return
		}
		select {
		case o.acks <- strings.TrimPrefix(msg.Subject, o.prefix):
		case <-o.over:
		}
	})
	if err != nil {
		return err //nolint:wrapcheck // names the subject
	}
	defer func() { _ = sub.Unsubscribe() }() // which fails on a closed connection only
	tick := time.NewTicker(outboxLook)
	defer tick.Stop()
	end := ctx.Done()
	var farewell <-chan time.Time
	for {
		select {
		case l := <-o.in:
			o.take(&l)
		case id := <-o.acks:
			o.history = true
			o.done(func(l *pendingEvent) bool {
				if l.id == id {
					o.conn.calls.Observe(bus.APIBus, "keep-event", time.Since(l.sent))
				}
				return l.id == id
			})
		case <-tick.C:
			o.again(time.Now())
		case <-end:
			end, farewell = nil, time.After(drainTimeout)
		case <-farewell:
			return nil
		}
		if end == nil && len(o.in) == 0 && (len(o.waiting) == 0 || !o.history) {
			return nil
		}
	}
}

// done takes those out of the queue that are.
func (o *Outbox) done(is func(*pendingEvent) bool) {
	o.waiting = slices.DeleteFunc(o.waiting, func(l *pendingEvent) bool {
		if !is(l) {
			return false
		}
		if l.confirmed != nil {
			l.confirmed()
		}
		return true
	})
}

// take puts an event into the queue and sends it.
func (o *Outbox) take(l *pendingEvent) {
	o.conn.bind(&l.EventAt)
	subject := l.EventAt.Subject()
	data, err := bus.Encode(&l.EventAt, int(o.conn.nc.MaxPayload()))
	if err != nil { // nor would anybody take it later
		o.log.Error().Err(err).Msgf("bus: publish %s", subject)
		if l.confirmed != nil {
			l.confirmed()
		}
		return
	}
	o.number++
	l.id, l.msg = strconv.FormatUint(o.number, 10), nats.NewMsg(subject)
	l.msg.Data, l.msg.Reply = data, o.prefix+l.id
	l.msg.Header.Set(nats.MsgIdHdr, o.name+"-"+l.id) // a second copy is not kept
	setTrace(l.msg, &l.EventAt)
	if len(o.waiting) == outboxSize {
		o.log.Warn().Msgf("bus: %d events wait for the bus, the oldest is lost", outboxSize)
		o.waiting = o.waiting[1:]
	}
	o.waiting = append(o.waiting, l)
	if len(o.waiting) == 1 || !o.unsent(o.waiting[len(o.waiting)-2]) { // in their order
		o.send(l, time.Now())
	}
}

// made reports whether a history is kept, or will be.
func (o *Outbox) made() bool {
	return o.history || o.conn.history.Load() == historyMade || o.conn.Clustered() // whose members make one
}

// unsent reports whether an event is still to be sent: also one that may have gone down with a connection, where the history
// keeps one copy of it.
func (o *Outbox) unsent(l *pendingEvent) bool {
	return l.sent.IsZero() || o.made() && l.over != o.conn.nc.Stats().Reconnects
}

func (o *Outbox) send(l *pendingEvent, now time.Time) bool {
	if err := o.conn.nc.PublishMsg(l.msg); err != nil {
		return false // there is no connection
	}
	l.sent, l.over = now, o.conn.nc.Stats().Reconnects
	return true
}

// again sends what was not confirmed in time, and gives up what nobody will confirm. Where there is a history events wait for
// as long as it takes, as while this host is cut off from those that keep it.
func (o *Outbox) again(now time.Time) {
	if !o.conn.nc.IsConnected() {
		return
	}
	made := o.made()
	if !made {
		patience := acknowledged
		if o.conn.history.Load() == historyWanted {
			patience = historyPatience
		}
		o.done(func(l *pendingEvent) bool { return !l.sent.IsZero() && now.Sub(l.sent) >= patience })
	}
	for _, l := range o.waiting {
		late := made && now.Sub(l.sent) >= acknowledged
		if (o.unsent(l) || late) && !o.send(l, now) {
			return
		}
	}
}
