package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

func TestDropsSample(t *testing.T)   { drops(t, bustest.Sample()) }
func TestDropsDecision(t *testing.T) { drops(t, bustest.Decision()) }
func TestDropsEvent(t *testing.T)    { drops(t, bustest.Event()) }
func TestDropsHealth(t *testing.T)   { drops(t, bustest.Health()) }

// drops checks that each bad message costs one line in the log and one count, and that the next good one arrives.
func drops[T any, PT interface {
	*T
	bus.Outgoing
}](t *testing.T, good PT,
) {
	t.Parallel()
	s := bustest.StartServer(t)
	sender := bustest.Join(t, s, "sender")
	var log bustest.LogLines
	receiver, err := s.Connect("receiver", log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	messages := bustest.Subscribe[T, PT](t, receiver, "vmscaler.>")
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
		{"huge", strings.Repeat("x", bus.MaxPayload-1)},
	} {
		bustest.Publish(t, sender, good.Subject(), []byte(bad.data))
		if err := sender.Publish(good); err != nil {
			t.Fatal(err)
		}
		got := bustest.Receive(t, messages, "message after one that is "+bad.name)
		if again, _ := json.Marshal(PT(&got)); !bytes.Equal(again, data) {
			t.Errorf("%s: came through as %s", bad.name, again)
		}
		if n := receiver.Dropped(); n != uint64(i+1) {
			t.Errorf("%s: counted %d, want %d", bad.name, n, i+1)
		}
		lines := log.With("dropped a message on " + good.Subject())
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
	var log bustest.LogLines
	c, err := bustest.StartServer(t).Connect("actuator", log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for i, why := range []string{"it expired", "it comes again"} {
		c.Drop("vmscaler.decision.web.out", errors.New(why))
		if n := c.Dropped(); n != uint64(i+1) {
			t.Errorf("counted %d", n)
		}
		if lines := log.With(why); len(lines) != 1 || !strings.Contains(lines[0], "vmscaler.decision.web.out") {
			t.Errorf("logged %q", lines)
		}
	}
}

// The largest sample that is promised arrives. What receivers would refuse, or the server with the connection, is not sent.
func TestMessagesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	sender := bustest.Join(t, s, "sender")
	samples := bustest.Subscribe[bus.Sample](t, bustest.Join(t, s, "receiver"), bus.AllSamples)
	large := bustest.Fleet(bus.MaxVMs, "a-group-with-a-name-of-forty-characters-x")
	for i := range bus.MaxVMs / 4 {
		large.VMs[i].Error = strings.Repeat("x", 10*bus.MaxVMError)
	}
	bustest.PublishAll(t, sender, large)
	if got := bustest.Receive(t, samples, "large sample"); len(got.VMs) != bus.MaxVMs || len(got.VMs[0].Error) != bus.MaxVMError {
		t.Errorf("got %d VMs, the first's error has %d bytes", len(got.VMs), len(got.VMs[0].Error))
	}
	wordy := bustest.Fleet(bus.MaxVMs, strings.Repeat("x", bus.MaxName-10))
	if err := sender.Publish(wordy); !errors.Is(err, bus.ErrUnfit) || !strings.Contains(err.Error(), wordy.Subject()) {
		t.Errorf("got %v", err)
	}
	for name, m := range map[string]bus.Outgoing{
		"one VM more":          bustest.Fleet(bus.MaxVMs+1, "x"),
		"more hosts":           bustest.DecisionOf(bus.MaxHosts + 1),
		"a name with a line":   &bus.Metric{V: bus.Version, Group: "web", Name: "a\nb"},
		"without what it says": &bus.Event{V: bus.Version},
	} {
		if err := sender.Publish(m); !errors.Is(err, bus.ErrUnfit) || !strings.Contains(err.Error(), m.Subject()) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	bustest.PublishAll(t, sender, bustest.DecisionOf(bus.MaxHosts))
}

// What a role may send is told by the subject, so that what a message says of itself must be the same.
func TestSubjectAndBodyMustAgree(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	var log bustest.LogLines
	receiver, err := s.Connect("receiver", log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	sender := bustest.Join(t, s, "sender")
	samples, decisions := bustest.Subscribe[bus.Sample](
		t,
		receiver,
		bus.AllSamples,
	), bustest.Subscribe[bus.Decision](
		t,
		receiver,
		bus.AllDecisions,
	)
	events, health := bustest.Subscribe[bus.Event](
		t,
		receiver,
		bus.AllEvents,
	), bustest.Subscribe[bus.Health](
		t,
		receiver,
		bus.AllHealth,
	)
	metrics, demand := bustest.Subscribe[bus.Metric](
		t,
		receiver,
		bus.AllMetrics,
	), bustest.Subscribe[bus.Demand](
		t,
		receiver,
		bus.AllDemand,
	)
	forged := 0
	for _, m := range []bus.Outgoing{
		bustest.Sample(), bustest.Decision(), bustest.Event(), bustest.Health(), bustest.Metric(),
		bustest.Demand(),
	} {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		tokens := strings.Split(m.Subject(), ".")
		for i := 2; i < len(tokens); i++ {
			other := append([]string{}, tokens...)
			other[i] = "other"
			subject := strings.Join(other, ".")
			bustest.Publish(t, sender, subject, data)
			forged++
			bustest.Eventually(t, "the forged one is dropped", func() bool { return receiver.Dropped() == uint64(forged) })
			if lines := log.With(subject); len(lines) != 1 || !strings.Contains(lines[0], m.Subject()) {
				t.Errorf("%s with the body of %s: the log says %q", subject, m.Subject(), lines)
			}
		}
		bustest.PublishAll(t, sender, m)
	}
	bustest.Receive(t, samples, "sample")
	bustest.Receive(t, decisions, "decision")
	bustest.Receive(t, events, "event")
	bustest.Receive(t, health, "health")
	bustest.Receive(t, metrics, "metric")
	bustest.Receive(t, demand, "demand")
	if n := receiver.Dropped(); n != uint64(forged) {
		t.Errorf("dropped %d, want %d", n, forged)
	}
}

// A text of any length reaches its receiver, cut.
func TestLongTextsAreCutWhereTheyAreSent(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	c := bustest.Join(t, s, "stage")
	events, health := bustest.Subscribe[bus.Event](t, c, bus.AllEvents), bustest.Subscribe[bus.Health](t, c, bus.AllHealth)
	e, h := bustest.Event(), bustest.Health()
	e.Error, e.Sentence, h.Message = strings.Repeat("e", 1<<20), strings.Repeat("s", 1<<20), strings.Repeat("m", 1<<20)
	bustest.PublishAll(t, c, e, h)
	if got := bustest.Receive(t, events, "event"); len(got.Error) != bus.MaxText || len(got.Sentence) != bus.MaxText {
		t.Errorf("got %d and %d bytes", len(got.Error), len(got.Sentence))
	}
	if got := bustest.Receive(t, health, "health"); len(got.Message) != bus.MaxText {
		t.Errorf("got %d bytes", len(got.Message))
	}
}
