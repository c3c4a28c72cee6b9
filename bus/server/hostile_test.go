package server_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/internal/throttle"
	"github.com/vmscaler/vmscaler/bus/server"
)

// What anybody on this machine may try without credentials. None of it may take memory, disk or the decisions away: what is
// counted are lines, connections and bytes, and decisions by their number.

// hostile is a client of no library, which reads nothing unless it is told to.
type hostile struct {
	net.Conn
	t *testing.T
}

func newHostile(t *testing.T, s *server.Server) hostile {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(bustest.Limit(t), "tcp", s.NS().Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	h := hostile{conn, t}
	h.send("CONNECT {\"verbose\":false}\r\nPING\r\n")
	return h
}

// send writes what it can; the server may end the connection meanwhile.
func (h hostile) send(lines ...string) { _, _ = io.WriteString(h, strings.Join(lines, "")) }

// takeAll reads until the server ends the connection or the test does.
func (h hostile) takeAll() { go func() { _, _ = io.Copy(io.Discard, h) }() }

// untilPong reads what the server refuses up to its answer to a ping.
func (h hostile) untilPong(in *bufio.Reader) (said []string) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return append(said, err.Error())
		}
		if strings.HasPrefix(line, "PONG") {
			return said
		}
		if strings.HasPrefix(line, "-ERR") {
			said = append(said, strings.TrimSpace(line))
		}
	}
}

// pipeline is a decider and an actuator on the bus, between which decisions must flow.
type pipeline struct {
	t         *testing.T
	decider   *client.Conn
	decisions <-chan bus.Decision
	seq       uint64
}

func newPipeline(t *testing.T, s *server.Server) *pipeline {
	t.Helper()
	return &pipeline{
		t:         t,
		decider:   bustest.Join(t, s, string(bus.RoleDecider)),
		decisions: bustest.Subscribe[bus.Decision](t, bustest.Join(t, s, string(bus.RoleActuator)), bus.AllDecisions),
	}
}

// flows checks that each of some decisions arrives, and that they do in their order.
func (p *pipeline) flows() {
	p.t.Helper()
	for range 50 {
		p.seq++
		d := bustest.Decision()
		d.Seq = p.seq
		bustest.PublishAll(p.t, p.decider, d)
		if got := bustest.Receive(p.t, p.decisions, "decision"); got.Seq != p.seq {
			p.t.Fatalf("got decision %d, want %d", got.Seq, p.seq)
		}
	}
}

func connections(t *testing.T, s *server.Server) []*natsserver.ConnInfo {
	t.Helper()
	z, err := s.NS().Connz(&natsserver.ConnzOptions{Username: true})
	if err != nil {
		t.Fatal(err)
	}
	return z.Conns
}

func taps(t *testing.T, s *server.Server) []*natsserver.ConnInfo {
	t.Helper()
	return slices.DeleteFunc(connections(t, s), func(c *natsserver.ConnInfo) bool { return c.AuthorizedUser != string(bus.RoleTap) })
}

// startLogged is a server whose log is looked at.
func startLogged(t *testing.T) (*server.Server, *bustest.LogLines) {
	t.Helper()
	log := &bustest.LogLines{}
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, log
}

// few checks that a flood cost a few lines, none of them long, one of which says how much was left out.
func few(t *testing.T, log *bustest.LogLines) {
	t.Helper()
	lines := log.With("")
	if most := 4 * throttle.Lines; len(lines) > most {
		t.Errorf("%d lines in the log, want %d at most; the last: %s", len(lines), most, lines[len(lines)-1])
	}
	for _, line := range lines {
		if len(line) > 3*bus.MaxLogText {
			t.Errorf("a line of %d bytes: %.100s...", len(line), line)
		}
	}
}

