package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// serve answers the requests on a connection for the length of the test: the example status, and the decision of web.
func serve(t *testing.T, c *client.Conn, version string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	requests, done := make(chan client.Request), make(chan struct{})
	if err := c.Serve(ctx, "decider", version, []string{bus.VerbStatus, bus.VerbExplain}, requests); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		for {
			select {
			case r := <-requests:
				var err error
				switch {
				case r.Query.Group != "" && r.Query.Group != "web":
					err = r.Refuse("%s", bus.Refuse(bus.RefusedUnknown, "there is no group %q", r.Query.Group))
				case r.Verb == bus.VerbExplain:
					err = r.Answer(bustest.Decision())
				default:
					err = r.Answer(bustest.Status())
				}
				if err != nil {
					t.Error(err)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// Those who serve: in the process of the bus, and in one of its own.
func serving(t *testing.T, test func(t *testing.T, s *server.Server, dir string, c *client.Conn)) {
	t.Helper()
	for _, where := range []string{"in the process", "over TCP"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := bustest.StartWith(t, server.Config{StateDir: dir})
			if where == "over TCP" {
				test(t, s, dir, bustest.DialAs(t, s, dir, bus.RoleDecider, bustest.Quiet))
			} else {
				test(t, s, dir, bustest.Join(t, s, "decider"))
			}
		})
	}
}

func TestServeAnswersEverybody(t *testing.T) {
	t.Parallel()
	serving(t, func(t *testing.T, s *server.Server, dir string, c *client.Conn) {
		serve(t, c, "v1.2-3-gabc+dirty")
		for _, credentials := range []string{"", dir} {
			asker := bustest.DialAs(t, s, credentials, bus.RoleOperator, bustest.Quiet)
			status, err := client.Ask[bus.Status](bustest.Limit(t), asker, bus.VerbStatus, bus.Query{})
			if err != nil || len(status.Groups) != 1 || status.Groups[0].Decision.ID != bustest.Decision().ID {
				t.Errorf("status: %+v, %v", status, err)
			}
			decision, err := client.Ask[bus.Decision](bustest.Limit(t), asker, bus.VerbExplain, bus.Query{Group: "web"})
			if err != nil || decision.Sentence != bustest.Decision().Sentence {
				t.Errorf("explain: %+v, %v", decision, err)
			}
			_, err = client.Ask[bus.Decision](bustest.Limit(t), asker, bus.VerbExplain, bus.Query{Group: "wev"})
			if err == nil || !strings.Contains(err.Error(), `there is no group "wev"`) {
				t.Errorf("refused: %v", err)
			}
			var refused *bus.RefusedError
			if !errors.As(err, &refused) || refused.Code != bus.RefusedUnknown {
				t.Errorf("refused with %+v", refused)
			}
			if _, err := client.Ask[bus.Decision](bustest.Limit(t), asker, bus.VerbStatus, bus.Query{}); err == nil {
				t.Error("an answer of another type is accepted")
			}
		}
	})
}

// Who may not know what is right is heard only where nobody else answers.
func TestLateAnswers(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	asker := bustest.Join(t, s, "test")
	late := make(chan client.Request)
	verbs := []string{bus.VerbStatus, bus.VerbExplain}
	if err := bustest.Join(t, s, "decider").Serve(t.Context(), "decider", "", verbs, late); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			select {
			case r := <-late:
				if r = r.Late(); r.Verb == bus.VerbExplain {
					_ = r.Refuse("it is not known here")
				} else {
					_ = r.Answer(&bus.Status{V: bus.Version, Time: time.Now(), Groups: []bus.GroupStatus{}})
				}
			case <-t.Context().Done():
				return
			}
		}
	}()
	ask := func() (bus.Status, error) {
		return client.Ask[bus.Status](bustest.Limit(t), asker, bus.VerbStatus, bus.Query{})
	}
	if got, err := ask(); err != nil || len(got.Groups) != 0 {
		t.Errorf("nobody else answers: %+v, %v", got, err)
	}
	if _, err := client.Ask[bus.Decision](bustest.Limit(t), asker, bus.VerbExplain, bus.Query{}); err == nil {
		t.Error("nobody else answers, and it is not refused")
	}
	serve(t, bustest.Join(t, s, "decider"), "")
	for range 10 {
		if got, err := ask(); err != nil || len(got.Groups) != 1 {
			t.Errorf("status: %+v, %v; want the one that is not late", got, err)
		}
		if _, err := client.Ask[bus.Decision](bustest.Limit(t), asker, bus.VerbExplain, bus.Query{Group: "web"}); err != nil {
			t.Errorf("explain: %v", err)
		}
	}
}

