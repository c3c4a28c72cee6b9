package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	webhook "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

func someMessage(kind Kind) Message {
	m := Message{Kind: kind, Group: "web", VM: "web-3", Host: "kvm1", Time: modeltest.At(1)}
	if kind == Problem || kind == Solved {
		m = Message{Kind: kind, Stage: "decider", Instance: "kvm1-4711", Time: modeltest.At(1)}
	}
	return newMessage(m, "start: <no space> & left")
}

func TestBodies(t *testing.T) {
	for _, tt := range []struct {
		of         Type
		kind       Kind
		method     string
		path, want string
	}{
		{JSON, "failed", "POST", "/hook", `{"v":1,"id":"ID","kind":"failed","severity":"critical","group":"web",` +
			`"vm":"web-3","host":"kvm1",` +
			`"text":"web: failed: web-3: start: \u003cno space\u003e \u0026 left","count":1,"time":"2026-01-02T15:04:06Z"}`},
		{
			Slack, "failed", "POST", "/hook",
			`{"text":":rotating_light: vmscaler: web: failed: web-3: start: \u0026lt;no space\u0026gt; \u0026amp; left"}`,
		},
		{
			Matrix, "failed", "PUT", "/hook/ID",
			`{"body":"vmscaler: web: failed: web-3: start: \u003cno space\u003e \u0026 left","msgtype":"m.text"}`,
		},
		{Alertmanager, "failed", "POST", "/hook", `[{"labels":{"alertname":"vmscaler_failed","group":"web","host":"kvm1",` +
			`"severity":"critical","vm":"web-3"},` +
			`"annotations":{"summary":"web: failed: web-3: start: \u003cno space\u003e \u0026 left"},` +
			`"startsAt":"2026-01-02T15:04:06Z","endsAt":"2026-01-02T15:09:06Z"}]`},
		{Alertmanager, Problem, "POST", "/hook", `[{"labels":{"alertname":"vmscaler_problem","instance":"kvm1-4711",` +
			`"severity":"critical","stage":"decider"},"annotations":{"summary":"problem: start: \u003cno space\u003e \u0026 left"},` +
			`"startsAt":"2026-01-02T15:04:06Z","endsAt":"2026-01-03T15:04:06Z"}]`},
		{Alertmanager, Solved, "POST", "/hook", `[{"labels":{"alertname":"vmscaler_problem","instance":"kvm1-4711",` +
			`"severity":"critical","stage":"decider"},"annotations":{"summary":"solved: start: \u003cno space\u003e \u0026 left"},` +
			`"startsAt":"2026-01-02T15:04:06Z","endsAt":"2026-01-02T15:04:06Z"}]`},
	} {
		m := someMessage(tt.kind)
		r, err := requestOf(tt.of, "http://127.0.0.1/hook", m)
		if err != nil {
			t.Fatal(err)
		}
		body, want := string(r.body), strings.ReplaceAll(tt.want, "ID", m.ID)
		if r.method != tt.method || r.url != "http://127.0.0.1"+strings.ReplaceAll(tt.path, "ID", m.ID) || body != want {
			t.Errorf("%s of %s: %s %s\n%s\nwant %s\n%s", tt.of, tt.kind, r.method, r.url, body, tt.method, want)
		}
	}
	for _, none := range []Type{Email, Command, "pigeon"} {
		if _, err := requestOf(none, "", someMessage("failed")); err == nil {
			t.Errorf("%s is a webhook", none)
		}
	}
}

// secretFile is one with a secret, of a folder that only its owner can change.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWebhookIsSigned(t *testing.T) {
	const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	checks, err := webhook.NewWebhook(key)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m Message
		got <- errors.Join(err, checks.Verify(body, r.Header), json.Unmarshal(body, &m))
		if auth := r.Header.Get("Authorization"); auth != "Bearer some-token" {
			t.Errorf("Authorization: %q", auth)
		}
	}))
	defer server.Close()
	target := Target{
		Type:       JSON,
		URLFile:    secretFile(t, server.URL+"/a?b=c\n"),
		SecretFile: secretFile(t, key),
		TokenFile:  secretFile(t, "some-token\n"),
	}
	if err := target.deliver(t.Context(), newClient(), someMessage("failed")); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the receiver says: %v", err)
	}
}

