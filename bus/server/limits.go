package server

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/internal/throttle"
)

// What clients of the embedded server may take, all of them together and each.
const (
	// maxPending is what the server keeps for a client that does not read as fast as others publish; beyond it the client is
	// cut. It is for stages, which must not lose their connection when a host floods the bus; see maxTapPending.
	maxPending = 8 * bus.MaxPayload
	// maxConnections is also those of this process. Beyond it nobody can connect, so that taps may have fewer.
	maxConnections = 256
	// maxSubscriptions is of each connection; the decider has about 25.
	maxSubscriptions = 128
	// maxControlLine is the longest line of the protocol but for a message's body: two subjects with names of 255 bytes
	// that are escaped as a whole.
	maxControlLine = 4096
	// maxClosed is how many ended connections the server remembers, with their subscriptions.
	maxClosed = 16

	authTimeout    = 2 * time.Second // to log in, so that an idle client holds no connection
	tlsAuthTimeout = 7 * time.Second // the same, with the handshake, which has 5
)

// What taps may take. The server knows no limits of a role, so that a guard looks.
const (
	maxTaps             = 64                 // connections without credentials
	maxTapSubscriptions = 32                 // of each
	maxTapPending       = 2 * bus.MaxPayload // of each, so that one large message that is being sent does not end it at the next
	maxTapsPending      = 64 << 20           // of all together
	guardEvery          = 250 * time.Millisecond
)

// setLimits sets the bounds of the server.
func setLimits(o *server.Options, tls bool) {
	o.MaxPayload, o.MaxPending = bus.MaxPayload, maxPending
	o.MaxConn, o.MaxSubs = maxConnections, maxSubscriptions
	o.MaxControlLine, o.MaxClosedClients = maxControlLine, maxClosed
	o.AuthTimeout = authTimeout.Seconds()
	if tls {
		o.AuthTimeout = tlsAuthTimeout.Seconds()
	}
}

// tooGreedy are the taps that take more than they may: those with too many subscriptions or unread bytes, the newest of too
// many connections, and those with the most unread bytes until the others' are few enough. Each with the reason.
func tooGreedy(taps []*server.ConnInfo) map[uint64]string {
	out := map[uint64]string{}
	for _, c := range taps {
		switch {
		case c.NumSubs > maxTapSubscriptions:
			out[c.Cid] = fmt.Sprintf("it has %d subscriptions, %d are allowed without credentials", c.NumSubs, maxTapSubscriptions)
		case c.Pending > maxTapPending:
			out[c.Cid] = fmt.Sprintf("it has not read %d bytes, %d are allowed without credentials", c.Pending, maxTapPending)
		}
	}
	left := slices.DeleteFunc(slices.Clone(taps), func(c *server.ConnInfo) bool { return out[c.Cid] != "" })
	slices.SortFunc(left, func(a, b *server.ConnInfo) int { return cmp.Compare(a.Cid, b.Cid) })
	if len(left) > maxTaps {
		for _, c := range left[maxTaps:] {
			out[c.Cid] = fmt.Sprintf("it is one of %d without credentials, %d are allowed", len(left), maxTaps)
		}
		left = left[:maxTaps]
	}
	pending := 0
	for _, c := range left {
		pending += c.Pending
	}
	slices.SortFunc(left, func(a, b *server.ConnInfo) int { return cmp.Compare(b.Pending, a.Pending) })
	for _, c := range left {
		if pending <= maxTapsPending {
			break
		}
		out[c.Cid] = fmt.Sprintf("it has not read %d bytes; %d are allowed for all without credentials", c.Pending, maxTapsPending)
		pending -= c.Pending
	}
	return out
}

// guard ends the connections of taps that take too much.
func guard(ns *server.Server, lines *throttle.Throttle, log zerolog.Logger) {
	z, err := ns.Connz(&server.ConnzOptions{Username: true, User: string(bus.RoleTap), Limit: maxConnections})
	if err != nil {
		if lines.Allows("the guard of taps") {
			log.Warn().Err(err).Msg("bus: look at the connections")
		}
		return
	}
	for cid, why := range tooGreedy(z.Conns) {
		if ns.DisconnectClientByID(cid) == nil && lines.Allows("disconnected clients") {
			log.Warn().Uint64("client", cid).Msgf("bus: disconnected: %s", why)
		}
	}
}

// startGuard guards until stop, which waits for it.
func startGuard(ns *server.Server, lines *throttle.Throttle, log zerolog.Logger) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(guardEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				guard(ns, lines, log)
			case <-quit:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}

// logBridge passes the server's log on and keeps its first fatal message, which must not end the process. Clients make
// the server say most of it, so that each kind is throttled.
type logBridge struct {
	log   zerolog.Logger
	lines *throttle.Throttle
	fatal atomic.Pointer[string]
}

func newLogBridge(log zerolog.Logger) *logBridge {
	return &logBridge{log: log, lines: throttle.New(func(kind any, n uint64) {
		// The line before it says what it is about.
		log.Warn().Msgf("bus: ... and %d more like it", n)
	})}
}

// place is where in the server a line of its log is from: the callers of its logger. It is the kind of the line, as clients
// choose much of the text.
type place [8]uintptr

// placeOfLine is the place from which a method of the bridge was called.
func placeOfLine() (p place) {
	const bridge = 4 // Callers, this, said, and the method
	runtime.Callers(bridge, p[:])
	return p
}

func (b *logBridge) said(event *zerolog.Event, format string, v []any) {
	if b.lines.Allows(placeOfLine()) {
		event.Msg(bus.Clip(fmt.Sprintf(format, v...), bus.MaxLogText))
	}
}

func (b *logBridge) Noticef(format string, v ...any) { b.log.Debug().Msgf(format, v...) }

func (b *logBridge) Warnf(format string, v ...any) {
	// Ours are random, new at each start, and only in memory; the user without credentials cannot have a hashed one.
	if !strings.HasPrefix(format, "Plaintext passwords") {
		b.said(b.log.Warn(), format, v)
	}
}

func (b *logBridge) Errorf(format string, v ...any) { b.said(b.log.Error(), format, v) }
func (b *logBridge) Debugf(format string, v ...any) { b.log.Trace().Msgf(format, v...) }
func (b *logBridge) Tracef(format string, v ...any) { b.log.Trace().Msgf(format, v...) }

func (b *logBridge) Fatalf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	b.fatal.CompareAndSwap(nil, &msg)
}