// Credentials of another role: that nobody answers is not what is wrong.
func TestAskWithCredentialsOfAnotherRole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	serve(t, bustest.Join(t, s, "decider"), "")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	metric := bustest.DialAs(t, s, dir, bus.RoleMetric, bustest.Quiet)
	var denied *client.DeniedError
	if _, err := client.Ask[bus.Controls](ctx, metric, bus.VerbPause, bus.Query{Group: "web"}); !errors.As(err, &denied) {
		t.Errorf("got %T: %v", err, err)
	}
}

// What was not allowed once says nothing of a later request, which is.
func TestAskAfterADenial(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	requests := make(chan client.Request) // nobody takes them
	if err := bustest.Join(t, s, "decider").Serve(t.Context(), "decider", "", []string{bus.VerbStatus}, requests); err != nil {
		t.Fatal(err)
	}
	tap := bustest.DialAs(t, s, dir, bus.RoleTap, bustest.Quiet)
	within := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	var denied *client.DeniedError
	if _, err := client.Ask[bus.Controls](within(), tap, bus.VerbPause, bus.Query{Group: "web"}); !errors.As(err, &denied) {
		t.Errorf("what a tap may not: %v", err)
	}
	var silent *client.SilentError
	if _, err := client.Ask[bus.Status](within(), tap, bus.VerbStatus, bus.Query{}); !errors.As(err, &silent) {
		t.Errorf("then what it may, of one who does not answer: %T: %v, want that nobody answers", err, err)
	}
}

func TestServeIsFoundByNATSTools(t *testing.T) {
	t.Parallel()
	serving(t, func(t *testing.T, s *server.Server, _ string, c *client.Conn) {
		serve(t, c, "v1.2-3-gabc+dirty")
		tap := bustest.NewMember(t, s, "")
		if _, err := tap.NC.RequestWithContext(bustest.Limit(t), "vmscaler.ctl.status", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := tap.NC.RequestWithContext(bustest.Limit(t), "vmscaler.ctl.explain", []byte("garbage")); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", ".vmscaler"} {
			var ping micro.Ping
			ask(t, tap, "$SRV.PING"+suffix, &ping)
			if ping.Name != "vmscaler" || ping.Metadata["stage"] != "decider" || ping.Metadata["program_version"] != "v1.2-3-gabc+dirty" {
				t.Errorf("ping: %+v", ping)
			}
			var info micro.Info
			ask(t, tap, "$SRV.INFO"+suffix, &info)
			var subjects []string
			for _, e := range info.Endpoints {
				subjects = append(subjects, e.Subject)
			}
			if slices.Sort(subjects); !slices.Equal(subjects, []string{"vmscaler.ctl.explain", "vmscaler.ctl.status"}) {
				t.Errorf("info: %+v", info)
			}
			var stats micro.Stats
			ask(t, tap, "$SRV.STATS"+suffix+strings.Repeat("."+ping.ID, min(1, len(suffix))), &stats)
			counted := map[string][2]int{}
			for _, e := range stats.Endpoints {
				counted[e.Name] = [2]int{e.NumRequests, e.NumErrors}
			}
			if want := map[string][2]int{"status": {1, 0}, "explain": {1, 1}}; !maps.Equal(counted, want) {
				t.Errorf("stats: requests and errors are %v, want %v", counted, want)
			}
		}
	})
}

// ask decodes the first answer to a request.
func ask(t *testing.T, m bustest.Member, subject string, into any) {
	t.Helper()
	msg, err := m.NC.RequestWithContext(bustest.Limit(t), subject, nil)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := json.Unmarshal(msg.Data, into); err != nil {
		t.Fatal(err)
	}
}

