package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// serve answers the requests on a connection for the length of the test: the example status, and the decision of web.
func serve(t *testing.T, c *Conn, version string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	requests, done := make(chan Request), make(chan struct{})
	if err := c.Serve(ctx, "decider", version, []string{VerbStatus, VerbExplain}, requests); err != nil {
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
					err = r.Refuse("there is no group %q", r.Query.Group)
				case r.Verb == VerbExplain:
					err = r.Answer(exampleDecision())
				default:
					err = r.Answer(exampleStatus())
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
func serving(t *testing.T, test func(t *testing.T, s *Server, dir string, c *Conn)) {
	t.Helper()
	for _, where := range []string{"in the process", "over TCP"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := startWith(t, ServerConfig{StateDir: dir})
			if where == "over TCP" {
				test(t, s, dir, dialAs(t, s, dir, RoleDecider, quiet))
			} else {
				test(t, s, dir, join(t, s, "decider"))
			}
		})
	}
}

func TestServeAnswersEverybody(t *testing.T) {
	t.Parallel()
	serving(t, func(t *testing.T, s *Server, dir string, c *Conn) {
		serve(t, c, "v1.2-3-gabc+dirty")
		for _, credentials := range []string{"", dir} {
			asker := dialAs(t, s, credentials, RoleOperator, quiet)
			status, err := Ask[Status](limit(t), asker, VerbStatus, Query{})
			if err != nil || len(status.Groups) != 1 || status.Groups[0].Decision.ID != exampleDecision().ID {
				t.Errorf("status: %+v, %v", status, err)
			}
			decision, err := Ask[Decision](limit(t), asker, VerbExplain, Query{Group: "web"})
			if err != nil || decision.Sentence != exampleDecision().Sentence {
				t.Errorf("explain: %+v, %v", decision, err)
			}
			_, err = Ask[Decision](limit(t), asker, VerbExplain, Query{Group: "wev"})
			if err == nil || !strings.Contains(err.Error(), `there is no group "wev"`) {
				t.Errorf("refused: %v", err)
			}
			if _, err := Ask[Decision](limit(t), asker, VerbStatus, Query{}); err == nil {
				t.Error("an answer of another type is accepted")
			}
		}
	})
}