// What an answer means, and that no error has the URL, which may be a secret.
func TestWebhookAnswers(t *testing.T) {
	code, retry := 0, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if retry != "" {
			w.Header().Set("Retry-After", retry)
		}
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(code)
	}))
	defer server.Close()
	target := Target{Type: Slack, URL: server.URL + "/services/T0/hidden"}
	for _, tt := range []struct {
		code      int
		retry     string
		ok        bool
		permanent bool
		after     time.Duration
	}{
		{200, "", true, false, 0},
		{204, "", true, false, 0},
		{302, "", false, true, 0},
		{404, "", false, true, 0},
		{410, "", false, true, 0},
		{408, "", false, false, 0},
		{500, "", false, false, 0},
		{429, "7", false, false, 7 * time.Second},
		{503, "100000", false, false, maxPause},
		{503, "soon", false, false, 0},
	} {
		code, retry = tt.code, tt.retry
		err := target.deliver(t.Context(), newClient(), someMessage("failed"))
		var permanent *backoff.PermanentError
		var after *backoff.RetryAfterError
		wait := time.Duration(0)
		if errors.As(err, &after) {
			wait = after.Duration
		}
		if (err == nil) != tt.ok || errors.As(err, &permanent) != tt.permanent || wait != tt.after {
			t.Errorf("%d %s: %v, want permanent %v, after %s", tt.code, tt.retry, err, tt.permanent, tt.after)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("the error has the URL: %v", err)
		}
	}
	server.Close()
	if err := target.deliver(t.Context(), newClient(), someMessage("failed")); err == nil ||
		strings.Contains(err.Error(), "hidden") {
		t.Errorf("nobody listens: %v, want an error without the URL", err)
	}
}

func TestSecrets(t *testing.T) {
	for _, text := range []string{"", "\n", "two\nlines", strings.Repeat("x", maxSecret+1)} {
		if got, err := readSecret(secretFile(t, text)); err == nil {
			t.Errorf("%.20q: got %q, want it refused", text, got)
		}
	}
	path := secretFile(t, " some \n")
	if got, err := readSecret(path); got != "some" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecret(path); err == nil || !strings.Contains(err.Error(), "everyone may read it") {
		t.Errorf("readable by all: %v", err)
	}
	if _, err := readSecret(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	target := Target{Type: JSON, URL: "http://127.0.0.1:1", SecretFile: secretFile(t, "not base64!")}
	if err := target.deliver(t.Context(), newClient(), someMessage("failed")); err == nil ||
		strings.Contains(err.Error(), "not base64!") {
		t.Errorf("got %v, want it to name the file and not the secret", err)
	}
}

// script is a program, made of lines of the shell.
func script(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines+"\n"), 0o755); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	return path
}

func TestEmail(t *testing.T) {
	out := filepath.Join(t.TempDir(), "mail")
	target := Target{
		Type: Email, From: "vmscaler <vmscaler@kvm1.example.org>", To: []string{"ops@example.org", "Ann <ann@example.org>"},
		Sendmail: script(t, `echo "$*" > `+out+`.args; cat > `+out),
	}
	m := someMessage("failed")
	if err := target.deliver(t.Context(), newClient(), m); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mail.ReadMessage(strings.NewReader(string(data)))
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	to, err := got.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Address != "ann@example.org" {
		t.Errorf("to %v, %v", to, err)
	}
	body, _ := io.ReadAll(got.Body)
	if got.Header.Get("Subject") != "[vmscaler] web: failed: web-3: start: <no space> & left" ||
		got.Header.Get("Auto-Submitted") != "auto-generated" ||
		!strings.Contains(string(body), "host: kvm1") {
		t.Errorf("got\n%s", data)
	}
	if args, err := os.ReadFile(out + ".args"); string(args) != "-i -t\n" {
		t.Errorf("called with %q, %v", args, err)
	}
	target.Sendmail = script(t, "exit 75")
	if err := target.deliver(t.Context(), newClient(), m); err == nil || !strings.Contains(err.Error(), "75") {
		t.Errorf("a queue that is full: %v", err)
	}
	target.Sendmail = "/no/such/sendmail"
	if err := target.deliver(t.Context(), newClient(), m); err == nil {
		t.Error("no sendmail is no error")
	}
}

func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	target := Target{
		Type:    Command,
		Command: `echo "$VMSCALER_KIND $VMSCALER_GROUP $VMSCALER_VM $VMSCALER_COUNT" > ` + out + `; cat >> ` + out,
	}
	if err := target.deliver(t.Context(), newClient(), someMessage("failed")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if line, rest, _ := strings.Cut(string(data), "\n"); line != "failed web web-3 1" ||
		!strings.HasPrefix(rest, `{"v":1,"id":"msg_`) {
		t.Errorf("got %q, %v", data, err)
	}
	target.Command = "echo hidden >&2; exit 3"
	if err := target.deliver(t.Context(), newClient(), someMessage("failed")); err == nil ||
		strings.Contains(err.Error(), "hidden") {
		t.Errorf("got %v, want its status alone", err)
	}
	// It is killed with all that it has started.
	fifo := filepath.Join(t.TempDir(), "started")
	target.Command = "sleep 1000 & echo $! > " + fifo + "; wait"
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if data, err := os.ReadFile(fifo); err == nil && len(data) > 1 {
				cancel()
				return
			}
		}
	}()
	if err := target.deliver(ctx, newClient(), someMessage("failed")); err == nil {
		t.Error("a command that was killed is no error")
	}
}
