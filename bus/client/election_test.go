package client_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// candidate campaigns until stop.
type candidate struct {
	*client.Leadership
	stop func()
}

func campaign(t *testing.T, c *client.Conn, holder string, now time.Time) candidate {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l, done := client.NewLeadership(), make(chan struct{})
	go func() {
		defer close(done)
		c.Campaign(ctx, holder, func() time.Time { return now }, l)
	}()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	<-l.Settled()
	return candidate{l, stop}
}

func (c candidate) leads() bool {
	_, leads := c.Term()
	return leads
}

func (c candidate) term() int64 {
	term, _ := c.Term()
	return term
}

func at(ms int64) time.Time { return time.UnixMilli(ms) }

// lockServer has a lock that runs out soon.
func lockServer(t *testing.T, dir string, ttl time.Duration) *server.Server {
	t.Helper()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	c := bustest.Join(t, s, "test")
	js, err := jetstream.New(c.NATS())
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteKeyValue(bustest.Limit(t), bus.LockBucket); err != nil {
		t.Fatal(err)
	}
	if err := client.EnsureStore(bustest.Limit(t), c, ttl); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOneOfManyLeads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := lockServer(t, dir, 300*time.Millisecond)
	var all []candidate
	for i, name := range []string{"a", "b", "c"} {
		all = append(all, campaign(t, bustest.DialAs(t, s, dir, bus.RoleDecider, bustest.Quiet), name, at(1000+int64(i))))
	}
	leaders := func() (n int) {
		for _, c := range all {
			if c.leads() {
				n++
			}
		}
		return n
	}
	if n := leaders(); n != 1 {
		t.Fatalf("%d lead", n)
	}
	bustest.Eventually(t, "the others know who leads", func() bool {
		return all[0].Other() == "" && all[1].Other() == "a" && all[2].Other() == "a"
	})
	first := all[0]
	if !first.leads() || first.term() != 1000 {
		t.Fatalf("the first leads: %t, in term %d", first.leads(), first.term())
	}
	first.stop() // and makes way
	bustest.Eventually(t, "another leads", func() bool { return leaders() == 1 && !first.leads() })
	bustest.Eventually(t, "the last knows the next", func() bool {
		b, c := all[1], all[2]
		return b.leads() && b.Other() == "" && c.Other() == "b" || c.leads() && c.Other() == "" && b.Other() == "c"
	})
	for _, c := range all[1:] {
		if c.leads() && c.term() <= 1000 {
			t.Errorf("its term %d is not above 1000", c.term())
		}
	}
}

// Whoever was cut off stops by itself before another can begin, and has no way back into its old term.
func TestLeaderThatIsCutOffStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := lockServer(t, dir, 600*time.Millisecond)
	conn := bustest.DialAs(t, s, dir, bus.RoleDecider, bustest.Quiet)
	first := campaign(t, conn, "first", at(1000))
	second := campaign(t, bustest.DialAs(t, s, dir, bus.RoleDecider, bustest.Quiet), "second", at(500)) // its clock is behind
	if !first.leads() || second.leads() {
		t.Fatal("the first does not lead")
	}
	conn.Close() // its campaign gives no more signs
	overlap := false
	bustest.Eventually(t, "the second leads", func() bool {
		two := second.leads()
		overlap = overlap || two && first.leads()
		return two
	})
	if overlap || first.leads() {
		t.Error("both led at the same time")
	}
	if term := second.term(); term != 1001 {
		t.Errorf("the second's term is %d, want 1001, above the first's whatever its clock says", term)
	}
}

// A lock that someone took away by force is not taken back into the same term.
func TestLeaderWhoseLockWasTakenStops(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := lockServer(t, dir, 300*time.Millisecond)
	first := campaign(t, bustest.Join(t, s, "decider"), "first", at(1000))
	js, err := jetstream.New(bustest.Join(t, s, "test").NATS())
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(bustest.Limit(t), bus.LockBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(bustest.Limit(t), client.LockKey, []byte(`{"holder":"robber","term":2000}`)); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, "the first has stopped", func() bool { return !first.leads() })
	bustest.Eventually(
		t,
		"the first leads again, as the robber gives no sign",
		func() bool { return first.leads() && first.term() > 1000 },
	)
}

// Terms go on after a restart of the bus and, by the clock, after the loss of all that it kept. The lock does not
// outlive the bus, so that nobody waits for a holder that ended with it.
func TestTermsGrow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(dir string, now time.Time) int64 {
		s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		c, err := s.Connect("decider", bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l := campaign(t, c, now.String(), now)
		if !l.leads() {
			t.Fatal("it does not lead at once")
		}
		defer l.stop()
		return l.term()
	}
	for i, step := range []struct {
		dir  string
		now  int64
		want int64
	}{{dir, 5000, 5000}, {dir, 6000, 6000}, {dir, 100, 6001}, {t.TempDir(), 7000, 7000}, {"", 8000, 8000}} {
		if got := run(step.dir, at(step.now)); got != step.want {
			t.Errorf("start %d: term %d, want %d", i, got, step.want)
		}
	}
}

// A process that has heard another lead does so in a later term than that one, also where the bus has lost what it kept and the
// clocks differ; a term that only a wrong clock can have made it does not go by.
func TestTermIsAboveThoseHeard(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tt := range map[string]struct{ heard, want int64 }{
		"a clock that is ahead":     {now.UnixMilli() + 3000, now.UnixMilli() + 3001},
		"one that is behind":        {now.UnixMilli() - 3000, now.UnixMilli()},
		"one that is out of bounds": {now.Add(2 * bus.TermAhead).UnixMilli(), now.UnixMilli()},
	} {
		l := client.NewLeadership()
		l.Heard(tt.heard)
		if got := client.LeastTerm(l, now); got != tt.want {
			t.Errorf("%s: the next term is %d, want %d", name, got, tt.want)
		}
	}
}

// Without JetStream nobody can be elected, and each leads by itself.
func TestWithoutStoreEachLeads(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	for _, name := range []string{"a", "b"} {
		if c := campaign(t, bustest.Join(t, s, "decider"), name, at(1000)); !c.leads() || c.term() != 1000 {
			t.Errorf("%s: leads %t, term %d", name, c.leads(), c.term())
		}
	}
}
