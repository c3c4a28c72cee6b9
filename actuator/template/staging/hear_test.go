package staging

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// ear is a loop by a clock, with a pool that has nothing and no room.
func ear(t *testing.T, now *time.Time) *loop {
	t.Helper()
	s, err := New(Config{
		Listen: "127.0.0.1:0", Dir: t.TempDir(), Pool: &folder{dir: t.TempDir(), no: errors.New("full")}, Instance: "self",
		Now: func() time.Time { return *now },
	}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{
		Stager: s, running: &sync.WaitGroup{}, infos: map[string]template.Info{}, transfers: map[string]*transfer{},
		failures: map[string]failure{}, shunned: map[shun]time.Time{}, waits: map[string]time.Time{},
		changed: map[string]bool{}, came: map[string]bool{}, ends: make(chan ended, atOnce),
	}
	t.Cleanup(l.running.Wait)
	return l
}

// says has a host be heard as an instance of its choice.
func (l *loop) says(id bus.HostID, instance string, p peer) {
	l.Hear(bus.Health{Instance: instance, Acts: &bus.Acts{HostID: id, Serves: &p.serves, Templates: p.templates}})
}

// An agent speaks for its host alone, whatever it calls itself: it takes no other's place, and no more than one.
func TestHearByHost(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ear(t, &now)
	l.says("a", "actuator-1", offering("a", "web", digestA, bus.TemplateReady))
	l.says("b", "actuator-1", offering("b", "web", digestB, bus.TemplateReady))
	for i := range 2 * maxPeers {
		l.says("b", fmt.Sprint(i), offering("b", "web", digestB, bus.TemplateReady))
	}
	l.says("c", "actuator-3", offering("c", "web", digestB, bus.TemplateReady))
	for _, fingerprint := range []string{"fp-a", "fp-b", "fp-c"} {
		if !l.knows(fingerprint) {
			t.Errorf("%s is not known", fingerprint)
		}
	}
	if _, _, p := choose(Wanted{"web", ""}, l.heard(now), nil); p == nil || p.reason != bus.TemplateDiffers {
		t.Errorf("the hosts differ, and the problem is %+v", p)
	}
}

// Who is not heard any more offers nothing, also while nobody else is heard.
func TestSilentHostsOfferNothing(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ear(t, &now)
	l.says("a", "1", offering("a", "web", digestA, bus.TemplateReady))
	on := &transfer{name: "web", source: source{digest: digestA}}
	now = now.Add(peerAge)
	if len(l.holders(on)) != 1 || !l.knows("fp-a") {
		t.Error("it counts no more before its time")
	}
	now = now.Add(1)
	l.Want("self", []Wanted{{"web", ""}})
	l.looked = now
	l.step(t.Context())
	if len(l.holders(on)) != 0 || l.knows("fp-a") || len(l.transfers) != 0 {
		t.Errorf("holders %v, transfers %v", l.holders(on), l.transfers)
	}
}

// The first host that is heard does not decide which file a template is: the others are heard first, unless the config says it.
func TestTheFirstHeardDoesNotDecide(t *testing.T) {
	for _, tt := range []struct {
		name   string
		digest string // that the config says
		after  time.Duration
		want   bus.TemplateState
	}{
		{"at once", "", 0, bus.TemplateUnknown},
		{"before the others", "", firstHeard - 1, bus.TemplateUnknown},
		{"after them", "", firstHeard, bus.TemplateFetching},
		{"the config says it", digestA, 0, bus.TemplateFetching},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			l := ear(t, &now)
			now = now.Add(time.Hour) // it has been alone
			l.says("a", "1", offering("a", "web", digestA, bus.TemplateReady))
			now = now.Add(tt.after)
			got := l.stand(t.Context(), Wanted{"web", tt.digest}, l.heard(now), now)
			if got.State != tt.want || (len(l.transfers) > 0) != (tt.want == bus.TemplateFetching) {
				t.Errorf("%+v with %d transfers, want %s", got, len(l.transfers), tt.want)
			}
		})
	}
}
