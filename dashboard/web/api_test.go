package web

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// apiSite is a site with tokens, on a bus with a decider that answers as answer says.
type apiSite struct {
	*site
	bus             *server.Server
	tokens          Tokens
	watch, operator string // tokens

	mu   sync.Mutex
	told []client.Request
}

// asked are the requests that have come to the decider.
func (s *apiSite) asked() []client.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.told)
}

func newAPISite(t *testing.T, answer func(client.Request) error, change ...func(*Config)) *apiSite {
	t.Helper()
	tokens := Tokens{TokensDir(t.TempDir())}
	make1 := func(name string, role Role) string {
		shown, err := tokens.Make(name, role, bustest.Noon)
		if err != nil {
			t.Fatal(err)
		}
		return shown
	}
	s := &apiSite{
		bus: bustest.StartWith(t, server.Config{StateDir: t.TempDir()}), tokens: tokens, watch: make1("grafana", RoleWatch),
		operator: make1("ops", RoleOperator),
	}
	c := Config{Tokens: tokens, Explain: func(d *bus.Decision, events []bus.Event) any {
		return map[string]any{"decision": d.ID, "events": len(events)}
	}}
	for _, one := range change {
		one(&c)
	}
	s.site = start(t, c)
	if answer != nil {
		decider, requests := bustest.Join(t, s.bus, "decider"), make(chan client.Request)
		verbs := []string{bus.VerbScale, bus.VerbPause, string(bus.VMRemove), bus.VerbSet, bus.VerbWake}
		if err := decider.Serve(t.Context(), "decider", "", verbs, requests); err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				select {
				case r := <-requests:
					s.mu.Lock()
					s.told = append(s.told, r)
					s.mu.Unlock()
					if err := answer(r); err != nil {
						t.Error(err)
					}
				case <-t.Context().Done():
					return
				}
			}
		}()
	}
	return s
}

// hear has it know a group.
func (s *apiSite) hear() {
	s.t.Helper()
	collector, decider := bustest.Join(s.t, s.bus, "collector"), bustest.Join(s.t, s.bus, "decider")
	now := time.Now()
	sample, d := bustest.Sample(), bustest.Decision()
	sample.Time, d.Time, d.ExpiresAt = now, now, now.Add(time.Minute)
	bustest.PublishAll(s.t, collector, sample)
	bustest.PublishAll(s.t, decider, d)
	bustest.Eventually(s.t, "the group", func() bool {
		_, body := s.get("/readyz")
		return body == "ok\n"
	})
}

func (s *apiSite) post(path, token, body string, more ...string) (int, RequestProblem, string) {
	s.t.Helper()
	header := append([]string{"Content-Type", "application/json"}, more...)
	if token != "" {
		header = append(header, "Authorization", "Bearer "+token)
	}
	code, text := s.do(http.MethodPost, apiPath+path, body, header...)
	var p RequestProblem
	if code >= 400 {
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.Status != code || p.Detail == "" {
			s.t.Errorf("%s: %d %s (%v)", path, code, text, err)
		}
	}
	return code, p, text
}

func scaled(r client.Request) error {
	return r.Answer(bus.Controls{Paused: []bus.Scope{}, Desired: r.Query.Desired, By: r.Query.By})
}