func TestManySubscriptionsOfOneClient(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	p := newPipeline(t, s)
	before := int(s.NS().NumSubscriptions())
	h := newHostile(t, s)
	in := bufio.NewReader(h)
	h.untilPong(in)
	const flood = 10 * server.MaxSubscriptions
	var subs strings.Builder
	for i := range flood {
		fmt.Fprintf(&subs, "SUB vmscaler.a%d %d\r\n", i, i)
	}
	go h.send(subs.String(), "PING\r\n")
	refused := h.untilPong(in)
	cut := len(refused) > 0 && !strings.HasPrefix(refused[len(refused)-1], "-ERR") // by the guard already
	if len(refused) < flood-server.MaxSubscriptions && !cut {
		t.Errorf("%d of %d were refused, want all but %d", len(refused), flood, server.MaxSubscriptions)
	}
	p.flows()
	if n := int(s.NS().NumSubscriptions()) - before; n > server.MaxSubscriptions {
		t.Errorf("it has %d subscriptions, want %d at most", n, server.MaxSubscriptions)
	}
	server.Guard(s.NS(), s.Lines(), bustest.Quiet)
	bustest.Eventually(t, "the greedy tap is cut", func() bool { return len(taps(t, s)) == 0 })
	if n := int(s.NS().NumSubscriptions()); n != before {
		t.Errorf("%d subscriptions are left, want %d", n, before)
	}
	p.flows()
	few(t, log)
}

// Answers that nobody reads: each goes to all who listen at any inbox.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	p := newPipeline(t, s)
	const listeners = 20
	for range listeners {
		h := newHostile(t, s)
		_ = h.Conn.(*net.TCPConn).SetReadBuffer(4096)
		for i := range server.MaxTapSubscriptions {
			h.send(fmt.Sprintf("SUB _INBOX.> %d\r\n", i))
		}
		h.send("PING\r\n")
	}
	bustest.Eventually(t, "all listen", func() bool {
		n := 0
		for _, c := range taps(t, s) {
			if c.NumSubs == server.MaxTapSubscriptions {
				n++
			}
		}
		return n == listeners
	})
	requests := make(chan client.Request)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := p.decider.Serve(ctx, "decider", "", []string{bus.VerbStatus}, requests); err != nil {
		t.Fatal(err)
	}
	answer := bustest.Status()
	answer.Stages[0].Message = strings.Repeat("x", 200<<10)
	go func() {
		for {
			select {
			case r := <-requests:
				_ = r.Answer(answer)
			case <-ctx.Done():
				return
			}
		}
	}()
	asker := bustest.NewOutsider(t, s)
	for range 40 { // 200 KiB to each subscription of each listener: 5 GiB, if all were kept
		if err := asker.NC.PublishRequest("vmscaler.ctl.status", "_INBOX.x", nil); err != nil {
			t.Fatal(err)
		}
		if err := asker.NC.FlushWithContext(bustest.Limit(t)); err != nil {
			t.Fatal(err)
		}
		server.Guard(s.NS(), s.Lines(), bustest.Quiet)
		pending := 0
		for _, c := range taps(t, s) {
			pending += c.Pending
		}
		if most := server.MaxTapsPending +
			listeners*server.MaxTapSubscriptions*(256<<10); pending > most { // with one more answer to each
			t.Fatalf("%d bytes are kept for taps, want %d at most", pending, most)
		}
	}
	bustest.Eventually(t, "who does not read is cut", func() bool { return len(taps(t, s)) == 1 })
	p.flows()
	few(t, log)
}

func TestForbiddenMessagesWithLongSubjects(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	p := newPipeline(t, s)
	h := newHostile(t, s)
	const flood = 20_000
	line := "PUB " + strings.Repeat("x", 900) + " 0\r\n\r\n"
	in := bufio.NewReader(h)
	h.untilPong(in)
	go h.send(strings.Repeat(line, flood), "PING\r\n")
	if said := h.untilPong(in); len(said) != flood {
		t.Errorf("it was told %d times that it may not, want %d: %.100q", len(said), flood, said[len(said)-1])
	}
	p.flows()
	few(t, log)
	s.Lines().Close()
	if lines := log.With("more like it"); len(lines) == 0 {
		t.Error("the log does not say that more was left out")
	}
}

func TestFloodOfRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	var dropped bustest.LogLines
	decider, err := s.Connect(string(bus.RoleDecider), dropped.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(decider.Close)
	p := &pipeline{
		t:         t,
		decider:   decider,
		decisions: bustest.Subscribe[bus.Decision](t, bustest.Join(t, s, string(bus.RoleActuator)), bus.AllDecisions),
	}
	if err := decider.Serve(t.Context(), "decider", "", []string{bus.VerbStatus}, make(chan client.Request)); err != nil {
		t.Fatal(err)
	}
	asker := bustest.NewOutsider(t, s)
	for range 20_000 {
		if err := asker.NC.PublishRequest("vmscaler.ctl.status", "_INBOX.x", []byte("  ")); err != nil {
			t.Fatal(err)
		}
	}
	asker.Flush(t)
	p.flows()
	bustest.Eventually(t, "they are dropped", func() bool { return decider.Dropped() > throttle.Lines })
	few(t, log)
	few(t, &dropped)
}

func TestTooManyTaps(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	p := newPipeline(t, s)
	for range 2 * server.MaxConnections {
		newHostile(t, s).takeAll()
	}
	if n := len(connections(t, s)); n > server.MaxConnections {
		t.Errorf("%d connections, want %d at most", n, server.MaxConnections)
	}
	server.Guard(s.NS(), s.Lines(), bustest.Quiet)
	bustest.Eventually(t, "taps leave room for others", func() bool { return len(taps(t, s)) <= server.MaxTaps })
	bustest.NewOutsider(t, s).Flush(t)
	p.flows()
	few(t, log)
}

// Each tap is looked at by itself; those that take too much go, those that came first and take little stay.
func TestTooGreedy(t *testing.T) {
	t.Parallel()
	var all []*natsserver.ConnInfo
	add := func(n, subs, pending int) (first, last uint64) {
		first = uint64(len(all) + 1)
		for range n {
			all = append(all, &natsserver.ConnInfo{Cid: uint64(len(all) + 1), NumSubs: uint32(subs), Pending: pending})
		}
		return first, uint64(len(all))
	}
	modest, _ := add(1, 2, 0)
	listening, _ := add(1, server.MaxTapSubscriptions, 1<<20)
	subscriber, _ := add(1, server.MaxTapSubscriptions+1, 0)
	unread, _ := add(1, 1, server.MaxTapPending+1)
	full := (server.MaxTapsPending-1<<20)/(server.MaxTapPending-1) + 1 // with the MiB above they are one too many
	_, most := add(full, 1, server.MaxTapPending-1)
	add(server.MaxTaps-2-full, 1, 0)
	newest, _ := add(1, 1, 0)
	out := server.TooGreedy(all)
	for cid, want := range map[uint64]string{
		modest: "", listening: "", subscriber: "subscriptions", unread: "has not read",
		most: "", newest: "without credentials",
	} {
		if got := out[cid]; want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("client %d: got %q, want %q", cid, got, want)
		}
	}
	if len(out) != 4 { // one of those with the most
		t.Errorf("%d are cut, want 4: %v", len(out), out)
	}
}

// The largest message that is allowed reaches a client that reads, and several of them at once do not end a connection.
func TestLargestMessagesFitThePending(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	sender := bustest.Join(t, s, "sender")
	seen := bustest.Collect(t, bustest.Join(t, s, "receiver"), "vmscaler.>")
	body := bytes.Repeat([]byte("x"), bus.MaxPayload)
	const messages = 5
	for range messages {
		if err := sender.NATS().Publish("vmscaler.other", body); err != nil {
			t.Fatal(err)
		}
		bustest.Receive(t, seen, "message")
	}
	if err := sender.NATS().Publish("vmscaler.other",
		append(body, 'x')); err != nats.ErrMaxPayload { //nolint:errorlint // it is given as it is
		t.Errorf("a larger one: got %v", err)
	}
}
