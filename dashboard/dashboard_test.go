package dashboard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a dashboard on a real bus whose time stands still but for the ticks that the test sends.
type rig struct {
	d       *Dashboard
	stage   *client.Conn
	server  *server.Server
	conn    *client.Conn
	ticks   chan time.Time
	signals chan<- os.Signal
	ready   chan struct{}
	seconds atomic.Int64
	cancel  context.CancelFunc
	done    chan error
}

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{server: server, ticks: make(chan time.Time), ready: make(chan struct{}), done: make(chan error, 1)}
	t.Cleanup(server.Stop)
	connect := func(name string) *client.Conn {
		conn, err := server.Connect(name, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	r.stage, r.conn = connect("stage"), connect("dashboard")
	cfg.Now = func() time.Time { return start.Add(time.Duration(r.seconds.Load()) * time.Second) }
	r.d, err = New(cfg, r.conn, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	// The ticker is made after subscribing: from then on nothing that is published is missed.
	r.d.ticker = func(time.Duration) (<-chan time.Time, func()) {
		close(r.ready)
		return r.ticks, func() {}
	}
	r.d.signals = func(c chan<- os.Signal) func() {
		r.signals = c
		return func() {}
	}
	return r
}

func (r *rig) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- r.d.Run(ctx) }()
	select {
	case <-r.ready:
	case err := <-r.done:
		t.Fatalf("Run ended: %v", err)
	}
}

// tick sends one tick, a second later; it returns when the one before was dealt with.
func (r *rig) tick() {
	r.seconds.Add(1)
	r.ticks <- start
}

func (r *rig) publish(t *testing.T) {
	t.Helper()
	out := decision("web", 1)
	out.Direction, out.Desired, out.Rule, out.Sentence = bus.Out, 3, bus.RuleAboveUpper, "scaling out: average 93 % > 70 % for 3 s"
	s, h := sample("web", "kvm1", 1, vm("web-1", ptr(93.0))), health("decider", 1)
	for _, err := range []error{
		r.stage.Publish(&s), r.stage.Publish(&h), r.stage.Publish(&out),
		r.stage.Publish(&bus.Event{
			V: bus.Version, Group: "web", VM: "web-2", Event: bus.EventCreating, Sentence: "cloning demo",
			Time: at(1),
		}),
		r.stage.Flush(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestPlainShowsWhatIsPublished(t *testing.T) {
	read, write := io.Pipe()
	r := newRig(t, Config{Out: write, Plain: true})
	r.start(t)
	r.publish(t)
	want := map[string]bool{
		"2026-01-02T15:04:06Z -  health        decider kvm1-4711 ok\n":                                                         true,
		"2026-01-02T15:04:06Z web  decision-out  desired 2 -> 3  rule above-upper  scaling out: average 93 % > 70 % for 3 s\n": true,
		"2026-01-02T15:04:06Z web  creating      web-2  cloning demo\n":                                                        true,
	}
	for range len(want) {
		buf := make([]byte, 1000)
		n, err := read.Read(buf) // one write, one line
		if err != nil {
			t.Fatal(err)
		}
		if l := string(buf[:n]); !want[l] {
			t.Errorf("got %q, want one of %v", l, want)
		} else {
			delete(want, l)
		}
	}
	r.stop(t)
}

func TestPlainEndsWhenNobodyReads(t *testing.T) {
	read, write := io.Pipe()
	read.Close()
	r := newRig(t, Config{Out: write, Plain: true})
	r.start(t)
	defer r.cancel()
	r.publish(t)
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "write") {
		t.Errorf("got %v, want the error of the write", err)
	}
}

func TestScreenShowsWhatIsPublished(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	out := record(master)
	before := termios(t, tty)
	quit := make(chan struct{})
	r := newRig(t, Config{Out: tty, In: tty, Style: Style{Unicode: true}, Quit: func() { close(quit) }})
	r.start(t)
	out.until(t, enterScreen)
	out.until(t, endFrame)
	r.publish(t)
	// When the messages have arrived is not ours to know: tick until all of them are on the screen.
	var seen strings.Builder
	for _, want := range []string{"decider", "web-1", "scaling out", "creating"} {
		for !strings.Contains(seen.String(), want) {
			r.tick()
			seen.WriteString(out.until(t, endFrame))
		}
	}

	resize(t, tty, 40, 10)
	r.signals <- unix.SIGWINCH
	if frame := out.until(t, endFrame); !strings.Contains(frame, clearAll) || strings.Contains(frame, "\x1b[11;1H") {
		t.Errorf("after a resize got %q, want a whole frame of ten lines", frame)
	}
	r.signals <- unix.SIGCONT
	out.until(t, enterScreen)

	if _, err := master.Write([]byte("x\x1b[Aq")); err != nil {
		t.Fatal(err)
	}
	<-quit
	r.stop(t)
	out.until(t, leaveScreen)
	if after := termios(t, tty); after != before {
		t.Errorf("settings %+v, want %+v", after, before)
	}
}

func TestScreenTellsOfALostBus(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	out := record(master)
	r := newRig(t, Config{Out: tty})
	r.start(t)
	for range 3 {
		r.tick()
	}
	r.tick()
	out.until(t, "waiting for the first sample; connected to ")
	r.server.Stop()
	for {
		r.tick()
		if strings.Contains(out.until(t, endFrame), "bus: no connection, trying again") {
			break
		}
	}
	r.stop(t)
}

func TestPanicGivesTheTerminalBack(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	out := record(master)
	before := termios(t, tty)
	r := newRig(t, Config{Out: tty, In: tty})
	now := r.d.cfg.Now
	r.d.cfg.Now = func() time.Time {
		if r.seconds.Load() > 0 {
			panic("a mistake")
		}
		return now()
	}
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		_ = r.d.Run(context.Background())
	}()
	out.until(t, endFrame) // the first frame is drawn before the clock moves, or it would be the one that panics
	r.tick()
	if got := <-ended; got != "a mistake" {
		t.Errorf("recovered %v, want the panic to go on", got)
	}
	out.until(t, leaveScreen)
	if after := termios(t, tty); after != before {
		t.Errorf("settings %+v, want %+v", after, before)
	}
}

func TestNewChecksItsConfig(t *testing.T) {
	_, err := New(Config{Refresh: -1}, nil, zerolog.Nop())
	for _, want := range []string{"no connection", "nowhere to draw", "refresh"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to mention %q", err, want)
		}
	}
	if _, err := New(Config{Out: &bytes.Buffer{}}, &client.Conn{}, zerolog.Nop()); err == nil ||
		!strings.Contains(err.Error(), "not a terminal") {
		t.Errorf("got %v, want a complaint about a buffer that is not a terminal", err)
	}
}