func TestServeRefusesABodyThatIsNone(t *testing.T) {
	t.Parallel()
	var log bustest.LogLines
	s := bustest.StartServer(t)
	c, err := s.Connect("decider", log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	serve(t, c, "")
	tap := bustest.NewMember(t, s, "")
	bodies := []string{
		`{`,
		`web`,
		`"web"`,
		`[]`,
		`{"group":1}`,
		`{} {}`,
		"\xff\x00\r\n" + strings.Repeat("é", 100),
		strings.Repeat("x", client.MaxQuery),
	}
	for i, body := range bodies {
		msg, err := tap.NC.RequestWithContext(bustest.Limit(t), "vmscaler.ctl.status", []byte(body))
		if err != nil {
			t.Fatalf("%.20q: %v", body, err)
		}
		text := msg.Header.Get(micro.ErrorHeader)
		if msg.Header.Get(micro.ErrorCodeHeader) != "400" || !strings.Contains(text, `want nothing or {"group": "NAME"}`) ||
			len(text) > 500 {
			t.Errorf("%.20q: got %v", body, msg.Header)
		}
		if n := c.Dropped(); n != uint64(i+1) {
			t.Errorf("%.20q: counted %d, want %d", body, n, i+1)
		}
		if lines := log.With("dropped a message"); len(lines) != i+1 || len(lines[i]) > 500 {
			t.Errorf("%.20q: logged %d lines", body, len(lines))
		}
	}
	huge, err := tap.NC.RequestWithContext(bustest.Limit(t), "vmscaler.ctl.status", []byte(strings.Repeat(" ", client.MaxQuery+1)))
	if err != nil || huge.Header.Get(micro.ErrorCodeHeader) != string(bus.RefusedTooBig) {
		t.Errorf("one that is too large: %v, %v", huge, err)
	}
	for _, body := range []string{``, `{}`, `null`, `{"group":"web","later":1}`} {
		msg, err := tap.NC.RequestWithContext(bustest.Limit(t), "vmscaler.ctl.status", []byte(body))
		if err != nil || msg.Header.Get(micro.ErrorHeader) != "" {
			t.Errorf("%q: %v, %v", body, msg.Header, err)
		}
	}
}

// All that serve answer, so that nobody hides another.
func TestServeOfTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	serve(t, bustest.Join(t, s, "decider"), "one")
	serve(t, bustest.DialAs(t, s, dir, bus.RoleDecider, bustest.Quiet), "two")
	tap := bustest.NewMember(t, s, "")
	for _, subject := range []string{
		"vmscaler.ctl.status", "vmscaler.ctl.explain", "$SRV.PING", "$SRV.INFO.vmscaler",
		"$SRV.STATS",
	} {
		inbox := tap.NC.NewRespInbox()
		answers := make(chan *nats.Msg, 8)
		sub, err := tap.NC.ChanSubscribe(inbox, answers)
		if err != nil {
			t.Fatal(err)
		}
		if err := tap.NC.PublishRequest(subject, inbox, nil); err != nil {
			t.Fatal(err)
		}
		first, second := bustest.Receive(t, answers, "answer"), bustest.Receive(t, answers, "second answer")
		if strings.HasPrefix(subject, "$SRV") && bytes.Equal(first.Data, second.Data) {
			t.Errorf("%s: both are %s", subject, first.Data)
		}
		_ = sub.Unsubscribe()
	}
}

// Who is gone does not answer, and who asks is told so at once.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	asker := bustest.DialAs(t, s, "", bus.RoleOperator, bustest.Quiet)
	nobody := func(when string) {
		t.Helper()
		_, err := client.Ask[bus.Status](bustest.Limit(t), asker, bus.VerbStatus, bus.Query{})
		if err == nil || !strings.Contains(err.Error(), "no decider is running") {
			t.Errorf("%s: %v", when, err)
		}
	}
	nobody("before")
	c := bustest.Join(t, s, "decider")
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Serve(ctx, "decider", "v1", []string{bus.VerbStatus, bus.VerbExplain},
		make(chan client.Request)); err != nil { // nobody reads its requests
		t.Fatal(err)
	}
	waiting, stop := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := client.Ask[bus.Status](waiting, asker, bus.VerbStatus, bus.Query{})
		answered <- err
	}()
	stop()
	if err := bustest.Receive(t, answered, "end of the request"); err == nil {
		t.Error("a request that was given up has an answer")
	}
	cancel()
	bustest.Eventually(t, "it has left", func() bool {
		_, err := client.Ask[bus.Status](bustest.Limit(t), asker, bus.VerbStatus, bus.Query{})
		return err != nil && strings.Contains(err.Error(), "no decider is running")
	})
	nobody("after")
}

