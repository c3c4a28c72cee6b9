package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

func TestDropsSample(t *testing.T)   { drops(t, exampleSample()) }
func TestDropsDecision(t *testing.T) { drops(t, exampleDecision()) }
func TestDropsEvent(t *testing.T)    { drops(t, exampleEvent()) }
func TestDropsHealth(t *testing.T)   { drops(t, exampleHealth()) }

// drops checks that each bad message costs one line in the log and one count, and that the next good one arrives.
func drops[T any, PT interface {
	*T
	outgoing
}](t *testing.T, good PT,
) {
	t.Parallel()
	s := startServer(t)
	sender := join(t, s, "sender")
	var log logLines
	receiver, err := s.Connect("receiver", log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	messages := subscribe[T, PT](t, receiver, "vmscaler.>")
	data, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	for i, bad := range []struct{ name, data string }{
		{"empty", ``},
		{"cut off", string(data[:len(data)/2])},
		{"two of them", string(data) + string(data)},
		{"another type", `"` + strings.Repeat("x", 10) + `"`},
		{"of nothing", `null`},
		{"without its fields", `{"v":1}`},
		{"of a later version", strings.Replace(string(data), `"v":1`, `"v":2`, 1)},
		{"of no version", strings.Replace(string(data), `"v":1,`, ``, 1)},
		{"not text", "\xff\xfe\x00\n\r\x1b[2J"},
		{"nested without end", strings.Repeat("[", 1<<20)},
		{"huge", strings.Repeat("x", maxPayload-1)},
	} {
		publish(t, sender, good.Subject(), []byte(bad.data))
		if err := sender.Publish(good); err != nil {
			t.Fatal(err)
		}
		got := receive(t, messages, "message after one that is "+bad.name)
		if again, _ := json.Marshal(PT(&got)); !bytes.Equal(again, data) {
			t.Errorf("%s: came through as %s", bad.name, again)
		}
		if n := receiver.Dropped(); n != uint64(i+1) {
			t.Errorf("%s: counted %d, want %d", bad.name, n, i+1)
		}
		lines := log.with("dropped a message on " + good.Subject())
		if len(lines) != i+1 {
			t.Fatalf("%s: %d lines in the log, want %d: %q", bad.name, len(lines), i+1, lines)
		}
		if line := lines[i]; len(line) > 500 || !strings.Contains(line, `"error":"decode`) || !json.Valid([]byte(line)) {
			t.Errorf("%s: logged %.500q", bad.name, line)
		}
	}
	if n := sender.Dropped(); n > 0 {
		t.Errorf("the sender counted %d", n)
	}
}

// A receiver that does not use a message (it expired, or comes again) says so in the same way.
func TestDropIsLoggedAndCounted(t *testing.T) {
	t.Parallel()
	var log logLines
	c, err := startServer(t).Connect("actuator", log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for i, why := range []string{"it expired", "it comes again"} {
		c.Drop("vmscaler.decision.web.out", errors.New(why))
		if n := c.Dropped(); n != uint64(i+1) {
			t.Errorf("counted %d", n)
		}
		if lines := log.with(why); len(lines) != 1 || !strings.Contains(lines[0], "vmscaler.decision.web.out") {
			t.Errorf("logged %q", lines)
		}
	}
}

// fleet is a sample with many VMs, each as wordy as they are.
func fleet(vms int, name string) *Sample {
	s := exampleSample()
	vm := s.VMs[0]
	s.VMs = nil
	for i := range vms {
		vm.Name = fmt.Sprintf("%s-%d", name, i)
		s.VMs = append(s.VMs, vm)
	}
	return s
}

// The largest sample that is promised arrives. What receivers would refuse, or the server with the connection, is not sent.
func TestMessagesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	sender := join(t, s, "sender")
	samples := subscribe[Sample](t, join(t, s, "receiver"), AllSamples)
	large := fleet(MaxVMs, "a-group-with-a-name-of-forty-characters-x")
	for i := range MaxVMs / 4 {
		large.VMs[i].Error = strings.Repeat("x", 10*maxVMError)
	}
	publishAll(t, sender, large)
	if got := receive(t, samples, "large sample"); len(got.VMs) != MaxVMs || len(got.VMs[0].Error) != maxVMError {
		t.Errorf("got %d VMs, the first's error has %d bytes", len(got.VMs), len(got.VMs[0].Error))
	}
	wordy := fleet(MaxVMs, strings.Repeat("x", maxName-10))
	if err := sender.Publish(wordy); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), wordy.Subject()) {
		t.Errorf("got %v", err)
	}
	for name, m := range map[string]outgoing{
		"one VM more":          fleet(MaxVMs+1, "x"),
		"more hosts":           decisionOf(MaxHosts + 1),
		"a name with a line":   &Metric{V: Version, Group: "web", Name: "a\nb"},
		"without what it says": &Event{V: Version},
	} {
		if err := sender.Publish(m); !errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), m.Subject()) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	publishAll(t, sender, decisionOf(MaxHosts))
}