// operator is one that a test answers for.
type operator struct {
	asked  chan Change
	answer chan error
}

func (o operator) Past(context.Context) []any {
	e := bus.Event{Group: "web", VM: "web-9", Event: bus.EventFailed, Sentence: "of the past", Time: at(-600)}
	return []any{e, e}
}

func (o operator) Change(ctx context.Context, c Change) (string, error) {
	o.asked <- c
	select {
	case err := <-o.answer:
		return "done as asked", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// What is asked for with the keys reaches the operator once the question is answered, and what it says reaches the screen; a
// slow one holds nothing up, and ends with the dashboard.
func TestScreenChangesThings(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	out := record(master)
	o := operator{make(chan Change), make(chan error)}
	r := newRig(t, Config{Out: tty, In: tty, Operator: o})
	r.start(t)
	r.publish(t)
	seen := ""
	for !strings.Contains(seen, "web-1") || !strings.Contains(seen, "of the past") {
		r.tick()
		seen += out.until(t, endFrame)
	}
	write := func(text string) {
		t.Helper()
		if _, err := master.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("jp")
	out.until(t, "pause web? y/n")
	write("y")
	if got := <-o.asked; got != (Change{Kind: ChangePause, Group: "web"}) {
		t.Errorf("asked for %+v", got)
	}
	out.until(t, "asking ...")
	write("jty")
	out.until(t, "the change before is not answered yet")
	o.answer <- nil
	out.until(t, "done as asked")
	write("s4\ry")
	if got := <-o.asked; got != (Change{Kind: ChangeScale, Group: "web", Desired: 4}) {
		t.Errorf("asked for %+v", got)
	}
	o.answer <- errors.New("max is 5\x1b[2J")
	if got := out.until(t, "max is 5"); !strings.Contains(got, "not changed: ") {
		t.Errorf("got %q, want that it is not changed", got)
	}
	write("py")
	<-o.asked
	r.stop(t) // in the middle of a question to the bus
}

func TestScreenSaysThatItIsReadOnly(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	out := record(master)
	r := newRig(t, Config{Out: tty, In: tty, ReadOnly: "no key of an operator"})
	r.start(t)
	out.until(t, "read-only")
	r.publish(t)
	seen := ""
	for !strings.Contains(seen, "web-1") {
		r.tick()
		seen += out.until(t, endFrame)
	}
	if _, err := master.WriteString("p"); err != nil {
		t.Fatal(err)
	}
	out.until(t, "no key of an operator")
	r.stop(t)
}
