package actuator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/check"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// checkedGroup is the group web with the checks.
func checkedGroup(checks ...bus.Check) map[string]*group {
	for i, c := range checks {
		checks[i] = c.WithDefaults()
	}
	return map[string]*group{"web": {spec: webSpec(func(g *bus.Group) { g.Checks = checks })}}
}

var serves = bus.Check{Type: bus.CheckHTTP, Failures: 2}

// A VM that fails a check by itself is sick; what more than half of the VMs fail at once makes none of them so.
func TestWhoFailsChecks(t *testing.T) {
	for _, tt := range []struct {
		name     string
		results  []string // of each VM, one a round: + well, - failing, ? unknown
		sick     string
		events   string
		problems string // a part; "": none
	}{
		{"all are well", []string{"++", "++"}, "", "", ""},
		{"one of one", []string{"--"}, "web-1", "web-1 failing", `the check "http :80/" fails on web-1`},
		{"one of two", []string{"++", "--"}, "web-2", "web-2 failing", "fails on web-2"},
		{"one of two, the other one once", []string{"+-", "--"}, "", "web-2 failing", "2 of 2 VMs here fail"},
		{"two of two", []string{"--", "--"}, "", "web-1 failing, web-2 failing", "(web-1, web-2)"},
		{"two of four", []string{"--", "--", "++", "++"}, "web-1 web-2", "web-1 failing, web-2 failing", "fails on web-1, web-2"},
		{"three of four", []string{"--", "--", "--", "++"}, "", "web-1 failing, web-2 failing, web-3 failing", "none is replaced"},
		{
			"five of six",
			[]string{"--", "--", "--", "--", "--", "++"},
			"",
			"web-1 failing, web-2 failing, web-3 failing, web-4 failing, web-5 failing", "web-1, web-2, web-3 and 2 more",
		},
		{"what is unknown is no failure", []string{"??", "--", "??"}, "web-2", "web-2 failing", "fails on web-2"},
		{
			"one recovers, and the other fails",
			[]string{"--++", "+---"},
			"web-2",
			"web-1 failing, web-1 recovered, web-2 failing", "fails on web-2",
		},
		{
			"one recovers, and the other goes on failing",
			[]string{"--++", "----"},
			"web-2",
			"web-1 failing, web-2 failing, web-1 recovered", "fails on web-2",
		},
		{
			"one recovers, and the other has not failed again often enough",
			[]string{"--+", "---"},
			"",
			"web-1 failing, web-2 failing, web-1 recovered", "fails on web-2",
		},
		{"both recover", []string{"--+", "--+"}, "", "web-1 failing, web-2 failing, web-1 recovered, web-2 recovered", ""},
		{"said once", []string{"-----"}, "web-1", "web-1 failing", "fails on web-1"},
	} {
		groups, c, now := checkedGroup(serves), checkups{}, t0
		var owned []vm.VM
		for i := range tt.results {
			owned = append(owned, running(i+1))
		}
		c.look(owned, groups, nil, now)
		var events []string
		for round := range tt.results[0] {
			now = now.Add(5 * time.Second)
			for i, v := range owned {
				outcome := map[byte]check.Outcome{'+': check.Well, '-': check.Failing, '?': check.Unknown}[tt.results[i][round]]
				if e, changed := c.take(groups, try{v.UUID, 0}, check.Result{At: now, Outcome: outcome, Why: "refused"}); changed {
					events = append(events, fmt.Sprintf("%s %s", e.VM, e.Event))
				}
			}
		}
		sick := c.sick(groups["web"])
		var names []string
		for _, v := range owned {
			if is, found := sick[v.UUID]; found {
				names = append(names, v.Name)
				if !containsAll(is.why, `"http :80/"`, "refused") || is.since.IsZero() {
					t.Errorf("%s: %s is sick: %+v", tt.name, v.Name, is)
				}
			}
		}
		if got := strings.Join(names, " "); got != tt.sick {
			t.Errorf("%s: sick: %q, want %q", tt.name, got, tt.sick)
		}
		if got := strings.Join(events, ", "); got != tt.events {
			t.Errorf("%s: events %q, want %q", tt.name, got, tt.events)
		}
		problems := c.troubles(groups["web"]).Error()
		if (problems == "") != (tt.problems == "") || !strings.Contains(problems, tt.problems) {
			t.Errorf("%s: problems %q, want %q", tt.name, problems, tt.problems)
		}
	}
}

// A check that all fail does not excuse another one that a VM fails alone.
func TestCommonByCheck(t *testing.T) {
	groups, c := checkedGroup(serves, bus.Check{Type: bus.CheckTCP, Port: 22, Failures: 1}), checkups{}
	owned := []vm.VM{running(1), running(2), running(3)}
	c.look(owned, groups, nil, t0)
	for i, v := range owned {
		for range 2 {
			c.take(groups, try{v.UUID, 0}, check.Result{At: t0, Outcome: check.Failing, Why: "common"})
		}
		outcome := check.Well
		if i == 1 {
			outcome = check.Failing
		}
		c.take(groups, try{v.UUID, 1}, check.Result{At: t0, Outcome: outcome, Why: "alone"})
	}
	sick := c.sick(groups["web"])
	if len(sick) != 1 || !containsAll(sick[owned[1].UUID].why, "tcp :22", "alone") {
		t.Errorf("sick: %+v", sick)
	}
}