func TestServeIsFoundByNATSTools(t *testing.T) {
	t.Parallel()
	serving(t, func(t *testing.T, s *Server, _ string, c *Conn) {
		serve(t, c, "v1.2-3-gabc+dirty")
		tap := newMember(t, s, "")
		if _, err := tap.nc.RequestWithContext(limit(t), "vmscaler.ctl.status", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := tap.nc.RequestWithContext(limit(t), "vmscaler.ctl.explain", []byte("garbage")); err != nil {
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
func ask(t *testing.T, m member, subject string, into any) {
	t.Helper()
	msg, err := m.nc.RequestWithContext(limit(t), subject, nil)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := json.Unmarshal(msg.Data, into); err != nil {
		t.Fatal(err)
	}
}

func TestServeRefusesABodyThatIsNone(t *testing.T) {
	t.Parallel()
	var log logLines
	s := startServer(t)
	c, err := s.Connect("decider", log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	serve(t, c, "")
	tap := newMember(t, s, "")
	bodies := []string{`{`, `web`, `"web"`, `[]`, `{"group":1}`, `{} {}`, "\xff\x00\r\n" + strings.Repeat("é", 100), strings.Repeat("x", maxQuery)}
	for i, body := range bodies {
		msg, err := tap.nc.RequestWithContext(limit(t), "vmscaler.ctl.status", []byte(body))
		if err != nil {
			t.Fatalf("%.20q: %v", body, err)
		}
		text := msg.Header.Get(micro.ErrorHeader)
		if msg.Header.Get(micro.ErrorCodeHeader) != "400" || !strings.Contains(text, `want nothing or {"group": "NAME"}`) || len(text) > 500 {
			t.Errorf("%.20q: got %v", body, msg.Header)
		}
		if n := c.Dropped(); n != uint64(i+1) {
			t.Errorf("%.20q: counted %d, want %d", body, n, i+1)
		}
		if lines := log.with("dropped a message"); len(lines) != i+1 || len(lines[i]) > 500 {
			t.Errorf("%.20q: logged %d lines", body, len(lines))
		}
	}
	huge, err := tap.nc.RequestWithContext(limit(t), "vmscaler.ctl.status", []byte(strings.Repeat(" ", maxQuery+1)))
	if err != nil || huge.Header.Get(micro.ErrorCodeHeader) != tooBigRefusal {
		t.Errorf("one that is too large: %v, %v", huge, err)
	}
	for _, body := range []string{``, `{}`, `null`, `{"group":"web","later":1}`} {
		msg, err := tap.nc.RequestWithContext(limit(t), "vmscaler.ctl.status", []byte(body))
		if err != nil || msg.Header.Get(micro.ErrorHeader) != "" {
			t.Errorf("%q: %v, %v", body, msg.Header, err)
		}
	}
}

// All that serve answer, so that nobody hides another.
func TestServeOfTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir})
	serve(t, join(t, s, "decider"), "one")
	serve(t, dialAs(t, s, dir, RoleDecider, quiet), "two")
	tap := newMember(t, s, "")
	for _, subject := range []string{"vmscaler.ctl.status", "vmscaler.ctl.explain", "$SRV.PING", "$SRV.INFO.vmscaler", "$SRV.STATS"} {
		inbox := tap.nc.NewRespInbox()
		answers := make(chan *nats.Msg, 8)
		sub, err := tap.nc.ChanSubscribe(inbox, answers)
		if err != nil {
			t.Fatal(err)
		}
		if err := tap.nc.PublishRequest(subject, inbox, nil); err != nil {
			t.Fatal(err)
		}
		first, second := receive(t, answers, "answer"), receive(t, answers, "second answer")
		if strings.HasPrefix(subject, "$SRV") && bytes.Equal(first.Data, second.Data) {
			t.Errorf("%s: both are %s", subject, first.Data)
		}
		_ = sub.Unsubscribe()
	}
}

// Who is gone does not answer, and who asks is told so at once.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	asker := dialAs(t, s, "", RoleOperator, quiet)
	nobody := func(when string) {
		t.Helper()
		_, err := Ask[Status](limit(t), asker, VerbStatus, Query{})
		if err == nil || !strings.Contains(err.Error(), "no decider is running") {
			t.Errorf("%s: %v", when, err)
		}
	}
	nobody("before")
	c := join(t, s, "decider")
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Serve(ctx, "decider", "v1", []string{VerbStatus, VerbExplain}, make(chan Request)); err != nil { // nobody reads its requests
		t.Fatal(err)
	}
	waiting, stop := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		_, err := Ask[Status](waiting, asker, VerbStatus, Query{})
		answered <- err
	}()
	stop()
	if err := receive(t, answered, "end of the request"); err == nil {
		t.Error("a request that was given up has an answer")
	}
	cancel()
	eventually(t, "it has left", func() bool {
		_, err := Ask[Status](limit(t), asker, VerbStatus, Query{})
		return err != nil && strings.Contains(err.Error(), "no decider is running")
	})
	nobody("after")
}

// Whoever asks names where the answer goes. That must not be where the stages talk, or a tap could write there by the
// hand of the decider.
func TestServeAnswersToInboxesOnly(t *testing.T) {
	t.Parallel()
	serving(t, func(t *testing.T, s *Server, _ string, c *Conn) {
		serve(t, c, "v1")
		stage := join(t, s, "stage")
		publishAll(t, stage, event("web", "web-1", noon))
		keptRecords(t, stage, 1)
		seen := collect(t, stage, ">")
		tap := newMember(t, s, "")
		requests := map[string]bool{}
		forged := func(request, reply string) {
			t.Helper()
			requests[request] = true
			for _, body := range []string{``, `garbage`} {
				if err := tap.nc.PublishRequest(request, reply, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			// In order, so that when this one is answered, the ones before were dealt with.
			if _, err := tap.nc.RequestWithContext(limit(t), request, nil); err != nil {
				t.Fatalf("%s after the answer had to go to %s: %v", request, reply, err)
			}
		}
		for _, reply := range []string{
			"vmscaler.decision.web.out", "vmscaler.health.decider.x", // which a decider may publish
			"vmscaler.lifecycle.web.x.ready", "vmscaler.sample.web.h", "vmscaler.health.collector.x", "vmscaler.ctl.scale", "foo",
			"$JS.API.STREAM.PURGE.vmscaler-history", "$JS.API.STREAM.DELETE.vmscaler-history",
		} {
			for _, request := range []string{"vmscaler.ctl.status", "vmscaler.ctl.explain", "$SRV.PING", "$SRV.INFO", "$SRV.STATS.vmscaler"} {
				forged(request, reply)
			}
		}
		for _, conn := range []*Conn{c, stage} {
			if err := conn.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		for len(seen) > 0 {
			if msg := <-seen; !requests[msg.Subject] && !strings.HasPrefix(msg.Subject, "_INBOX.") && !strings.HasPrefix(msg.Subject, "_VMSCALER.") && !readsHistory(msg.Subject) {
				t.Errorf("%s: %.60q", msg.Subject, msg.Data)
			}
		}
		if got := whats(readAll(t, stage, HistoryQuery{})); !slices.Equal(got, []string{"web web-1 failed"}) {
			t.Errorf("the history has %q", got)
		}
	})
}

// readsHistory are the subjects of this test's own look at the history.
func readsHistory(subject string) bool {
	return strings.HasPrefix(subject, "$JS.API.STREAM.INFO.") || strings.HasPrefix(subject, "$JS.EVENT.ADVISORY.")
}
