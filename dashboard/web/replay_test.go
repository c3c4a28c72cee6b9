package web

import (
	"context"
	"net/http"
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
