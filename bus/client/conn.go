package client

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/internal/throttle"
)

// ServerName lets a stage recognize an embedded server, with the permissions of [bus.Roles].
// One of a cluster has its own name after it.
const ServerName = "vmscaler-bus"

// PingInterval is after how much silence a client and the embedded server ask each other for a sign of life, PingsOutstanding how
// many of those may go unanswered: a peer that vanished without closing its connection (power loss, a cut network) is given up
// after three intervals. NATS's own two minutes would hide it for six.
const (
	PingInterval     = 2 * time.Second
	PingsOutstanding = 2
)

// Conn is a stage's connection to the bus.
type Conn struct {
	nc      *nats.Conn
	host    bus.HostID // whose agent this is; "": it speaks for no host in particular
	log     zerolog.Logger
	closed  chan struct{}
	calls   bus.CallTimes
	dropped atomic.Uint64
	history atomic.Int32           // historyElsewhere and so on
	late    atomic.Int32           // answers that wait
	lines   *throttle.Throttle     // of what anybody on the bus can make this process say
	trouble atomic.Pointer[error]  // why the last try to connect failed; nil: it did not
	denied  atomic.Pointer[denial] // what the server has not allowed last; nil: nothing
}

// Remote is a server of another process and how to log in there.
type Remote struct {
	URL   string // nats://127.0.0.1:4222, or several, separated by commas
	Nkey  string // file with an nkey seed
	Creds string // file with a user's JWT and seed
	CA    string // file with the certificates (PEM) that the server's must be from; "" is the system's
	Cert  string // the client's own certificate, with Key
	Key   string
	// Host is the host for which alone the credentials are, those of an agent; "": they are a role's.
	Host bus.HostID
}

// Anonymous reports whether there are no credentials.
func (r Remote) Anonymous() bool {
	return r.Nkey == "" && r.Creds == "" && r.Cert == "" && !strings.Contains(r.URL, "@")
}

// Dial connects to a server of another process. It waits for a server that is not there yet and reconnects forever.
func Dial(r Remote, name string, log zerolog.Logger) (*Conn, error) {
	return dial(r, name, log, nats.RetryOnFailedConnect(true))
}

// DialNow is Dial for a server that must be there; later it reconnects as well.
func DialNow(r Remote, name string, log zerolog.Logger) (*Conn, error) { return dial(r, name, log) }

