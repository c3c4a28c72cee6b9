package vm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

var errNotWanted = errors.New("not wanted any more")

// someCall is a call of the launch hook of web-1 that begins now, and what it tells.
func someCall(waitFor bus.WaitFor, changes ...func(*hookCall)) (hookCall, <-chan bus.Event) {
	told := make(chan bus.Event, 1024)
	c := hookCall{
		hook: bus.Hook{WaitFor: waitFor, Timeout: time.Minute, Default: bus.HookContinue}, kind: bus.HookLaunch,
		group: "web", vm: "web-1", uuid: someUUID, host: "kvm1", address: "10.0.0.7", reason: reasonReady, began: time.Now(),
		tell: func(e bus.Event) { told <- e },
	}
	for _, change := range changes {
		change(&c)
	}
	return c, told
}

func abandonByDefault(c *hookCall) { c.hook.Default = bus.HookAbandon }

func begunBefore(d time.Duration) func(*hookCall) {
	return func(c *hookCall) { c.began = c.began.Add(-d) }
}

func TestHookDeadlines(t *testing.T) {
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	for _, tt := range []struct {
		name                string
		timeout             time.Duration
		now                 time.Time
		deadline, prolonged time.Time
	}{
		{"at once", time.Minute, at(0), at(time.Minute), at(time.Minute)},
		{"later, as after a restart", time.Minute, at(40 * time.Second), at(time.Minute), at(100 * time.Second)},
		{"the clock was set back", time.Minute, at(-time.Hour), at(-59 * time.Minute), at(-59 * time.Minute)},
		{"100 time-outs", time.Minute, at(99*time.Minute + 30*time.Second), at(time.Minute), at(100 * time.Minute)},
		{"48 h", 30 * time.Hour, at(29 * time.Hour), at(30 * time.Hour), at(48 * time.Hour)},
		{"the longest time-out", 48 * time.Hour, at(time.Hour), at(48 * time.Hour), at(48 * time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := hookCall{hook: bus.Hook{Timeout: tt.timeout}, began: t0}
			if got := c.deadline(tt.now); !got.Equal(tt.deadline) {
				t.Errorf("deadline %s, want %s", got, tt.deadline)
			}
			if got := c.prolonged(tt.now); !got.Equal(tt.prolonged) {
				t.Errorf("after a heartbeat %s, want %s", got, tt.prolonged)
			}
		})
	}
}

func TestHookForNobodyIsNoWait(t *testing.T) {
	call, told := someCall(bus.WaitForNobody)
	var none *Hooks
	if action, err := none.wait(t.Context(), call); action != bus.HookContinue || err != nil || len(told) != 0 {
		t.Errorf("got %q, %v, and %d events", action, err, len(told))
	}
}

// answered is what a wait came to, and after which time.
type answered struct {
	action bus.HookAction
	err    error
	after  time.Duration
}

// begin waits in the background, by the clock of a synctest bubble.
func begin(ctx context.Context, h *Hooks, call hookCall) <-chan answered {
	start := time.Now()
	out := make(chan answered, 1)
	go func() {
		action, err := h.wait(ctx, call)
		out <- answered{action, err, time.Since(start)}
	}()
	synctest.Wait()
	return out
}

func TestHookOverTheBus(t *testing.T) {
	type result struct {
		action bus.HookAction
		err    string
		after  time.Duration
	}
	reply := func(after time.Duration, action bus.HookAction) func(*testing.T, *Hooks, string) {
		return func(t *testing.T, h *Hooks, token string) {
			time.Sleep(after)
			a, known, err := h.Answer(bus.Query{Token: token, Action: action, By: "ann"})
			if !known || err != nil || a.V != bus.Version || a.Group != "web" || a.VM != "web-1" || a.Hook != bus.HookLaunch ||
				a.Action != action ||
				a.Deadline != nil {
				t.Errorf("answer: %+v, %v, %v", a, known, err)
			}
			if _, again, _ := h.Answer(bus.Query{Token: token, Action: action}); again {
				t.Error("a second answer was taken")
			}
		}
	}
	nobody := func(*testing.T, *Hooks, string) {}
	for _, tt := range []struct {
		name  string
		call  []func(*hookCall)
		reply func(*testing.T, *Hooks, string)
		want  result
	}{
		{"continue", nil, reply(time.Second, bus.HookContinue), result{bus.HookContinue, "", time.Second}},
		{
			"abandon", nil, reply(time.Second, bus.HookAbandon),
			result{bus.HookAbandon, "the launch hook of web-1 said abandon", time.Second},
		},
		{"no answer", nil, nobody, result{bus.HookContinue, "", time.Minute}},
		{"no answer, abandon", []func(*hookCall){abandonByDefault}, nobody, result{bus.HookAbandon, "no answer came", time.Minute}},
		{"restarted", []func(*hookCall){begunBefore(40 * time.Second)}, nobody, result{bus.HookContinue, "", 20 * time.Second}},
		{
			"restarted too late",
			[]func(*hookCall){begunBefore(time.Hour), abandonByDefault},
			nobody,
			result{bus.HookAbandon, "no answer came", 0},
		},
		{
			"answered after a restart",
			[]func(*hookCall){begunBefore(40 * time.Second)},
			reply(time.Second, bus.HookContinue),
			result{bus.HookContinue, "", time.Second},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewHooks(zerolog.Nop())
				call, told := someCall(bus.WaitForBus, tt.call...)
				out := begin(t.Context(), h, call)
				e := <-told
				if e.Event != bus.EventWaiting || e.Group != "web" || e.VM != "web-1" || len(e.Token) < 20 ||
					!e.Deadline.Equal(call.began.Add(time.Minute)) ||
					!containsAll(e.Sentence, "launch hook", string(call.hook.Default)) {
					t.Errorf("event %+v", e)
				}
				tt.reply(t, h, e.Token)
				got := <-out
				if got.action != tt.want.action || got.after != tt.want.after || (got.err == nil) != (tt.want.err == "") ||
					got.err != nil && !strings.Contains(got.err.Error(), tt.want.err) {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
				if len(h.waiters) != 0 {
					t.Errorf("left: %d", len(h.waiters))
				}
			})
		})
	}
}

func TestHookHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHooks(zerolog.Nop())
		call, told := someCall(bus.WaitForBus)
		out := begin(t.Context(), h, call)
		first := <-told
		for beat := range 120 { // more than count
			time.Sleep(50 * time.Second)
			synctest.Wait()
			a, known, err := h.Answer(bus.Query{Token: first.Token, Action: bus.HookHeartbeat})
			want := earlier(time.Now().Add(time.Minute), call.began.Add(100*time.Minute))
			if !known || err != nil || a.Deadline == nil || !a.Deadline.Equal(want) || a.Action != bus.HookHeartbeat {
				t.Fatalf("heartbeat %d: %+v, %v, %v, want until %s", beat, a, known, err, want)
			}
			synctest.Wait()
			if e := <-told; e.Event != bus.EventWaiting || e.Token != first.Token || !e.Deadline.Equal(want) {
				t.Fatalf("heartbeat %d: event %+v, want until %s", beat, e, want)
			}
			if len(out) > 0 {
				t.Fatalf("heartbeat %d: it waits no more: %+v", beat, <-out)
			}
			if want.Equal(call.began.Add(100 * time.Minute)) {
				break
			}
		}
		if got := <-out; got.action != bus.HookContinue || got.after != 100*time.Minute {
			t.Errorf("got %+v, want continue after 100 time-outs", got)
		}
	})
}

func TestHookAnswersThatAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHooks(zerolog.Nop())
		ctx, cancel := context.WithCancelCause(t.Context())
		call, told := someCall(bus.WaitForBus)
		out := begin(ctx, h, call)
		token := (<-told).Token
		for _, wrong := range []string{"", "nosuch", token + "A"} {
			if _, known, err := h.Answer(bus.Query{Token: wrong, Action: bus.HookContinue}); known || err != nil {
				t.Errorf("token %q: %v, %v", wrong, known, err)
			}
		}
		for _, wrong := range []bus.HookAction{"", "Continue", "stop"} {
			if _, known, err := h.Answer(bus.Query{Token: token, Action: wrong}); !known || err == nil ||
				!containsAll(err.Error(), "continue", "abandon", "heartbeat") {
				t.Errorf("action %q: %v, %v", wrong, known, err)
			}
		}
		if len(out) > 0 {
			t.Fatalf("it waits no more: %+v", <-out)
		}
		cancel(errNotWanted)
		if got := <-out; got.action != "" || !errors.Is(got.err, errNotWanted) {
			t.Errorf("got %+v, want no answer and the cause", got)
		}
		if _, known, _ := h.Answer(bus.Query{Token: token, Action: bus.HookContinue}); known {
			t.Error("an answer was taken after the wait")
		}
	})
}

