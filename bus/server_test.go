package bus

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

func TestCheckListen(t *testing.T) {
	for _, tt := range []struct{ listen, want string }{
		{DefaultListen, ""},
		{"127.0.0.1:0", ""},
		{"127.1.2.3:65535", ""},
		{"localhost:4222", ""},
		{"[::1]:4222", ""},
		{"0.0.0.0:4222", "only loopback"},
		{":4222", "only loopback"},
		{"192.0.2.1:4222", "only loopback"},
		{"[::]:4222", "only loopback"},
		{"[::ffff:192.0.2.1]:4222", "only loopback"},
		{"localhost.example.org:4222", "only loopback"},
		{"127.0.0.1", "want HOST:PORT"},
		{"", "want HOST:PORT"},
		{"::1:4222", "want HOST:PORT"},
		{"127.0.0.1:65536", "want a port"},
		{"127.0.0.1:-1", "want a port"},
		{"127.0.0.1:nats", "want a port"},
	} {
		t.Run(tt.listen, func(t *testing.T) {
			err := CheckListen(tt.listen, false)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestServerRefusesOtherThanLoopback(t *testing.T) {
	s, err := StartServer(ServerConfig{Listen: "0.0.0.0:0"}, quiet)
	if err == nil {
		s.Stop()
		t.Fatal("it listens for everybody")
	}
	if errors.Is(err, ErrListenTaken) {
		t.Errorf("got %v", err)
	}
}

func TestServerListensOnLoopbackOnly(t *testing.T) {
	s := startServer(t)
	host, _, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("listens on %s", s.URL())
	}
}

func TestServerPortTaken(t *testing.T) {
	first := startServer(t)
	second, err := StartServer(ServerConfig{Listen: strings.TrimPrefix(first.URL(), "nats://")}, quiet)
	if err == nil {
		second.Stop()
	}
	if !errors.Is(err, ErrListenTaken) {
		t.Errorf("got %v, want ErrListenTaken", err)
	}
}

func TestServerStopLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.URL(), "nats://")
	c, err := s.Connect("stage", quiet)
	if err != nil {
		t.Fatal(err)
	}
	subscribe[Sample](t, c, AllSamples)
	if err := c.Publish(exampleSample()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Stop()
	goleak.VerifyNone(t, before)

	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the port is not free again: %v", err)
	}
	_ = l.Close()
}

// Ctrl-C is the program's own business: the stages stop before the bus does.
func TestServerLeavesInterruptAlone(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	s := startServer(t)
	c := join(t, s, "stage")
	samples := subscribe[Sample](t, c, AllSamples)
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	receive(t, signals, "signal")
	if err := c.Publish(exampleSample()); err != nil {
		t.Fatal(err)
	}
	receive(t, samples, "sample after the signal")
}

// outsider is a client of another process, without credentials.
type outsider struct {
	nc         *nats.Conn
	violations chan string
}

func newOutsider(t *testing.T, s *Server) outsider {
	t.Helper()
	o := outsider{violations: make(chan string, 16)}
	nc, err := nats.Connect(s.URL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			o.violations <- err.Error()
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	o.nc = nc
	return o
}

// flush waits until the server has dealt with all that was sent.
func (o outsider) flush(t *testing.T) {
	t.Helper()
	if err := o.nc.FlushTimeout(20 * time.Second); err != nil {
		t.Fatal(err)
	}
}

func (o outsider) subscribe(t *testing.T, subject string) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 16)
	if _, err := o.nc.ChanSubscribe(subject, ch); err != nil {
		t.Fatal(err)
	}
	o.flush(t)
	return ch
}

func TestOutsiderMayWatch(t *testing.T) {
	s := startServer(t)
	stage := join(t, s, "stage")
	for _, tt := range []struct {
		subject string
		m       outgoing
	}{
		{AllSamples, exampleSample()},
		{AllDecisions, exampleDecision()},
		{AllEvents, exampleEvent()},
		{AllHealth, exampleHealth()},
		{"vmscaler.>", exampleEvent()},
		{"vmscaler.decision.web.*", exampleDecision()},
	} {
		t.Run(tt.subject, func(t *testing.T) {
			o := newOutsider(t, s)
			ch := o.subscribe(t, tt.subject)
			if err := stage.Publish(tt.m); err != nil {
				t.Fatal(err)
			}
			msg := receive(t, ch, "message")
			want, _ := json.Marshal(tt.m)
			if msg.Subject != tt.m.Subject() || string(msg.Data) != string(want) {
				t.Errorf("got %s %s", msg.Subject, msg.Data)
			}
			if len(o.violations) > 0 {
				t.Error(<-o.violations)
			}
		})
	}
}

// Nobody outside can make the stages believe anything.
func TestOutsiderMayNotPublish(t *testing.T) {
	s := startServer(t)
	stage := join(t, s, "stage")
	decisions := subscribe[Decision](t, stage, AllDecisions)
	forged, honest := exampleDecision(), exampleDecision()
	forged.ID, forged.Desired = "forged", 5
	data, err := json.Marshal(forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{
		forged.Subject(), exampleSample().Subject(), "vmscaler.ctl.scale", "_INBOX.x", "_VMSCALER.operator.x", "$JS.API.INFO", "$SYS.REQ.SERVER.PING", "anything",
	} {
		t.Run(subject, func(t *testing.T) {
			o := newOutsider(t, s)
			if err := o.nc.Publish(subject, data); err != nil {
				t.Fatal(err)
			}
			o.flush(t)
			if v := receive(t, o.violations, "permission violation"); !strings.Contains(strings.ToLower(v), "publish") {
				t.Errorf("got %s", v)
			}
		})
	}
	if err := stage.Publish(honest); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, decisions, "decision"); d.ID != honest.ID {
		t.Errorf("a stage got %+v", d)
	}
}

// A queue subscriber among the operators' requests would swallow them, and another's inbox has their answers.
func TestOutsiderMayNotListenIn(t *testing.T) {
	s := startServer(t)
	for _, subject := range []string{
		"vmscaler.ctl.>", "vmscaler.ctl.scale", "_VMSCALER.>", "_VMSCALER.operator.>", "$JS.>", "$SRV.>", ">", "*.>", "$SYS.>", "other",
	} {
		t.Run(subject, func(t *testing.T) {
			o := newOutsider(t, s)
			o.subscribe(t, subject)
			if v := receive(t, o.violations, "permission violation"); !strings.Contains(strings.ToLower(v), "subscription") {
				t.Errorf("got %s", v)
			}
		})
	}
	t.Run("by a wider wildcard", func(t *testing.T) {
		stage := join(t, s, "stage")
		ch := newOutsider(t, s).subscribe(t, "vmscaler.>")
		if err := stage.nc.Publish("vmscaler.ctl.scale", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if err := stage.Publish(exampleHealth()); err != nil {
			t.Fatal(err)
		}
		if msg := receive(t, ch, "message"); msg.Subject != exampleHealth().Subject() {
			t.Errorf("got %s", msg.Subject)
		}
	})
}

// The stages' user exists in this process only, even for someone who knows its password.
func TestStageUserCannotLogInOverTheNetwork(t *testing.T) {
	s := startServer(t)
	for _, tt := range []struct{ name, user, password string }{
		{"stage", stageUser, s.password},
		{"stage, wrong password", stageUser, "x"},
		{"tap, wrong password", string(RoleTap), "x"},
		{"unknown", "root", "root"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nc, err := nats.Connect(s.URL(), nats.UserInfo(tt.user, tt.password))
			if err == nil {
				nc.Close()
			}
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("got %v, want an authorization error", err)
			}
		})
	}
}
