package service

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// recorder is a notifier with a clock of its own, and what it has sent.
type recorder struct {
	*Notifier
	now  time.Time
	sent []string
}

func newRecorder(watchdog time.Duration) *recorder {
	r := &recorder{now: time.Unix(1000, 0)}
	r.Notifier = newNotifier(func(s string) error { r.sent = append(r.sent, s); return nil }, watchdog,
		func() time.Time { return r.now })
	return r
}

func (r *recorder) want(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(r.sent, "|"); got != strings.Join(want, "|") {
		t.Errorf("sent %q, want %q", r.sent, want)
	}
	r.sent = nil
}

// A real socket of a manager: what is sent is what arrives, one datagram each.
func TestSpeaksToTheManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000000")
	n := New(zerolog.Nop())
	if n.watchdog != 20*time.Second {
		t.Errorf("watchdog %s, want 20 s", n.watchdog)
	}
	read := func() string {
		t.Helper()
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		size, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:size])
	}
	n.Expect()()
	if got := read(); got != "READY=1\nSTATUS=running" {
		t.Errorf("found %q", got)
	}
	done := n.Reload()
	if got := read(); !regexp.MustCompile(`^RELOADING=1\nSTATUS=reloading the config\nMONOTONIC_USEC=\d{3,}$`).MatchString(got) {
		t.Errorf("found %q", got)
	}
	done()
	if got := read(); got != "READY=1\nSTATUS=running" {
		t.Errorf("found %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "STOPPING=1\nSTATUS=stopping; the VMs keep running" {
		t.Errorf("found %q", got)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	n := New(zerolog.Nop())
	if err := n.send("READY=1"); err != nil || n.watchdog != 0 {
		t.Errorf("error %v, watchdog %s: want none of both", err, n.watchdog)
	}
}

func TestReadyOnceAllHasHappened(t *testing.T) {
	r := newRecorder(0)
	runs, sampled := r.Expect(), r.Expect()
	r.Report("collector", errors.New("reach libvirt: refused"))
	runs()
	runs()
	r.want(t)
	r.Report("collector", nil)
	sampled()
	r.want(t, "READY=1\nSTATUS=all is well: collector")
}

func TestStatusIsOneSentenceAtAChange(t *testing.T) {
	r := newRecorder(0)
	r.Expect()()
	r.sent = nil
	r.Report("decider", nil)
	r.Report("decider", nil)
	r.want(t, "STATUS=all is well: decider")
	r.Report("actuator", errors.New("libvirt\nREADY=1 has not answered"))
	r.want(t, "STATUS=actuator: libvirt READY=1 has not answered")
	r.Report("actuator", errors.New(strings.Repeat("ä", 300)))
	if len(r.sent) != 1 || len(r.sent[0]) > longestStatus+len("STATUS=...") {
		t.Errorf("sent %q, want it cut", r.sent)
	}
}

// A loop that stands still ends the watchdog's signs of life, although all others go on.
func TestWatchdogGoesByTheLoops(t *testing.T) {
	r := newRecorder(60 * time.Second)
	r.Expect()()
	r.sent = nil
	decider, actuator := r.Loop("decider"), r.Loop("actuator")
	r.now = r.now.Add(30 * time.Second)
	r.watch()
	r.want(t, "WATCHDOG=1")
	actuator()
	r.now = r.now.Add(time.Second)
	r.watch()
	r.want(t, "STATUS=the loop of decider stands still: the watchdog is told nothing")
	r.watch()
	r.want(t)
	decider()
	r.watch()
	r.want(t, "WATCHDOG=1", "STATUS=running")
}

func TestStoppingIsTheLastWord(t *testing.T) {
	r := newRecorder(0)
	r.Expect()()
	r.sent = nil
	r.Stopping()
	r.Report("decider", errors.New("late"))
	r.Stopping()
	r.want(t, "STOPPING=1\nSTATUS=stopping; the VMs keep running")
}
