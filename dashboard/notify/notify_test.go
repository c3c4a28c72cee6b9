package notify

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

// A failing receiver is tried again until it takes the message, and keeps no other from being told.
func TestRunOnARealBus(t *testing.T) {
	received := map[string]chan Message{"flaky": make(chan Message, 10), "well": make(chan Message, 10)}
	tries := make(chan struct{}, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "flaky" {
			if tries <- struct{}{}; len(tries) < 4 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
		}
		received[name] <- m
	}))
	defer receiver.Close()
	n, err := New([]Target{
		{Name: "flaky", Type: JSON, URL: receiver.URL + "/flaky", On: []Kind{"failed"}},
		{Name: "well", Type: JSON, URL: receiver.URL + "/well", On: []Kind{"failed", "died"}, Groups: []string{"web"}},
	}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	n.pauses = func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) }
	subscribed := make(chan struct{})
	n.ticker = func(time.Duration) (<-chan time.Time, func()) { close(subscribed); return nil, func() {} }
	publish := startRun(t, n)
	<-subscribed
	for _, e := range []bus.Event{
		event(bus.EventReady, "web-1", 1), event(bus.EventFailed, "web-2", 2), event(bus.EventDied, "web-3", 3),
	} {
		publish(e)
	}
	other := event(bus.EventFailed, "api-1", 4)
	other.Group = "api"
	publish(other)
	for name, want := range map[string][]string{"well": {"web-2", "web-3"}, "flaky": {"web-2", "api-1"}} {
		for _, vm := range want {
			if m := <-received[name]; m.VM != vm {
				t.Errorf("%s is told of %s, want %s", name, m.VM, vm)
			}
		}
	}
	if len(tries) != 5 {
		t.Errorf("flaky was asked %d times, want 3 failures and 2 messages", len(tries))
	}
}

// Others are told from the moment on that they are named, the first of them, too; one that stays loses nothing that waits for it.
func TestRetarget(t *testing.T) {
	received := make(chan string, 10)
	open := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/slow" {
			<-open
		}
		received <- r.URL.Path + " " + m.VM
	}))
	defer receiver.Close()
	target := func(name string) Target {
		return Target{Name: name, Type: JSON, URL: receiver.URL + "/" + name, On: []Kind{"failed"}}
	}
	n, err := New(nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ticks := make(chan time.Time)
	n.ticker = func(time.Duration) (<-chan time.Time, func()) { return ticks, func() {} }
	send := startRun(t, n)
	publish := func(vm string) { // each of a group of its own, as those of one are held back for a while
		e := event(bus.EventFailed, vm, 1)
		e.Group = "of-" + vm
		send(e)
	}
	if err := n.Retarget([]Target{{Name: "wrong", Type: JSON}}); err == nil {
		t.Error("a wrong target is taken")
	}
	for _, targets := range [][]Target{{target("never")}, {target("slow"), target("first")}} { // the last ones hold
		if err := n.Retarget(targets); err != nil {
			t.Fatal(err)
		}
	}
	hold := func() {
		for len(n.changes) > 0 {
			ticks <- time.Now()
		}
		ticks <- time.Now() // what was taken holds
	}
	hold()
	publish("web-1")
	publish("web-2")
	got := []string{<-received, <-received}
	if err := n.Retarget([]Target{target("second"), target("slow")}); err != nil {
		t.Fatal(err)
	}
	hold()
	publish("web-3")
	got = append(got, <-received)
	close(open)
	got = append(got, <-received, <-received, <-received)
	want := []string{"/first web-1", "/first web-2", "/second web-3", "/slow web-1", "/slow web-2", "/slow web-3"}
	if !slices.Equal(got, want) {
		t.Errorf("told are %q, want %q", got, want)
	}
}

// startRun runs a notifier on a bus of its own until the test ends.
func startRun(t *testing.T, n *Notifier) (publish func(bus.Event)) {
	t.Helper()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	conn, err := s.Connect("dashboard", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	stage, err := s.Connect("actuator", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		conn.Close()
		stage.Close()
	})
	return func(e bus.Event) {
		t.Helper()
		if err := stage.Publish(&e); err != nil {
			t.Fatal(err)
		}
	}
}

// A target that takes nothing fills its own queue, and nothing waits for it.
func TestQueueIsBounded(t *testing.T) {
	n, err := New([]Target{{Name: "dead", Type: JSON, URL: "http://127.0.0.1:1", On: []Kind{"failed"}}}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 * queueLength { // nobody works on it
		n.send([]Message{newMessage(Message{Kind: "failed", Time: modeltest.At(0)})})
	}
	if q := n.targets[0]; len(q.waiting) != queueLength || q.dropped.Load() != 2*queueLength {
		t.Errorf("%d wait and %d were dropped", len(q.waiting), q.dropped.Load())
	}
}

func TestTargetsAreChecked(t *testing.T) {
	good := Target{Name: "a", Type: JSON, URL: "https://example.org/x"}
	for want, change := range map[string]func(*Target){
		"name: found nothing":              func(t *Target) { t.Name = "" },
		"type: found nothing":              func(t *Target) { t.Type = "" },
		"url: found nothing":               func(t *Target) { t.URL = "" },
		"url_file: found it beside url":    func(t *Target) { t.URLFile = "/x" },
		"to: found nothing, want a list":   func(t *Target) { t.Type, t.URL = Email, "" },
		"command: found nothing, want a l": func(t *Target) { t.Type, t.URL, t.Command = Command, "", " " },
	} {
		bad := good
		change(&bad)
		if _, err := New([]Target{bad}, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if got := good.Check(func(field string) bool { return field == "to" }); len(got) != 1 ||
		got[0].Allowed != "it with type: email only" {
		t.Errorf("a field of another type: %+v", got)
	}
	for _, url := range []string{"", "x", "ftp://x/y", "https://", "https://u:p@x/", "https://x/#y", "http://\x00"} {
		if CheckURL(url) == nil {
			t.Errorf("%q is a URL", url)
		}
	}
	for address, want := range map[string]bool{
		"a@b": true, "A <a@b>": true, "a": false, "-oX@b": false, "a@b, c@d": false, "a@b\nBcc: c@d": false,
	} {
		if IsAddress(address) != want {
			t.Errorf("%q: want %v", address, want)
		}
	}
}
