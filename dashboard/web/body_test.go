package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// What is wrong with a body is said in plain words, with the field that is meant.
func TestBodiesThatAreWrong(t *testing.T) {
	for _, tt := range []struct {
		into any
		body string
		want string
	}{
		{&ScaleRequest{}, ``, "body: found nothing, want a JSON object"},
		{&ScaleRequest{}, `desired=3`, "body: found no JSON after 0 bytes"},
		{&ScaleRequest{}, `{"desired": 3`, "body: the JSON ends too early"},
		{&ScaleRequest{}, `[3]`, "body: found a list, want an object"},
		{&ScaleRequest{}, `3`, "body: found a number, want an object"},
		{&ScaleRequest{}, `{"desired": 3} {}`, "body: found more than one value"},
		{&ScaleRequest{}, `{"desired": "3"}`, "desired: found a text, want a whole number"},
		{&ScaleRequest{}, `{"desired": 1.5}`, "desired: found a number 1.5, want a whole number"},
		{&ScaleRequest{}, `{"desired": 3, "desired": 30}`, "desired: found it twice, want it once"},
		{&ScaleRequest{}, `{"Desired": 3}`, "Desired: there is no such field, want some of desired, reason, release"},
		{&ScaleRequest{}, `{"reason": ["a"]}`, "reason: found a list, want a text"},
		{&ScaleRequest{}, `{"release": "yes"}`, "release: found a text, want true or false"},
		{&ScopesRequest{}, `{"scopes": "in"}`, "scopes: found a text, want a list, each of it a text"},
		{&SetRequest{}, `{"set": {"max": "1", "max": "9"}}`, "set.max: found it twice, want it once"},
		{&SetRequest{}, `{"set": {"max": 10}}`, "set: found a number, want a text"},
		{&RefreshRequest{}, `{"action": "start", "max_surge": "1"}`, "max_surge: found a text, want a whole number"},
	} {
		err := decodeBody([]byte(tt.body), tt.into)
		var p *RequestProblem
		if !errors.As(err, &p) || p.Reason != ReasonMalformed || !strings.HasPrefix(p.Detail, tt.want) {
			t.Errorf("%s: %v, want %q", tt.body, err, tt.want)
		}
	}
	for _, right := range []string{`{}`, `{"desired": 3, "reason": "x"}`, `{"desired": null}`, ` {"release":true} `} {
		if err := decodeBody([]byte(right), &ScaleRequest{}); err != nil {
			t.Errorf("%s: %v", right, err)
		}
	}
}

// A canary in percent is sent with a number beside it.
func TestRefreshRequestOfACanaryInPercent(t *testing.T) {
	r := RefreshRequest{RefreshOrder: bus.RefreshOrder{Action: bus.RefreshBegin, CanaryPercent: new(20)}}
	var q bus.Query
	if err := r.into(&q); err != nil || q.Refresh.Canary == nil || *q.Refresh.Canary != 1 || *q.Refresh.CanaryPercent != 20 {
		t.Errorf("%+v, %v", q.Refresh, err)
	}
}

// Another method of what is there is named so, with those that there are.
func TestMethods(t *testing.T) {
	s := newAPISite(t, scaled)
	for _, tt := range []struct {
		method, path string
		code         int
		allow        string
	}{
		{"PUT", apiPath + "/groups/web/scale", 405, "POST"},
		{"GET", apiPath + "/groups/web/scale", 405, "POST"},
		{"PUT", apiPath + "/groups", 405, "GET, HEAD"},
		{"PATCH", apiPath + "/session", 405, "GET, HEAD, POST, DELETE"},
		{"PUT", apiPath + "/nothing", 404, ""},
		{"PUT", "/metrics", 405, "GET, HEAD"},
		{"HEAD", apiPath + "/nothing", 404, ""},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+s.address+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := resp.Header.Get("Allow"); resp.StatusCode != tt.code || got != tt.allow {
			t.Errorf("%s %s: %d, Allow %q; want %d, %q", tt.method, tt.path, resp.StatusCode, got, tt.code, tt.allow)
		}
	}
}
