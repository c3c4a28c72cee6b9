// Package service tells a service manager how this process is, by the protocol of systemd's Type=notify: ready, in one sentence
// what it does, that it reloads or stops, and that its loops live. Without a service manager it does nothing.
package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
)

// longestStatus is how many bytes of a sentence are sent: it is one line of `systemctl status`.
const longestStatus = 400

// Notifier tells the service manager. Its methods are safe for concurrent use.
type Notifier struct {
	send     func(state string) error
	watchdog time.Duration // after which the manager takes a silent process for hung; 0: it does not ask
	now      func() time.Time

	mu       sync.Mutex
	waits    int                  // for so many, until it is ready
	reported map[string]string    // what is wrong with a stage, "" for one that is well
	beaten   map[string]time.Time // when each loop last said that it lives
	stalled  string               // a loop that stands still; "": none
	said     string               // the status that was sent last
	stopping bool
}

// New is the notifier of the manager that has started this process, by the environment that it gave. What cannot be sent is
// logged once and stops nothing.
func New(log zerolog.Logger) *Notifier {
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("the service manager's watchdog is left alone")
	}
	var once sync.Once
	return newNotifier(func(state string) error {
		_, err := daemon.SdNotify(false, state)
		if err != nil {
			once.Do(func() { log.Warn().Err(err).Msg("the service manager cannot be told how this is") })
		}
		return err //nolint:wrapcheck // nobody but a test looks at it
	}, watchdog, time.Now)
}

// Nobody is a notifier that tells nobody.
func Nobody() *Notifier { return newNotifier(func(string) error { return nil }, 0, time.Now) }

func newNotifier(send func(string) error, watchdog time.Duration, now func() time.Time) *Notifier {
	return &Notifier{send: send, watchdog: watchdog, now: now, reported: map[string]string{}, beaten: map[string]time.Time{}}
}

// tell sends some lines. That it fails stops nothing.
func (n *Notifier) tell(lines ...string) { _ = n.send(strings.Join(lines, "\n")) }

// Waiting says what the process waits for before it can start.
func (n *Notifier) Waiting(why error) { n.tell(status("waiting: " + why.Error())) }

// Expect makes one more event that readiness waits for. Each call of happened counts once, also if it comes again.
func (n *Notifier) Expect() (happened func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waits++
	return sync.OnceFunc(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.waits--; n.waits == 0 && !n.stopping {
			n.said = n.sentence()
			n.tell(daemon.SdNotifyReady, status(n.said))
		}
	})
}

// Report takes how a stage is: nil is well.
func (n *Notifier) Report(stage string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reported[stage] = ""
	if err != nil {
		n.reported[stage] = err.Error()
	}
	n.update()
}

// update sends the sentence, where it is another one.
func (n *Notifier) update() {
	if now := n.sentence(); now != n.said && n.waits == 0 && !n.stopping {
		n.said = now
		n.tell(status(now))
	}
}

// sentence is what the process does, or what is wrong.
func (n *Notifier) sentence() string {
	var wrong []string
	stages := slices.Sorted(maps.Keys(n.reported))
	for _, stage := range stages {
		if text := n.reported[stage]; text != "" {
			wrong = append(wrong, stage+": "+text)
		}
	}
	switch {
	case n.stalled != "":
		return "the loop of " + n.stalled + " stands still: the watchdog is told nothing"
	case len(wrong) > 0:
		return strings.Join(wrong, "; ")
	case len(stages) == 0:
		return "running"
	}
	return "all is well: " + strings.Join(stages, ", ")
}

// Loop is a loop that must live, which calls beat in each of its turns. From this moment on it counts.
func (n *Notifier) Loop(name string) (beat func()) {
	beat = func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.beaten[name] = n.now()
	}
	beat()
	return beat
}

// Reload says that the config is being read again; done that this is over.
func (n *Notifier) Reload() (done func()) {
	lines := []string{daemon.SdNotifyReloading, status("reloading the config")}
	if usec, err := monotonic(); err == nil {
		lines = append(lines, fmt.Sprintf("MONOTONIC_USEC=%d", usec))
	}
	n.tell(lines...)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.said = n.sentence()
		n.tell(daemon.SdNotifyReady, status(n.said))
	}
}

// Stopping says that the process ends.
func (n *Notifier) Stopping() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopping {
		n.stopping = true
		n.tell(daemon.SdNotifyStopping, status("stopping; the VMs keep running"))
	}
}

// Run keeps the manager's watchdog quiet for as long as all loops live, until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	var ticks <-chan time.Time // none, where nobody watches
	if n.watchdog > 0 {
		t := time.NewTicker(n.watchdog / 4)
		defer t.Stop()
		ticks = t.C
	}
	for {
		select {
		case <-ctx.Done():
			n.Stopping()
			return nil
		case <-ticks:
			n.watch()
		}
	}
}

// watch says that the process lives, unless a loop stands still.
func (n *Notifier) watch() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(n.beaten)) {
		if n.now().Sub(n.beaten[name]) > n.watchdog/2 {
			n.stalled = name
			n.update()
			return
		}
	}
	n.stalled = ""
	n.tell(daemon.SdNotifyWatchdog)
	n.update()
}

// status is a sentence as the protocol has it, in one line.
func status(sentence string) string {
	sentence = strings.Join(strings.Fields(sentence), " ")
	if len(sentence) > longestStatus {
		sentence = strings.ToValidUTF8(sentence[:longestStatus], "") + "..."
	}
	return "STATUS=" + sentence
}