func dial(r Remote, name string, log zerolog.Logger, extra ...nats.Option) (*Conn, error) {
	if r.Nkey != "" {
		option, err := nats.NkeyOptionFromSeed(r.Nkey)
		if err != nil {
			return nil, fmt.Errorf("bus: credentials %s: %w", r.Nkey, err)
		}
		inbox := bus.Role(name).InboxPrefix()
		if r.Host != "" {
			inbox = bus.AgentInbox(r.Host)
		}
		extra = append(extra, option, nats.CustomInboxPrefix(inbox))
	} else {
		extra = append(extra, nats.CustomInboxPrefix(bus.RoleTap.InboxPrefix()))
	}
	if r.Creds != "" {
		extra = append(extra, nats.UserCredentials(r.Creds))
	}
	if r.CA != "" {
		extra = append(extra, nats.RootCAs(r.CA))
	}
	if r.Cert != "" {
		extra = append(extra, nats.ClientCert(r.Cert, r.Key))
	}
	c, err := Connect(r.URL, name, log, extra...)
	if err != nil || r.Host == "" {
		return c, err
	}
	c.host = r.Host
	if err := c.speaksFor(r.Host); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// WrongHostError means that the credentials of an agent are for another host than the one that it runs on.
type WrongHostError struct{ Host bus.HostID }

func (e *WrongHostError) Error() string {
	return fmt.Sprintf("the bus does not let these credentials speak for this host (%s): they are another host's", e.Host)
}

// speaksFor asks the server whether this agent is the one of a host, which is known by what it may hear. Without a connection
// nobody can say so yet.
func (c *Conn) speaksFor(id bus.HostID) error {
	if !c.nc.IsConnected() {
		return nil
	}
	sub, err := c.nc.SubscribeSync(bus.AgentInbox(id) + ".own")
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	if err := c.Flush(); err != nil {
		return err
	}
	if errors.Is(c.nc.LastError(), nats.ErrPermissionViolation) {
		return &WrongHostError{id}
	}
	_ = sub.Unsubscribe() // fails on a closed connection only
	return nil
}

// Connect connects with options of the caller's own, as to a server in this process.
func Connect(url, name string, log zerolog.Logger, extra ...nats.Option) (*Conn, error) {
	c := &Conn{log: log, closed: make(chan struct{})}
	c.lines = throttle.New(func(kind any, n uint64) { log.Warn().Msgf("bus: %v: ... and %d more like it", kind, n) })
	refused := "" // said already
	options := append([]nats.Option{
		nats.Name("vmscaler " + name),
		nats.DontRandomize(), // of several servers the one that is named first, as a host's own is
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials can be fixed on the server; the log says what is wrong
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond), // all stages lose the bus at the same moment
		nats.ReconnectBufSize(-1),                                        // samples and decisions are perishable: better lost than late
		nats.DrainTimeout(5 * time.Second),
		nats.PingInterval(PingInterval),
		nats.MaxPingsOutstanding(PingsOutstanding),
		nats.CustomInboxPrefix("_VMSCALER." + bus.Token(name)),
		nats.ConnectHandler(func(nc *nats.Conn) {
			c.trouble.Store(nil)
			log.Debug().Msgf("bus: connected to %s", nc.ConnectedUrl())
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			c.trouble.Store(nil)
			log.Info().Msgf("bus: connected again to %s", nc.ConnectedUrl())
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("bus: connection lost, trying again")
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.trouble.Store(&err)
			}
			if err != nil && err.Error() != refused {
				refused = err.Error()
				log.Warn().Err(err).Msg("bus: no connection, trying again")
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				c.denied.Store(&denial{err, time.Now()})
			}
			if !c.lines.Allows("trouble on the connection") {
				return
			}
			if sub != nil {
				err = fmt.Errorf("%s: %w", sub.Subject, err)
			}
			log.Warn().Err(err).Msg("bus")
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	}, extra...)
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("bus: connect to %s: %w", url, err)
	}
	c.nc = nc
	return c, nil
}

// Connected reports whether a server answers at the moment, and its address.
func (c *Conn) Connected() (string, bool) { return c.nc.ConnectedUrlRedacted(), c.nc.IsConnected() }