func TestReads(t *testing.T) {
	s := newAPISite(t, nil)
	if code, body := s.get(apiPath + "/groups"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"no-bus"`) {
		t.Errorf("without a bus: %d %s", code, body)
	}
	s.follow(s.bus)
	s.hear()
	vm := bustest.Sample().VMs[0]
	for path, want := range map[string]string{
		"/status":                     `"group":"web"`,
		"/groups":                     `[{"group":"web"`,
		"/groups/web":                 `"samples":[{`,
		"/groups/web/decision":        `"group":"web"`,
		"/groups/web/explain":         `"decision":"`,
		"/groups/web/past":            `"desired":`,
		"/vms":                        `"name":"` + vm.Name + `"`,
		"/vms?group=web":              `"name":"` + vm.Name + `"`,
		"/vms/" + vm.Name:             `"uuid":"` + vm.UUID + `"`,
		"/vms/" + vm.UUID:             `"name":"` + vm.Name + `"`,
		"/hosts":                      `"memory_mib":`,
		"/groups/web/events?since=1m": `[`,
		"/session":                    `"actions":true`,
	} {
		if code, body := s.get(apiPath + path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, want %s in\n%.600s", path, code, want, body)
		}
	}
	for path, want := range map[string]int{
		"/groups/db": 404, "/groups/db/explain": 404, "/vms?group=db": 404, "/vms/web-99": 404, "/nothing": 404,
		"/events?since=soon": 400, "/events?limit=0": 400, "/groups/we.b/events": 400,
	} {
		if code, body := s.get(apiPath + path); code != want || !strings.Contains(body, `"detail"`) {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
	}
}

// What changes something goes to the decider, with who asks; nobody else gets that far.
func TestActions(t *testing.T) {
	s := newAPISite(t, scaled)
	const path, body = "/groups/web/scale", `{"desired": 3, "reason": "launch"}`
	if code, p, _ := s.post(path, s.operator, body); code != http.StatusForbidden || p.Reason != ReasonReadOnly {
		t.Errorf("without a bus: %d %+v", code, p)
	}
	s.follow(s.bus)
	for _, tt := range []struct {
		name, token, body string
		header            []string
		code              int
		reason            Reason
	}{
		{"without a token", "", body, nil, 401, ReasonNoToken},
		{"a wrong token", "vmscaler_ops_x", body, nil, 401, ReasonNoToken},
		{"one who may watch", s.watch, body, nil, 403, ReasonForbidden},
		{"from another origin", s.operator, body, []string{"Sec-Fetch-Site", "cross-site"}, 403, ReasonForbidden},
		{"a form", s.operator, body, []string{"Content-Type", "text/plain"}, 400, ReasonMalformed},
		{"no JSON", s.operator, "desired=3", nil, 400, ReasonMalformed},
		{"an unknown field", s.operator, `{"desird": 3}`, nil, 400, ReasonMalformed},
		{"two", s.operator, body + body, nil, 400, ReasonMalformed},
		{"nothing", s.operator, `{}`, nil, 400, ReasonMalformed},
		{"below 0", s.operator, `{"desired": -1}`, nil, 400, ReasonMalformed},
		{"a number, and none", s.operator, `{"desired": 1, "release": true}`, nil, 400, ReasonMalformed},
		{"a reason of two lines", s.operator, `{"desired": 1, "reason": "a\nb"}`, nil, 400, ReasonMalformed},
		{"too much", s.operator, `{"reason": "` + strings.Repeat("x", maxBody) + `"}`, nil, 413, ReasonTooBig},
	} {
		if code, p, _ := s.post(path, tt.token, tt.body, tt.header...); code != tt.code || p.Reason != tt.reason {
			t.Errorf("%s: %d %+v", tt.name, code, p)
		}
	}
	if len(s.asked()) > 0 {
		t.Fatalf("asked for %+v", s.asked())
	}
	code, _, text := s.post(path, s.operator, body)
	if q := s.asked()[0].Query; code != http.StatusOK || !strings.Contains(text, `"desired":3`) || q.Group != "web" ||
		*q.Desired != 3 || q.Reason != "launch" || q.By != "ops (web)" {
		t.Errorf("%d %s: %+v", code, text, q)
	}
	if code, _, _ := s.post(path, s.operator, `{"release": true}`); code != http.StatusOK || s.asked()[1].Query.Desired != nil {
		t.Errorf("released: %d %+v", code, s.asked()[1].Query)
	}
	if err := os.Remove(s.tokens.file("ops")); err != nil {
		t.Fatal(err)
	}
	if code, p, _ := s.post(path, s.operator, body); code != 401 || p.Reason != ReasonNoToken {
		t.Errorf("revoked: %d %+v", code, p)
	}
}

// A refusal has its status, its kind and its words.
func TestRefusals(t *testing.T) {
	s := newAPISite(t, func(r client.Request) error {
		switch r.Query.VM {
		case "web-9":
			return r.RefuseAs(bus.RefusalUnknownVM, "no group has a VM %s", r.Query.VM)
		case "web-1":
			return r.RefuseAs(bus.RefusalMin, "the group would have fewer than its min")
		}
		return r.Refuse("%s", bus.Refuse(bus.RefusedBusy, "busy"))
	})
	s.follow(s.bus)
	for vm, want := range map[string]RequestProblem{
		"web-9": {Status: 404, Reason: ReasonUnknown, Refusal: bus.RefusalUnknownVM},
		"web-1": {Status: 409, Reason: ReasonState, Refusal: bus.RefusalMin},
		"web-2": {Status: 503, Reason: ReasonBusy},
	} {
		code, p, _ := s.post("/vms/"+vm+"/remove", s.operator, `{}`)
		if code != want.Status || p.Reason != want.Reason || p.Refusal != want.Refusal {
			t.Errorf("%s: %d %+v", vm, code, p)
		}
	}
	if code, p, _ := s.post("/vms/web-1/drain", s.operator, `{}`); code != 503 || p.Reason != ReasonNobody { // nobody serves it
		t.Errorf("nobody: %d %+v", code, p)
	}
}

// A browser shows its token once, and then its cookie with what only a page of ours knows.
func TestSession(t *testing.T) {
	s := newAPISite(t, scaled)
	s.follow(s.bus)
	if code, p, _ := s.post("/session", "", `{"token": "vmscaler_ops_wrong"}`); code != 401 || p.Reason != ReasonNoToken {
		t.Errorf("a wrong token: %d %+v", code, p)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+apiPath+"/session",
		strings.NewReader(`{"token": "`+s.operator+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var caller Caller
	if err := json.NewDecoder(resp.Body).Decode(&caller); err != nil || caller.Role != RoleOperator || caller.CSRF == "" {
		t.Fatalf("%s %+v %v", resp.Status, caller, err)
	}
	cookie := resp.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || strings.Contains(cookie.Value, s.operator) {
		t.Errorf("cookie: %+v", cookie)
	}
	with := []string{"Cookie", cookie.Name + "=" + cookie.Value}
	scale := func(more ...string) (int, RequestProblem) {
		code, p, _ := s.post("/groups/web/scale", "", `{"desired": 2}`, append(more, with...)...)
		return code, p
	}
	if code, p := scale(); code != 403 || p.Reason != ReasonForbidden {
		t.Errorf("with the cookie alone: %d %+v", code, p)
	}
	if code, p := scale(csrfHeader, "x"); code != 403 || p.Reason != ReasonForbidden {
		t.Errorf("with a made-up header: %d %+v", code, p)
	}
	if code, p := scale(csrfHeader, caller.CSRF); code != 200 {
		t.Errorf("%d %+v", code, p)
	}
	if code, body := s.do(http.MethodDelete, apiPath+"/session", "", with...); code != 403 {
		t.Errorf("logged out by another page: %d %s", code, body)
	}
	if code, body := s.do(http.MethodDelete, apiPath+"/session", "", append(with, csrfHeader, caller.CSRF)...); code != 200 {
		t.Errorf("logged out: %d %s", code, body)
	}
	if code, p := scale(csrfHeader, caller.CSRF); code != 401 {
		t.Errorf("after that: %d %+v", code, p)
	}
}

func closed(c *Config) { c.Closed = true }

// Where not everybody may watch, reading takes a token, and why a supervisor's check fails names no group.
func TestClosed(t *testing.T) {
	s := newAPISite(t, nil, closed)
	s.follow(s.bus)
	for _, path := range []string{"/metrics", apiPath + "/groups", apiPath + "/vms"} {
		if code, body := s.get(path); code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", path, code, body)
		}
		for _, token := range []string{s.watch, s.operator} {
			if code, body := s.do(http.MethodGet, path, "", "Authorization", "Bearer "+token); code != http.StatusOK {
				t.Errorf("%s with a token: %d %s", path, code, body)
			}
		}
	}
	if code, body := s.get("/readyz"); code != http.StatusServiceUnavailable || body != "not ready\n" {
		t.Errorf("readyz: %d %s", code, body)
	}
	if code, body := s.get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz: %d %s", code, body)
	}
}

// Each reason has a status of its own kind.
func TestReasons(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Reasons() {
		if got := r.status(); (got == http.StatusInternalServerError) != (r == ReasonFailed) {
			t.Errorf("%s: %d", r, got)
		}
		if !strings.Contains(string(page), "`"+string(r)+"`") {
			t.Errorf("docs/api.md does not have %s", r)
		}
	}
}

func TestSessionsAreBounded(t *testing.T) {
	var s sessions
	first := s.begin(Token{Name: "first"}, bustest.Noon)
	for range 3 * sessionsAtMost {
		s.begin(Token{Name: "more"}, bustest.Noon.Add(time.Minute))
	}
	if _, found := s.find(first, bustest.Noon); found || len(s.all) != sessionsAtMost {
		t.Errorf("%d, the first is there: %v", len(s.all), found)
	}
	last := s.begin(Token{Name: "last"}, bustest.Noon)
	if _, found := s.find(last, bustest.Noon.Add(sessionLasts)); found {
		t.Error("one lasts forever")
	}
}

// Whatever an operator may ask of a decider on the bus can be asked over HTTP, but for other groups, which come with a file.
func TestEveryRequestHasARoute(t *testing.T) {
	routes := New(Config{Now: time.Now}).routes()
	n := 0
	for _, subject := range bus.RoleDecider.Permissions().Subscribe {
		verb, is := strings.CutPrefix(subject, "vmscaler.ctl.")
		if !is || subject == bus.ApplySubject || verb == bus.VerbStatus || verb == bus.VerbExplain || verb == bus.VerbForecast ||
			strings.HasSuffix(verb, ".*") { // the last ones are read
			continue
		}
		n++
		if !slices.ContainsFunc(routes, func(r route) bool {
			return r.method == http.MethodPost && strings.HasSuffix(r.path, "/"+verb) && r.who == operators && r.summary != verb
		}) {
			t.Errorf("%s has no route with a summary", verb)
		}
	}
	if n < 15 {
		t.Errorf("%d requests were found", n)
	}
}