// Whoever asks names where the answer goes. That must not be where the stages talk, or a tap could write there by the
// hand of the decider.
func TestServeAnswersToInboxesOnly(t *testing.T) {
	t.Parallel()
	serving(t, func(t *testing.T, s *server.Server, _ string, c *client.Conn) {
		serve(t, c, "v1")
		stage := bustest.Join(t, s, "stage")
		bustest.PublishAll(t, stage, bustest.EventAt("web", "web-1", bustest.Noon))
		bustest.KeptRecords(t, stage, 1)
		seen := bustest.Collect(t, stage, ">")
		tap := bustest.NewMember(t, s, "")
		requests := map[string]bool{}
		forged := func(request, reply string) {
			t.Helper()
			requests[request] = true
			for _, body := range []string{``, `garbage`} {
				if err := tap.NC.PublishRequest(request, reply, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			// In order, so that when this one is answered, the ones before were dealt with.
			if _, err := tap.NC.RequestWithContext(bustest.Limit(t), request, nil); err != nil {
				t.Fatalf("%s after the answer had to go to %s: %v", request, reply, err)
			}
		}
		for _, reply := range []string{
			"vmscaler.decision.web.out", "vmscaler.health.decider.x", // which a decider may publish
			"vmscaler.lifecycle.web.x.ready", "vmscaler.sample.web.h", "vmscaler.health.collector.x", "vmscaler.ctl.scale", "foo",
			"$JS.API.STREAM.PURGE.vmscaler-history", "$JS.API.STREAM.DELETE.vmscaler-history",
		} {
			for _, request := range []string{
				"vmscaler.ctl.status", "vmscaler.ctl.explain", "$SRV.PING", "$SRV.INFO",
				"$SRV.STATS.vmscaler",
			} {
				forged(request, reply)
			}
		}
		for _, conn := range []*client.Conn{c, stage} {
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		for len(seen) > 0 {
			if msg := <-seen; !requests[msg.Subject] && !strings.HasPrefix(msg.Subject, "_INBOX.") &&
				!strings.HasPrefix(msg.Subject, "_VMSCALER.") &&
				!readsHistory(msg.Subject) {
				t.Errorf("%s: %.60q", msg.Subject, msg.Data)
			}
		}
		if got := bustest.Whats(bustest.ReadAll(t, stage, client.HistoryQuery{})); !slices.Equal(got, []string{"web web-1 failed"}) {
			t.Errorf("the history has %q", got)
		}
	})
}

// readsHistory are the subjects of this test's own look at the history.
func readsHistory(subject string) bool {
	return strings.HasPrefix(subject, "$JS.API.STREAM.INFO.") || strings.HasPrefix(subject, "$JS.EVENT.ADVISORY.")
}

// Requests that nobody takes are refused at once beyond a few, whatever else waits.
func TestTooManyRequestsAreRefused(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	decider := bustest.Join(t, s, string(bus.RoleDecider))
	requests := make(chan client.Request) // nobody takes them
	if err := decider.Serve(t.Context(), "decider", "", []string{bus.VerbStatus, bus.VerbPause}, requests); err != nil {
		t.Fatal(err)
	}
	asker := bustest.NewOutsider(t, s)
	answers := asker.Subscribe(t, "_INBOX.flood")
	const asked = client.MaxRequests + 10
	for range asked {
		if err := asker.NC.PublishRequest("vmscaler.ctl.status", "_INBOX.flood", nil); err != nil {
			t.Fatal(err)
		}
	}
	for range asked - client.MaxRequests - 1 { // one is being dealt with
		msg := bustest.Receive(t, answers, "refusal")
		if code := msg.Header.Get("Nats-Service-Error-Code"); code != string(bus.RefusedBusy) {
			t.Fatalf("got code %q, %q", code, msg.Header.Get("Nats-Service-Error"))
		}
	}
	// Those of another kind are not held up: the operator's own is taken first.
	go func() {
		_, _ = client.Ask[bus.Controls](t.Context(), bustest.Join(t, s, string(bus.RoleOperator)), bus.VerbPause, bus.Query{})
	}()
	bustest.Eventually(t, "the operator's request arrives", func() bool {
		r := bustest.Receive(t, requests, "request")
		if r.Verb == bus.VerbPause {
			_ = r.Answer(&bus.Controls{Paused: []bus.Scope{}})
			return true
		}
		r.Ignore()
		return false
	})
}