// NATS is the connection below, for what is not in the contract: those who look at the streams, and tests that forge messages.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// Trouble is why the last try to connect failed; nil while there is a connection, or where none was tried yet.
func (c *Conn) Trouble() error {
	if err := c.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Embedded reports whether the server is an embedded one of this program, which has the permissions of [Roles] and makes
// the history itself.
func (c *Conn) Embedded() bool {
	name, found := strings.CutPrefix(c.nc.ConnectedServerName(), ServerName)
	return found && (name == "" || strings.HasPrefix(name, "-"))
}

// Clustered reports whether the server is one of several embedded ones that are one bus, each of which keeps all that is kept.
func (c *Conn) Clustered() bool { return c.Embedded() && c.nc.ConnectedClusterName() != "" }

// Drop records that a message was discarded: a line in the log, if there are not too many of its kind, and the counter that
// the stage's health shows.
func (c *Conn) Drop(subject string, why error) {
	c.dropped.Add(1)
	if c.lines.Allows("dropped messages on " + kindOf(subject)) {
		c.log.Warn().
			Str("error", bus.Clip(why.Error(), bus.MaxLogText)).
			Msgf("bus: dropped a message on %s", bus.Clip(subject, bus.MaxLogText))
	}
}

// kindOf is the wildcard subject of a kind of message, by which drops are logged: the publisher chooses the rest.
func kindOf(subject string) string {
	for _, all := range []string{
		bus.AllSamples, bus.AllDecisions, bus.AllEvents, bus.AllHealth, bus.AllMetrics, bus.AllDemand, bus.AllLoads, bus.AllVictims,
		"vmscaler.ctl.>",
	} {
		if strings.HasPrefix(subject, strings.TrimSuffix(all, ">")) {
			return all
		}
	}
	return "other subjects"
}

// denial is something that the server has not allowed.
type denial struct {
	err error
	at  time.Time
}

// deniedSince is what the server has not allowed since a moment, as the reason of an error that came after it; nil: nothing.
func (c *Conn) deniedSince(began time.Time) error {
	if d := c.denied.Load(); d != nil && !d.at.Before(began) {
		return &DeniedError{d.err}
	}
	return nil
}

// Calls counts how long calls take that the connection's stage makes; its health says it.
func (c *Conn) Calls() *bus.CallTimes { return &c.calls }

// Dropped counts the messages that were not used: malformed, of another version, expired, or repeated.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// Publish sends a message, whose texts it cuts where they are too long; it never blocks on a receiver. Without a connection
// the message is lost, which is an error. One that its receivers would refuse is not sent: that is ErrUnfit.
func (c *Conn) Publish(m bus.Outgoing) error { return c.PublishOnce(m, "") }

// PublishOnce is Publish for a message that says again what one before it with the same id did: within two minutes the history
// keeps one of them. "" is no id.
func (c *Conn) PublishOnce(m bus.Outgoing, id string) error {
	c.bind(m)
	data, err := bus.Encode(m, int(c.nc.MaxPayload()))
	if err != nil {
		return fmt.Errorf("publish %s: %w", m.Subject(), err)
	}
	msg := nats.NewMsg(m.Subject())
	msg.Data = data
	if id != "" {
		msg.Header.Set(jetstream.MsgIDHeader, id)
	}
	setTrace(msg, m)
	if err := c.nc.PublishMsg(msg); err != nil {
		return fmt.Errorf("publish %s: %w", m.Subject(), err)
	}
	return nil
}

// bind has a message of an agent say for which host it is.
func (c *Conn) bind(m bus.Outgoing) {
	if bound, is := m.(bus.HostBound); is && c.host != "" {
		bound.BindHost(c.host)
	}
}

// Subscribe delivers every message of a subject to out, in their order. A message that is not well-formed is
// logged and dropped. When out is full for a while the connection drops messages and logs it. It returns after
// the server knows of the subscription where there is a connection, and at once where there is none yet. Close
// ends it; out is not closed.
func Subscribe[T any, PT interface {
	*T
	bus.Message
}](c *Conn, subject string, out chan<- T,
) error {
	sub, err := c.nc.Subscribe(subject, func(msg *nats.Msg) {
		m, err := bus.DecodeOn[T, PT](msg.Subject, msg.Data)
		if err != nil {
			c.Drop(msg.Subject, err)
			return
		}
		if header := msg.Header.Get(bus.TraceHeader); header != "" {
			m = traced[T, PT](m, header)
		}
		select {
		case out <- m:
		case <-c.closed:
		}
	})
	if err != nil {
		return fmt.Errorf("bus: subscribe to %s: %w", subject, err)
	}
	if err := sub.SetPendingLimits(4096, 64<<20); err != nil {
		return fmt.Errorf("bus: subscribe to %s: %w", subject, err)
	}
	return c.announce()
}

// announce returns once the server knows of all subscriptions, or at once where there is no connection: they are
// announced when it comes.
func (c *Conn) announce() error {
	if !c.nc.IsConnected() {
		return nil
	}
	if err := c.nc.FlushTimeout(5 * time.Second); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("bus: subscribe: %w", err)
	}
	return nil
}

// Flush waits until the server has all that was published.
func (c *Conn) Flush() error {
	if err := c.nc.FlushTimeout(5 * time.Second); err != nil {
		return fmt.Errorf("bus: flush: %w", err)
	}
	return nil
}

// Closed is closed once the connection is.
func (c *Conn) Closed() <-chan struct{} { return c.closed }

// Close sends what is still to be sent and ends the connection and its subscriptions.
func (c *Conn) Close() {
	if c.nc.IsConnected() {
		_ = c.Flush() // nothing can be done about it at this point
	}
	c.nc.Close()
	<-c.closed
	c.lines.Close()
}
