package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A page of another origin has nothing replayed, which takes seconds of a CPU, although the browser shows it no answer.
func TestReplayForAnotherOrigin(t *testing.T) {
	replay := func(context.Context, string, []bus.Demand, time.Duration) (Replay, error) { return Replay{}, nil }
	s := start(t, Config{Replay: replay})
	for name, tt := range map[string]struct {
		header []string
		want   int
	}{
		"no browser":     {want: http.StatusServiceUnavailable}, // there is no bus
		"our page":       {header: []string{"Sec-Fetch-Site", "same-origin"}, want: http.StatusServiceUnavailable},
		"another page":   {header: []string{"Sec-Fetch-Site", "cross-site"}, want: http.StatusForbidden},
		"an old browser": {header: []string{"Origin", "https://example.com"}, want: http.StatusForbidden},
	} {
		if code, body := s.do(http.MethodGet, apiPath+"/groups/web/replay", "", tt.header...); code != tt.want {
			t.Errorf("%s: %d %s, want %d", name, code, body, tt.want)
		}
	}
}

// A replay takes a core: one goes on at a time, then there is a rest, and an answer is said again for a minute.
func TestReplaysRest(t *testing.T) {
	at := func(seconds int) time.Time { return time.Unix(1e9+int64(seconds), 0) }
	all := replays{answers: map[string]replayAnswer{}}
	begin := func(group string, seconds int) (answer *Replay, again string) {
		t.Helper()
		answer, err := all.begin(group, at(seconds))
		var p *RequestProblem
		if errors.As(err, &p) {
			w := httptest.NewRecorder()
			p.write(w)
			if w.Code != http.StatusServiceUnavailable || p.Reason != ReasonBusy {
				t.Errorf("refused as %d %s", w.Code, w.Body)
			}
			return answer, w.Header().Get("Retry-After")
		}
		return answer, ""
	}
	for i, step := range []struct {
		group   string
		seconds int
		known   bool
		again   string // Retry-After; "": it begins, or is known
		ends    int    // at which second what has begun ends; 0: it goes on
		fails   bool
	}{
		{group: "web", seconds: 0},
		{group: "db", seconds: 1, again: "1"},
		{group: "web", seconds: 1, again: "1", ends: 2},
		{group: "web", seconds: 3, known: true},
		{group: "db", seconds: 3, again: "5"}, // the first took 2 s, so 6 s of rest
		{group: "db", seconds: 8, ends: 18, fails: true},
		{group: "db", seconds: 47, again: "1"}, // it took 10 s, so 30 s of rest
		{group: "db", seconds: 48, ends: 49},
		{group: "web", seconds: 61, known: true},
		{group: "web", seconds: 62}, // that answer is old
	} {
		answer, again := begin(step.group, step.seconds)
		if (answer != nil) != step.known || again != step.again {
			t.Errorf("step %d: known %t, asked to come again in %q; want %t, %q", i, answer != nil, again, step.known, step.again)
		}
		if step.ends > 0 {
			made := &Replay{Group: step.group}
			if step.fails {
				made = nil
			}
			all.end(step.group, made, at(step.ends))
		}
	}
}
