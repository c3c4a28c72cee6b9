package server_test

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/server"
)

func TestCheckListen(t *testing.T) {
	for _, tt := range []struct{ listen, want string }{
		{bus.DefaultListen, ""},
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
			err := bus.CheckListen(tt.listen, false)
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
	s, err := server.Start(server.Config{Listen: "0.0.0.0:0"}, bustest.Quiet)
	if err == nil {
		s.Stop()
		t.Fatal("it listens for everybody")
	}
	if errors.Is(err, server.ErrListenTaken) {
		t.Errorf("got %v", err)
	}
}

func TestServerListensOnLoopbackOnly(t *testing.T) {
	s := bustest.StartServer(t)
	host, _, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("listens on %s", s.URL())
	}
}

func TestServerPortTaken(t *testing.T) {
	first := bustest.StartServer(t)
	second, err := server.Start(server.Config{Listen: strings.TrimPrefix(first.URL(), "nats://")}, bustest.Quiet)
	if err == nil {
		second.Stop()
	}
	if !errors.Is(err, server.ErrListenTaken) {
		t.Errorf("got %v, want ErrListenTaken", err)
	}
}

func TestServerStopLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(s.URL(), "nats://")
	c, err := s.Connect("stage", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	bustest.Subscribe[bus.Sample](t, c, bus.AllSamples)
	if err := c.Publish(bustest.Sample()); err != nil {
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
	s := bustest.StartServer(t)
	c := bustest.Join(t, s, "stage")
	samples := bustest.Subscribe[bus.Sample](t, c, bus.AllSamples)
	if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	bustest.Receive(t, signals, "signal")
	if err := c.Publish(bustest.Sample()); err != nil {
		t.Fatal(err)
	}
	bustest.Receive(t, samples, "sample after the signal")
}

func TestOutsiderMayWatch(t *testing.T) {
	s := bustest.StartServer(t)
	stage := bustest.Join(t, s, "stage")
	for _, tt := range []struct {
		subject string
		m       bus.Outgoing
	}{
		{bus.AllSamples, bustest.Sample()},
		{bus.AllDecisions, bustest.Decision()},
		{bus.AllEvents, bustest.Event()},
		{bus.AllHealth, bustest.Health()},
		{"vmscaler.>", bustest.Event()},
		{"vmscaler.decision.web.*", bustest.Decision()},
	} {
		t.Run(tt.subject, func(t *testing.T) {
			o := bustest.NewOutsider(t, s)
			ch := o.Subscribe(t, tt.subject)
			if err := stage.Publish(tt.m); err != nil {
				t.Fatal(err)
			}
			msg := bustest.Receive(t, ch, "message")
			want, _ := json.Marshal(tt.m)
			if msg.Subject != tt.m.Subject() || string(msg.Data) != string(want) {
				t.Errorf("got %s %s", msg.Subject, msg.Data)
			}
			if len(o.Violations) > 0 {
				t.Error(<-o.Violations)
			}
		})
	}
}

// Nobody outside can make the stages believe anything.
func TestOutsiderMayNotPublish(t *testing.T) {
	s := bustest.StartServer(t)
	stage := bustest.Join(t, s, "stage")
	decisions := bustest.Subscribe[bus.Decision](t, stage, bus.AllDecisions)
	forged, honest := bustest.Decision(), bustest.Decision()
	forged.ID, forged.Desired = "forged", 5
	data, err := json.Marshal(forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{
		forged.Subject(), bustest.Sample().Subject(), "vmscaler.ctl.scale", "_INBOX.x", "_VMSCALER.operator.x", "$JS.API.INFO",
		"$SYS.REQ.SERVER.PING", "anything",
	} {
		t.Run(subject, func(t *testing.T) {
			o := bustest.NewOutsider(t, s)
			if err := o.NC.Publish(subject, data); err != nil {
				t.Fatal(err)
			}
			o.Flush(t)
			if v := bustest.Receive(t, o.Violations, "permission violation"); !strings.Contains(strings.ToLower(v), "publish") {
				t.Errorf("got %s", v)
			}
		})
	}
	if err := stage.Publish(honest); err != nil {
		t.Fatal(err)
	}
	if d := bustest.Receive(t, decisions, "decision"); d.ID != honest.ID {
		t.Errorf("a stage got %+v", d)
	}
}

// A queue subscriber among the operators' requests would swallow them, and another's inbox has their answers.
func TestOutsiderMayNotListenIn(t *testing.T) {
	s := bustest.StartServer(t)
	for _, subject := range []string{
		"vmscaler.ctl.>", "vmscaler.ctl.scale", "_VMSCALER.>", "_VMSCALER.operator.>", "$JS.>", "$SRV.>", ">", "*.>", "$SYS.>", "other",
	} {
		t.Run(subject, func(t *testing.T) {
			o := bustest.NewOutsider(t, s)
			o.Subscribe(t, subject)
			if v := bustest.Receive(t, o.Violations, "permission violation"); !strings.Contains(strings.ToLower(v), "subscription") {
				t.Errorf("got %s", v)
			}
		})
	}
	t.Run("by a wider wildcard", func(t *testing.T) {
		stage := bustest.Join(t, s, "stage")
		ch := bustest.NewOutsider(t, s).Subscribe(t, "vmscaler.>")
		if err := stage.NATS().Publish("vmscaler.ctl.scale", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if err := stage.Publish(bustest.Health()); err != nil {
			t.Fatal(err)
		}
		if msg := bustest.Receive(t, ch, "message"); msg.Subject != bustest.Health().Subject() {
			t.Errorf("got %s", msg.Subject)
		}
	})
}

// The stages' user exists in this process only, even for someone who knows its password.
func TestStageUserCannotLogInOverTheNetwork(t *testing.T) {
	s := bustest.StartServer(t)
	for _, tt := range []struct{ name, user, password string }{
		{"stage", server.StageUser, s.Password()},
		{"stage, wrong password", server.StageUser, "x"},
		{"tap, wrong password", string(bus.RoleTap), "x"},
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