// Only VMs in service are tried, and what was seen of one is forgotten when it is not any more.
func TestWhoIsTried(t *testing.T) {
	groups := checkedGroup(serves, bus.Check{Type: bus.CheckAgent, For: bus.CheckForReady})
	groups["plain"] = &group{spec: webSpec(func(g *bus.Group) { g.Name = "plain" })}
	plain := running(7)
	plain.Meta.Group = "plain"
	foreign := running(8)
	foreign.Meta.Group = "other"
	busy := map[string]*worker{running(5).UUID: {}}
	c := checkups{}
	c.look([]vm.VM{
		running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning), vmOf(3, bus.PhaseReady, bus.StatePaused),
		vmOf(4, bus.PhaseReady, bus.StateShutoff), running(5), running(6), plain, foreign,
	}, groups, busy, t0)
	first, last := try{running(1).UUID, 0}, try{running(6).UUID, 0}
	if got := c.due(groups, nil, t0); !slices.Equal(got, []try{first, last}) {
		t.Errorf("tried: %+v", got)
	}
	c.take(groups, first, check.Result{At: t0, Outcome: check.Failing})
	c.look([]vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused)}, groups, nil, t0)
	if e, changed := c.take(groups, first, check.Result{At: t0, Outcome: check.Failing}); changed {
		t.Errorf("a VM that is suspended: %+v", e)
	}
	c.look([]vm.VM{running(1)}, groups, nil, t0)
	if e, changed := c.take(groups, first, check.Result{At: t0, Outcome: check.Failing}); changed {
		t.Errorf("a failure from before it was suspended counts: %+v", e)
	}
}

// Each check is tried once in its interval, the one that is due for longest first, and so many at a time.
func TestDueTries(t *testing.T) {
	groups := checkedGroup(serves, bus.Check{Type: bus.CheckCommand, Command: []string{"x"}, Interval: time.Minute})
	c, on := checkups{}, map[try]bool{}
	var owned []vm.VM
	for i := range 20 {
		owned = append(owned, running(i+1))
	}
	c.look(owned, groups, nil, t0)
	begin := func(now time.Time) (asking, others int) {
		for _, t := range c.due(groups, on, now) {
			on[t] = true
			if t.index == 1 {
				asking++
			} else {
				others++
			}
		}
		return asking, others
	}
	if asking, others := begin(t0); asking != mostAsking || others != mostTries-mostAsking {
		t.Errorf("at first %d that ask guests and %d others", asking, others)
	}
	if asking, others := begin(t0.Add(time.Hour)); asking+others != 0 {
		t.Errorf("beside as many as there may be: %d and %d", asking, others)
	}
	first := maps.Clone(on)
	clear(on)
	begin(t0)
	for try := range on {
		if first[try] {
			t.Errorf("%+v is tried again before others were", try)
		}
	}
	for range 20 { // until nothing is due
		clear(on)
		begin(t0)
	}
	clear(on)
	if asking, others := begin(t0.Add(5 * time.Second)); asking != 0 || others != mostTries {
		t.Errorf("after the interval of one: %d and %d", asking, others)
	}
}

// A guest that restarts has the time of a boot, and a VM the grace after it became ready.
func TestChecksOfARestart(t *testing.T) {
	groups, c := checkedGroup(serves), checkups{}
	groups["web"].spec.BootTimeout = time.Minute
	v := running(1)
	c.look([]vm.VM{v}, groups, nil, t0)
	c.restarted(v.UUID, t0)
	c.restarted("gone", t0)
	fail := func(after time.Duration) bool {
		_, changed := c.take(groups, try{v.UUID, 0}, check.Result{At: t0.Add(after), Outcome: check.Failing})
		return changed
	}
	for after := time.Second; after < time.Minute; after += 5 * time.Second {
		if fail(after) {
			t.Fatalf("failing %s after its restart", after)
		}
	}
	if !fail(time.Minute + time.Second) {
		t.Error("not failing after the time of a boot")
	}
}

// After a pause of health the last result of a check is as old as the pause: a VM is sick only if it fails the next try, which is
// due at once.
func TestResumedHealthTriesAgain(t *testing.T) {
	for outcome, sick := range map[check.Outcome]bool{check.Failing: true, check.Well: false} {
		groups, now := checkedGroup(serves), t0
		g := groups["web"]
		a := &Actuator{
			cfg: Config{Now: func() time.Time { return now }}, groups: groups, checkups: checkups{},
			liveness: livenessByVM{}, workers: map[string]*worker{},
		}
		a.outbox, _ = listen(t)
		v := running(1)
		a.checkups.look([]vm.VM{v}, groups, nil, now)
		a.liveness.observe([]vm.VM{v}, now)
		result := func(o check.Outcome) {
			a.checkups.take(groups, try{v.UUID, 0}, check.Result{At: now, Outcome: o, Why: "refused"})
		}
		g.newest.Decision.Controls.Paused = []bus.Scope{bus.ScopeHealth}
		for range 2 {
			result(check.Failing)
		}
		a.checkups[v.UUID].next[0] = now.Add(time.Hour)
		if got := a.sick(g, []vm.VM{v}); len(got) > 0 {
			t.Errorf("paused: %v", got)
		}
		now = now.Add(time.Minute)
		g.newest.Decision.Controls.Paused = []bus.Scope{}
		if got := a.sick(g, []vm.VM{v}); len(got) > 0 {
			t.Errorf("by what was before: %v", got)
		}
		if due := a.checkups.due(groups, nil, now); len(due) != 1 {
			t.Errorf("due are %v", due)
		}
		result(outcome)
		if got := a.sick(g, []vm.VM{v}); (len(got) > 0) != sick {
			t.Errorf("%v: %v, want sick: %t", outcome, got, sick)
		}
	}
}
