package bus

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

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// What anybody on this machine may try without credentials. None of it may take memory, disk or the decisions away: what is
// counted are lines, connections and bytes, and decisions by their number.

// hostile is a client of no library, which reads nothing unless it is told to.
type hostile struct {
	net.Conn
	t *testing.T
}

func newHostile(t *testing.T, s *Server) hostile {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(limit(t), "tcp", s.ns.Addr().String())
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
	decider   *Conn
	decisions <-chan Decision
	seq       uint64
}

func newPipeline(t *testing.T, s *Server) *pipeline {
	t.Helper()
	return &pipeline{t: t, decider: join(t, s, string(RoleDecider)), decisions: subscribe[Decision](t, join(t, s, string(RoleActuator)), AllDecisions)}
}

// flows checks that each of some decisions arrives, and that they do in their order.
func (p *pipeline) flows() {
	p.t.Helper()
	for range 50 {
		p.seq++
		d := exampleDecision()
		d.Seq = p.seq
		publishAll(p.t, p.decider, d)
		if got := receive(p.t, p.decisions, "decision"); got.Seq != p.seq {
			p.t.Fatalf("got decision %d, want %d", got.Seq, p.seq)
		}
	}
}

func connections(t *testing.T, s *Server) []*server.ConnInfo {
	t.Helper()
	z, err := s.ns.Connz(&server.ConnzOptions{Username: true})
	if err != nil {
		t.Fatal(err)
	}
	return z.Conns
}

func taps(t *testing.T, s *Server) []*server.ConnInfo {
	t.Helper()
	return slices.DeleteFunc(connections(t, s), func(c *server.ConnInfo) bool { return c.AuthorizedUser != string(RoleTap) })
}

// startLogged is a server whose log is looked at.
func startLogged(t *testing.T) (*Server, *logLines) {
	t.Helper()
	log := &logLines{}
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0"}, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, log
}

// few checks that a flood cost a few lines, none of them long, one of which says how much was left out.
func few(t *testing.T, log *logLines) {
	t.Helper()
	lines := log.with("")
	if most := 4 * throttleLines; len(lines) > most {
		t.Errorf("%d lines in the log, want %d at most; the last: %s", len(lines), most, lines[len(lines)-1])
	}
	for _, line := range lines {
		if len(line) > 3*maxLogText {
			t.Errorf("a line of %d bytes: %.100s...", len(line), line)
		}
	}
}

func TestManySubscriptionsOfOneClient(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	p := newPipeline(t, s)
	before := int(s.ns.NumSubscriptions())
	h := newHostile(t, s)
	in := bufio.NewReader(h)
	h.untilPong(in)
	const flood = 10 * maxSubscriptions
	var subs strings.Builder
	for i := range flood {
		fmt.Fprintf(&subs, "SUB vmscaler.a%d %d\r\n", i, i)
	}
	go h.send(subs.String(), "PING\r\n")
	refused := h.untilPong(in)
	cut := len(refused) > 0 && !strings.HasPrefix(refused[len(refused)-1], "-ERR") // by the guard already
	if len(refused) < flood-maxSubscriptions && !cut {
		t.Errorf("%d of %d were refused, want all but %d", len(refused), flood, maxSubscriptions)
	}
	p.flows()
	if n := int(s.ns.NumSubscriptions()) - before; n > maxSubscriptions {
		t.Errorf("it has %d subscriptions, want %d at most", n, maxSubscriptions)
	}
	guard(s.ns, s.lines, quiet)
	eventually(t, "the greedy tap is cut", func() bool { return len(taps(t, s)) == 0 })
	if n := int(s.ns.NumSubscriptions()); n != before {
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
		for i := range maxTapSubscriptions {
			h.send(fmt.Sprintf("SUB _INBOX.> %d\r\n", i))
		}
		h.send("PING\r\n")
	}
	eventually(t, "all listen", func() bool {
		n := 0
		for _, c := range taps(t, s) {
			if c.NumSubs == maxTapSubscriptions {
				n++
			}
		}
		return n == listeners
	})
	requests := make(chan Request)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := p.decider.Serve(ctx, "decider", "", []string{VerbStatus}, requests); err != nil {
		t.Fatal(err)
	}
	answer := exampleStatus()
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
	asker := newOutsider(t, s)
	for range 40 { // 200 KiB to each subscription of each listener: 5 GiB, if all were kept
		if err := asker.nc.PublishRequest("vmscaler.ctl.status", "_INBOX.x", nil); err != nil {
			t.Fatal(err)
		}
		if err := asker.nc.FlushWithContext(limit(t)); err != nil {
			t.Fatal(err)
		}
		guard(s.ns, s.lines, quiet)
		pending := 0
		for _, c := range taps(t, s) {
			pending += c.Pending
		}
		if most := maxTapsPending + listeners*maxTapSubscriptions*(256<<10); pending > most { // with one more answer to each
			t.Fatalf("%d bytes are kept for taps, want %d at most", pending, most)
		}
	}
	eventually(t, "who does not read is cut", func() bool { return len(taps(t, s)) == 1 })
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
	s.lines.close()
	if lines := log.with("more like it"); len(lines) == 0 {
		t.Error("the log does not say that more was left out")
	}
}

func TestFloodOfRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	var dropped logLines
	decider, err := s.Connect(string(RoleDecider), dropped.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(decider.Close)
	p := &pipeline{t: t, decider: decider, decisions: subscribe[Decision](t, join(t, s, string(RoleActuator)), AllDecisions)}
	if err := decider.Serve(t.Context(), "decider", "", []string{VerbStatus}, make(chan Request)); err != nil {
		t.Fatal(err)
	}
	asker := newOutsider(t, s)
	for range 20_000 {
		if err := asker.nc.PublishRequest("vmscaler.ctl.status", "_INBOX.x", []byte("  ")); err != nil {
			t.Fatal(err)
		}
	}
	asker.flush(t)
	p.flows()
	eventually(t, "they are dropped", func() bool { return decider.Dropped() > throttleLines })
	few(t, log)
	few(t, &dropped)
}

// Requests that nobody takes are refused at once beyond a few, whatever else waits.
func TestTooManyRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	decider := join(t, s, string(RoleDecider))
	requests := make(chan Request) // nobody takes them
	if err := decider.Serve(t.Context(), "decider", "", []string{VerbStatus, VerbPause}, requests); err != nil {
		t.Fatal(err)
	}
	asker := newOutsider(t, s)
	answers := asker.subscribe(t, "_INBOX.flood")
	const asked = maxRequests + 10
	for range asked {
		if err := asker.nc.PublishRequest("vmscaler.ctl.status", "_INBOX.flood", nil); err != nil {
			t.Fatal(err)
		}
	}
	for range asked - maxRequests - 1 { // one is being dealt with
		msg := receive(t, answers, "refusal")
		if code := msg.Header.Get("Nats-Service-Error-Code"); code != busyRefusal {
			t.Fatalf("got code %q, %q", code, msg.Header.Get("Nats-Service-Error"))
		}
	}
	// Those of another kind are not held up: the operator's own is taken first.
	go func() { _, _ = Ask[Controls](t.Context(), join(t, s, string(RoleOperator)), VerbPause, Query{}) }()
	eventually(t, "the operator's request arrives", func() bool {
		r := receive(t, requests, "request")
		if r.Verb == VerbPause {
			_ = r.Answer(&Controls{Paused: []Scope{}})
			return true
		}
		r.Ignore()
		return false
	})
}

func TestTooManyTaps(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	p := newPipeline(t, s)
	for range 2 * maxConnections {
		newHostile(t, s).takeAll()
	}
	if n := len(connections(t, s)); n > maxConnections {
		t.Errorf("%d connections, want %d at most", n, maxConnections)
	}
	guard(s.ns, s.lines, quiet)
	eventually(t, "taps leave room for others", func() bool { return len(taps(t, s)) <= maxTaps })
	newOutsider(t, s).flush(t)
	p.flows()
	few(t, log)
}

// Each tap is looked at by itself; those that take too much go, those that came first and take little stay.
func TestTooGreedy(t *testing.T) {
	t.Parallel()
	var all []*server.ConnInfo
	add := func(n, subs, pending int) (first, last uint64) {
		first = uint64(len(all) + 1)
		for range n {
			all = append(all, &server.ConnInfo{Cid: uint64(len(all) + 1), NumSubs: uint32(subs), Pending: pending})
		}
		return first, uint64(len(all))
	}
	modest, _ := add(1, 2, 0)
	listening, _ := add(1, maxTapSubscriptions, 1<<20)
	subscriber, _ := add(1, maxTapSubscriptions+1, 0)
	unread, _ := add(1, 1, maxTapPending+1)
	_, most := add(maxTapsPending/maxTapPending, 1, maxTapPending-1) // with the MiB above it is too much for all
	add(maxTaps-2-maxTapsPending/maxTapPending, 1, 0)
	newest, _ := add(1, 1, 0)
	out := tooGreedy(all)
	for cid, want := range map[uint64]string{modest: "", listening: "", subscriber: "subscriptions", unread: "has not read", most: "", newest: "without credentials"} {
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
	s := startServer(t)
	sender := join(t, s, "sender")
	seen := collect(t, join(t, s, "receiver"), "vmscaler.>")
	body := bytes.Repeat([]byte("x"), maxPayload)
	const messages = 5
	for range messages {
		if err := sender.nc.Publish("vmscaler.other", body); err != nil {
			t.Fatal(err)
		}
		receive(t, seen, "message")
	}
	if err := sender.nc.Publish("vmscaler.other", append(body, 'x')); err != nats.ErrMaxPayload { //nolint:errorlint // it is given as it is
		t.Errorf("a larger one: got %v", err)
	}
}