func TestHookCommand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, command string
		call          []func(*hookCall)
		want          bus.HookAction
		err           []string
	}{
		{name: "continue", command: "echo done", want: bus.HookContinue},
		{
			name: "abandon", command: "echo first; echo 'no backend web' >&2; echo; exit 7", want: bus.HookAbandon,
			err: []string{"the launch hook of web-1", "exit status 7", "the actuator's log"},
		},
		{name: "says nothing", command: "exit 1", want: bus.HookAbandon, err: []string{"exit status 1"}},
		{name: "killed by somebody", command: "kill -9 $$", want: bus.HookAbandon, err: []string{"signal: killed"}},
		{name: "no such command", command: "/nonexistent/command", want: bus.HookAbandon, err: []string{"exit status 127"}},
		{name: "no input", command: "read line && exit 1; exit 0", want: bus.HookContinue},
		{name: "leaves something in the background", command: "sleep 5 & exit 0", want: bus.HookContinue},
		{
			name: "time-out", command: "sleep 1000; exit 1", call: []func(*hookCall){begunBefore(time.Minute - 100*time.Millisecond)},
			want: bus.HookContinue,
		},
		{
			name: "time-out, abandon", command: "sleep 1000",
			call: []func(*hookCall){begunBefore(time.Minute - 100*time.Millisecond), abandonByDefault},
			want: bus.HookAbandon, err: []string{"no answer came"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			call, told := someCall(bus.WaitForCommand, tt.call...)
			call.hook.Command = tt.command
			got, err := NewHooks(zerolog.Nop()).wait(t.Context(), call)
			if got != tt.want || (err == nil) != (tt.err == nil) || err != nil && !containsAll(err.Error(), tt.err...) {
				t.Errorf("got %q, %v; want %q, %q", got, err, tt.want, tt.err)
			}
			if e := <-told; e.Event != bus.EventWaiting || e.Token != "" || !e.Deadline.Equal(call.began.Add(time.Minute)) ||
				!strings.Contains(e.Sentence, "command") {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// A restart after the time-out takes the default at once.
func TestHookCommandThatIsTooLateDoesNotRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ran")
	call, told := someCall(bus.WaitForCommand, begunBefore(time.Hour))
	call.hook.Command = "touch " + file
	got, err := NewHooks(zerolog.Nop()).wait(t.Context(), call)
	if _, stat := os.Stat(file); got != bus.HookContinue || err != nil || len(told) != 0 || stat == nil {
		t.Errorf("got %q, %v, %d events; it ran: %v", got, err, len(told), stat == nil)
	}
}

func TestHookCommandEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	call, _ := someCall(bus.WaitForCommand)
	call.hook.Command = "env | grep -e ^VMSCALER_ -e ^TRACEPARENT | sort > " + file
	provider := sdk.NewTracerProvider()
	defer func() { _ = provider.Shutdown(context.Background()) }()
	ctx, header, end := tracing.New(provider).Begin(t.Context(), "", tracing.Work{Name: "launch"})
	defer end(nil)
	if got, err := NewHooks(zerolog.Nop()).wait(ctx, call); got != bus.HookContinue || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := "TRACEPARENT=" + header + "\n" +
		"VMSCALER_ADDRESS=10.0.0.7\nVMSCALER_GROUP=web\nVMSCALER_HOOK=launch\nVMSCALER_HOOK_NAME=\nVMSCALER_HOST=kvm1\n" +
		"VMSCALER_REASON=ready\nVMSCALER_UUID=" + someUUID + "\nVMSCALER_VM=web-1\n"
	if string(text) != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
}

// What the command has started goes with it, at the time-out and when the wait ends. The pipe ends when the last who
// could write to it is gone.
func TestHookCommandIsKilledWithItsGroup(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		cause error
		want  bus.HookAction
	}{
		{"at the time-out", context.DeadlineExceeded, bus.HookContinue},
		{"when the wait ends", errNotWanted, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pipe := filepath.Join(t.TempDir(), "pipe")
			if err := syscall.Mkfifo(pipe, 0o600); err != nil {
				t.Fatal(err)
			}
			call, _ := someCall(bus.WaitForCommand)
			call.hook.Command = "exec 3>" + pipe + "; sleep 1000 & echo started >&3; wait"
			if tt.want != "" {
				call.hook.Timeout = 5 * time.Second // enough for a shell to start
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			type result struct {
				action bus.HookAction
				err    error
			}
			out := make(chan result, 1)
			go func() {
				action, err := NewHooks(zerolog.Nop()).wait(ctx, call)
				out <- result{action, err}
			}()
			f, err := os.Open(pipe)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			started := make([]byte, len("started\n"))
			if _, err := io.ReadFull(f, started); err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				cancel(tt.cause)
			}
			if rest, err := io.ReadAll(f); err != nil || len(rest) > 0 {
				t.Errorf("read %q, %v", rest, err)
			}
			if got := <-out; got.action != tt.want || tt.want == "" && !errors.Is(got.err, tt.cause) {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
		})
	}
}

func TestHookOutputIsItsEnd(t *testing.T) {
	var out tail
	for range 3000 {
		_, _ = out.Write([]byte("0123456789"))
	}
	_, _ = out.Write([]byte("\n the last line \n\n"))
	if len(out.text) != hookOutput || !strings.HasSuffix(string(out.text), "the last line \n\n") {
		t.Errorf("%d bytes, the end %q", len(out.text), out.text[len(out.text)-20:])
	}
}

func TestFarewellHookIsShort(t *testing.T) {
	for _, tt := range []struct{ timeout, want time.Duration }{
		{time.Second, time.Second},
		{time.Minute, farewellWait},
		{48 * time.Hour, farewellWait},
	} {
		got := farewellHooks(bus.HookList{
			{WaitFor: bus.WaitForBus}, {WaitFor: bus.WaitForCommand, Timeout: tt.timeout, Default: bus.HookAbandon},
		})
		if len(got) != 1 || got[0].Timeout != tt.want || got[0].Default != bus.HookContinue {
			t.Errorf("of %s: %+v", tt.timeout, got)
		}
	}
}

func TestNoAddress(t *testing.T) {
	for _, tt := range []struct {
		address string
		ready   bus.ReadyWhen
		wait    bus.WaitFor
		refused bool
	}{
		{"10.0.0.7", bus.ReadyAgent, bus.WaitForCommand, false},
		{"", bus.ReadyAgent, bus.WaitForCommand, true},
		{"", bus.ReadyLease, bus.WaitForCommand, true},
		{"", bus.ReadyUptime, bus.WaitForCommand, false},
		{"", bus.ReadyAgent, bus.WaitForBus, false},
		{"", bus.ReadyAgent, bus.WaitForNobody, false},
	} {
		err := noAddress(
			bus.Group{ReadyWhen: tt.ready, Hooks: bus.Hooks{Launch: bus.HookList{{WaitFor: tt.wait}}}},
			"web-1",
			tt.address,
		)
		if (err != nil) != tt.refused {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// What a hook's command prints may be a secret, or a guest's: it goes to the log alone, on one harmless line.
func TestHookOutputStaysInTheLog(t *testing.T) {
	for _, status := range []string{"0", "7"} {
		var log bytes.Buffer
		call, told := someCall(bus.WaitForCommand)
		call.hook.Command = `printf 'token=hunter2\n\033[2Jall is well\n'; exit ` + status
		_, err := NewHooks(
			zerolog.New(&log).Level(map[string]zerolog.Level{"0": zerolog.InfoLevel, "7": zerolog.WarnLevel}[status]),
		).wait(t.Context(), call)
		if (err != nil) != (status == "7") ||
			err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "exit status 7")) {
			t.Errorf("status %s: the error says %v", status, err)
		}
		if text := log.String(); !strings.Contains(text, "token=hunter2␊␛[2Jall is well") || strings.ContainsRune(text, 0x1b) {
			t.Errorf("status %s: the log says %s", status, text)
		}
		if e := <-told; strings.Contains(e.Sentence+e.Error, "hunter2") {
			t.Errorf("status %s: the event says %+v", status, e)
		}
	}
}

// A hook that the config has no more holds nothing: a command is killed, and nobody's answer is waited for. Those that it still
// has are waited for on.
func TestDroppedHook(t *testing.T) {
	for name, tt := range map[string]struct {
		waitFor bus.WaitFor
		now     bus.Hooks // by the new config
		group   string
		drops   bool
	}{
		"none any more":          {bus.WaitForBus, bus.Hooks{}, "web", true},
		"no command any more":    {bus.WaitForCommand, bus.Hooks{}, "web", true},
		"another is waited for":  {bus.WaitForBus, bus.Hooks{Launch: bus.HookList{{WaitFor: bus.WaitForCommand}}}, "web", true},
		"another name":           {bus.WaitForBus, bus.Hooks{Launch: bus.HookList{{Name: "lb", WaitFor: bus.WaitForBus}}}, "web", true},
		"of the other moment":    {bus.WaitForBus, bus.Hooks{Remove: bus.HookList{{WaitFor: bus.WaitForBus}}}, "web", true},
		"it is there still":      {bus.WaitForBus, bus.Hooks{Launch: bus.HookList{{WaitFor: bus.WaitForBus}}}, "web", false},
		"another group's config": {bus.WaitForBus, bus.Hooks{}, "db", false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			h := NewHooks(zerolog.Nop())
			call, told := someCall(tt.waitFor, abandonByDefault, func(c *hookCall) { c.hook.Command = "sleep 60" })
			type answer struct {
				action bus.HookAction
				err    error
			}
			answers := make(chan answer, 1)
			go func() {
				action, err := h.wait(ctx, call)
				answers <- answer{action, err}
			}()
			<-told
			h.Keep(tt.group, tt.now)
			if !tt.drops {
				cancel(errNotWanted)
			}
			got := <-answers
			if tt.drops && (got.action != bus.HookContinue || got.err != nil) || !tt.drops && !errors.Is(got.err, errNotWanted) {
				t.Errorf("%+v", got)
			}
		})
	}
}
