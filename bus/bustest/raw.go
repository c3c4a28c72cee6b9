package bustest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus/server"
)

// Member is a client as whom a role logs in, with what the server last refused it.
type Member struct {
	NC *nats.Conn
	T  *testing.T
}

// NewMember logs in over TCP, where key is "" without credentials.
func NewMember(t *testing.T, s *server.Server, key string) Member {
	t.Helper()
	var options []nats.Option
	if key != "" {
		option, err := nats.NkeyOptionFromSeed(key)
		if err != nil {
			t.Fatal(err)
		}
		options = append(options, option)
	}
	options = append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(s.URL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return Member{nc, t}
}

// Refused says, once the server has dealt with what was sent, whether it refused to publish or to subscribe to this.
// It looks at the newest refusal, so that the same must not be tried twice in a row.
func (m Member) Refused(what, subject string) bool {
	m.T.Helper()
	if err := m.NC.FlushWithContext(Limit(m.T)); err != nil {
		m.T.Fatal(err)
	}
	err := m.NC.LastError()
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), fmt.Sprintf("%s to %q", what, subject))
}

// Publish sends something that is no message, and reports whether the server refused it.
func (m Member) Publish(subject string) (refused bool) {
	m.T.Helper()
	if err := m.NC.Publish(subject, []byte(m.T.Name())); err != nil {
		m.T.Fatalf("%s: %v", subject, err)
	}
	return m.Refused("Publish", subject)
}

// Outsider is a client of another process, without credentials.
type Outsider struct {
	NC         *nats.Conn
	Violations chan string
}

// NewOutsider connects over TCP, for the length of the test.
func NewOutsider(t *testing.T, s *server.Server) Outsider {
	t.Helper()
	o := Outsider{Violations: make(chan string, 16)}
	nc, err := nats.Connect(s.URL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			o.Violations <- err.Error()
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	o.NC = nc
	return o
}

// Flush waits until the server has dealt with all that was sent.
func (o Outsider) Flush(t *testing.T) {
	t.Helper()
	if err := o.NC.FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
}

// Subscribe collects the messages of a subject, of whatever form.
func (o Outsider) Subscribe(t *testing.T, subject string) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 16)
	if _, err := o.NC.ChanSubscribe(subject, ch); err != nil {
		t.Fatal(err)
	}
	o.Flush(t)
	return ch
}