// decisionOf is one with as many hosts, whose names are as long as hosts' are.
func decisionOf(hosts int) *Decision {
	d := exampleDecision()
	d.Shares = map[HostID]Share{}
	for i := range hosts {
		id := fmt.Sprintf("5c0d2a9e-7f0b-4e53-9d6a-%012d.qemu", i)
		d.Shares[HostID(id)] = Share{Host: "kvm.example.org", VMs: i, Numbers: []int{}}
	}
	d.Sentence = strings.Repeat("why ", MaxText)
	return d
}

// reader is a connection that can be told to read nothing more.
type reader struct {
	net.Conn
	stopped atomic.Bool
	closed  chan struct{}
	once    sync.Once
}

func (r *reader) Read(p []byte) (int, error) {
	if r.stopped.Load() {
		<-r.closed
		return 0, net.ErrClosed
	}
	return r.Conn.Read(p) //nolint:wrapcheck // it is the connection
}

func (r *reader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.Conn.Close() //nolint:wrapcheck // it is the connection
}

func (r *reader) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address) //nolint:noctx // nats gives none
	if err == nil {
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	}
	r.Conn = conn
	return r, err //nolint:wrapcheck // it is the connection
}

// stalledTap subscribes, with a dashboard's credentials, and then reads nothing more.
func stalledTap(t testing.TB, s *Server, dir string) *nats.Conn {
	t.Helper()
	r := &reader{closed: make(chan struct{})}
	login, err := nats.NkeyOptionFromSeed(CredentialsFile(dir, RoleDashboard))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.URL(), login, nats.SetCustomDialer(r), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe(AllSamples, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe(AllHealth, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(limit(t)); err != nil {
		t.Fatal(err)
	}
	r.stopped.Store(true)
	return nc
}

// stalls is how much the server has for a client that does not take it when the server, if it is left to its own
// settings, makes publishers wait: three quarters of what it keeps at most, after which it ends the connection.
const stalls = maxPending/4*3 + 1

// stall publishes until the server has that much for a tap.
func stall(t testing.TB, s *Server, publish func()) {
	t.Helper()
	for range 4 * maxPending / (1 << 20) {
		if publish(); isStalled(t, s) {
			return
		}
	}
	t.Fatal("the tap does not stall")
}

func isStalled(t testing.TB, s *Server) bool {
	t.Helper()
	z, err := s.ns.Connz(&server.ConnzOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		if c.Pending >= stalls {
			return true
		}
	}
	return false
}

// A tap that stops reading costs the others nothing: they get every message, and no publisher is made to wait.
func TestStalledTapHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir})
	publisher, receiver := dialAs(t, s, dir, RoleCollector, quiet), dialAs(t, s, dir, RoleDashboard, quiet)
	samples := make(chan Sample, 1024)
	if err := Subscribe(receiver, AllSamples, samples); err != nil {
		t.Fatal(err)
	}
	defer stalledTap(t, s, dir).Close()
	filler := bytes.Repeat([]byte("x"), 1<<20)
	stall(t, s, func() { publish(t, publisher, "vmscaler.health.collector.x", filler) })
	const beside = 100
	m := exampleSample()
	for i := range beside {
		m.HostLoad.Cores = i
		publishAll(t, publisher, m)
	}
	if !isStalled(t, s) {
		t.Error("the tap is not stalled any more")
	}
	for i := range beside {
		if got := receive(t, samples, "sample"); got.HostLoad.Cores != i {
			t.Fatalf("number %d is %d", i, got.HostLoad.Cores)
		}
	}
	z, err := s.ns.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if z.StalledClients > 0 {
		t.Errorf("the server made publishers wait %d times", z.StalledClients)
	}
}

func FuzzDecodeStatus(f *testing.F) {
	good, err := json.Marshal(exampleStatus())
	if err != nil {
		f.Fatal(err)
	}
	fuzzStable(f, func(data []byte) (any, error) { return Decode[Status](data) }, good, []byte(`{"v":1,"time":"2026-05-04T12:00:00Z","groups":[null],"stages":null}`))
}

func FuzzDecodeQuery(f *testing.F) {
	fuzzStable(f, func(data []byte) (any, error) {
		var q Query
		err := json.Unmarshal(data, &q)
		return q, err
	}, []byte(`{"group":"web"}`), []byte(`{}`), []byte(`null`))
}

// fuzzStable checks that what is accepted reads the same after another trip.
func fuzzStable(f *testing.F, decode func([]byte) (any, error), seeds ...[]byte) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode(data)
		if err != nil {
			return
		}
		first, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("accepted, but does not encode: %v", err)
		}
		back, err := decode(first)
		if err != nil {
			t.Fatalf("%s is refused after a trip as %s: %v", data, first, err)
		}
		if second, _ := json.Marshal(back); !bytes.Equal(first, second) {
			t.Errorf("after another trip %s is %s", first, second)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	for _, m := range []outgoing{exampleDecision(), exampleEvent()} {
		data, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Subject(), data)
	}
	f.Add("vmscaler.decision.", []byte(`{}`))
	f.Add("", []byte(``))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		r, err := decodeRecord(subject, data)
		if err != nil {
			return
		}
		if (r.Event == nil) == (r.Decision == nil) {
			t.Errorf("%s %s is %+v", subject, data, r)
		}
		_ = r.Time()
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("accepted, but does not encode: %v", err)
		}
	})
}
