package actuator

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// stillHost is an actuator with one group, in virtual time, whose VMs are as a test says.
type stillHost struct {
	*Actuator
	g     *group
	now   time.Time
	owned []vm.VM
	slots int
	seq   uint64
}

func newStillHost(t *testing.T, changes ...func(*bus.Group)) *stillHost {
	t.Helper()
	h := &stillHost{now: t0, slots: 2}
	a, err := New(Config{
		Groups: []bus.Group{webSpec(changes...)}, Now: func() time.Time { return h.now },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	a.hostID, a.host = "here", "here"
	a.outbox, _ = listen(t)
	h.Actuator, h.g = a, a.groups["web"]
	return h
}

// want takes a decision for n VMs.
func (h *stillHost) want(n int, changes ...func(*bus.Decision)) {
	h.seq++
	d := bus.Decision{
		Group: "web", HasSample: true, Desired: n, Seq: h.seq, Time: h.now, ExpiresAt: h.now.Add(5 * time.Second), SpecHash: h.g.hash,
		Shares:   map[bus.HostID]bus.Share{"here": {VMs: n, Numbers: upTo(n)}},
		Controls: bus.Controls{Paused: []bus.Scope{}},
	}
	for _, change := range changes {
		change(&d)
	}
	_, _ = h.take(d)
}

// look is one look at what there is: what is planned, and nothing done. It returns what health says after it.
func (h *stillHost) look() bus.Troubles {
	taken := map[string]bool{}
	for _, v := range h.owned {
		taken[v.Name] = true
	}
	s := h.situation(h.g, h.slots, vm.Inventory{Owned: h.owned, Taken: taken})
	plan := Plan(s)
	h.g.desired, h.g.most, h.g.suspended = s.Desired, s.Spec.Max, plan.Suspended
	h.g.standing = h.g.standing.next(s, plan, h.now)
	troubles, _ := h.problem().(bus.Troubles) //nolint:errorlint // as problem gives it
	return troubles
}

// TestGroupThatStandsStill: whatever keeps a group below what is desired is named by health, at once where launching failed, else
// as soon as it is no passing thing; and what a person has said is none.
func TestGroupThatStandsStill(t *testing.T) {
	ready := func(n int) (vms []vm.VM) {
		for i := range n {
			vms = append(vms, running(i+1))
		}
		return vms
	}
	failing := func(h *stillHost, n int) {
		for range n {
			h.now = h.now.Add(time.Hour)
			h.g.failed(&worker{group: "web", name: "web-2"}, errors.New("no space left"), h.now)
		}
	}
	off := vmOf(2, bus.PhaseReady, bus.StateUnknown)
	page, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		happen func(*stillHost)
		wants  func(*bus.Decision) // of the decisions that come every second
		after  time.Duration       // from which health says it
		code   bus.ProblemCode     // "": never
		says   string
	}{
		{name: "nothing", happen: func(h *stillHost) { h.owned = ready(2) }},
		{
			name: "one launch has failed", code: bus.ProblemLaunchFails,
			happen: func(h *stillHost) { failing(h, 1) },
			says:   "2 of 2 VMs missing, as launching failed 1 time in a row, next try at ",
		},
		{
			name: "four launches have failed in a row", code: bus.ProblemLaunchFails,
			happen: func(h *stillHost) { failing(h, 4) },
			says:   "4 times in a row, next try at ",
		},
		{
			name: "a launch has failed, and is tried again", code: bus.ProblemLaunchFails,
			happen: func(h *stillHost) {
				failing(h, 1)
				h.now = h.now.Add(time.Minute)
				h.workers["x"] = &worker{group: "web", name: "web-2", up: true, since: h.now}
			},
			says: "and one is launched now: no space left",
		},
		{
			name: "the launch breaker is open", code: bus.ProblemLaunchBreaker,
			happen: func(h *stillHost) { failing(h, 5) },
			says:   "no launch until",
		},
		{
			name: "the launch breaker lets one be tried", code: bus.ProblemLaunchBreaker,
			happen: func(h *stillHost) {
				failing(h, 5)
				h.now = h.now.Add(5 * time.Minute)
				h.workers["x"] = &worker{group: "web", name: "web-2", up: true, since: h.now}
			},
			says: "one VM at a time is launched after 5 failures in a row",
		},
		{name: "launches had failed, and nothing is missing", happen: func(h *stillHost) {
			failing(h, 1)
			h.owned = ready(2)
		}},
		{name: "the launch breaker is open, and nothing is missing", happen: func(h *stillHost) {
			failing(h, 5)
			h.owned = ready(2)
		}},
		{
			name: "a VM died soon after its boot", code: bus.ProblemLaunchFails,
			happen: func(h *stillHost) { h.g.ill([]vm.VM{running(2)}, "it is off", h.now, h.now) },
			says:   "web-2 lasted for",
		},
		{
			name: "the decider has no number that is free here", after: standsAfter, code: bus.ProblemNoNumber,
			wants: func(d *bus.Decision) { d.Shares["here"] = bus.Share{VMs: 2, Numbers: []int{1}} },
			says:  "has given no number",
		},
		{
			name: "a VM is in no state that is known", after: standsAfter, code: bus.ProblemBelowDesired,
			happen: func(h *stillHost) { h.owned = []vm.VM{running(1), off} },
			says:   "1 of 2 VMs not in service for 1m0s, and nothing is done about it",
		},
		{
			name: "what does not serve counts toward max", after: standsAfter, code: bus.ProblemBelowDesired,
			happen: func(h *stillHost) {
				h.g.spec.Max = 2
				leaving := vmOf(2, bus.PhaseStopping, bus.StateRunning)
				h.owned = []vm.VM{running(1), leaving}
				h.retryAt[leaving.UUID] = h.now.Add(time.Hour)
			},
			says: "as VMs that do not serve count toward max 2",
		},
		{
			name: "other hosts have what is left of max", after: standsAfter, code: bus.ProblemBelowDesired,
			happen: func(h *stillHost) { h.owned = ready(1) },
			wants:  func(d *bus.Decision) { d.Shares["here"] = bus.Share{VMs: 2, Numbers: []int{2, 3}, Most: new(1)} },
			says:   "as the other hosts have, or may make, what is left of max 5",
		},
		{
			name: "VMs of other groups boot all the time", after: standsAfter, code: bus.ProblemBelowDesired,
			happen: func(h *stillHost) { h.slots = 0 },
			says:   "as VMs of other groups boot",
		},
		{
			name: "a VM is suspended, at max", code: bus.ProblemSuspended,
			happen: func(h *stillHost) {
				h.g.spec.Max = 2
				h.owned = []vm.VM{running(1), vmOf(2, bus.PhaseReady, bus.StatePaused)}
			},
			says: "web-2 is paused",
		},
		{
			name: "no room on the host", code: bus.ProblemNoRoom,
			happen: func(h *stillHost) { h.g.shortage = "12 MiB of memory are free" },
			says:   "12 MiB of memory are free",
		},
		{
			name: "VMs cannot be removed, and count toward max", code: bus.ProblemAtMax,
			happen: func(h *stillHost) {
				h.g.spec.Max = 2
				h.owned = []vm.VM{running(1), vmOf(2, bus.PhaseStopping, bus.StateShutoff)}
				h.retries["2"] = removalRetry{vm: "web-2", group: "web", tries: 3, cause: "busy", until: h.now.Add(time.Hour)}
				h.retryAt["2"] = h.now.Add(time.Hour)
			},
			says: "VMs that cannot be removed count toward max 2",
		},
		{
			name: "a launch hangs", after: webSpec().BootTimeout + webSpec().ShutdownTimeout + stuckAfter, code: bus.ProblemStuck,
			happen: func(h *stillHost) { h.workers["x"] = &worker{group: "web", name: "web-2", up: true, since: h.now} },
			says:   "launching web-2 has taken",
		},
		{
			name: "a removal hangs", after: webSpec().ShutdownTimeout + stuckAfter, code: bus.ProblemStuck,
			happen: func(h *stillHost) {
				h.owned = append(ready(2), vmOf(3, bus.PhaseStopping, bus.StateRunning))
				h.workers[h.owned[2].UUID] = &worker{group: "web", name: "web-3", since: h.now}
			},
			says: "removing web-3 has taken",
		},
		{
			name: "decisions for other hosts", code: bus.ProblemNoSamples,
			wants: func(d *bus.Decision) { d.Shares = map[bus.HostID]bus.Share{"there": {VMs: 2}} }, says: "here",
		},
		{
			name: "decisions of another config", code: bus.ProblemConfigMismatch,
			wants: func(d *bus.Decision) { d.SpecHash = "another" }, says: "reads another config",
		},
		{
			name: "decisions that have run out", after: 5 * time.Second, code: bus.ProblemDecisionRefused,
			wants: func(d *bus.Decision) { d.Seq, d.Time, d.ExpiresAt = 1, t0, t0.Add(5*time.Second) },
			says:  "decisions come, and none was taken",
		},
		{
			name: "no decision, ever", after: unheardAfter, code: bus.ProblemDecisionExpired,
			wants: func(d *bus.Decision) { d.Group = "another" }, says: "no decision has come for 30s",
		},
		{
			name: "another actuator acts here", code: bus.ProblemSecondActuator,
			happen: func(h *stillHost) {
				h.cfg.Since, h.cfg.Instance = h.now, "b"
				h.meet(bus.Health{Instance: "a", Since: t0.Add(-time.Hour), Acts: &bus.Acts{HostID: "here"}})
			},
			wants: func(*bus.Decision) {}, says: "a acts on host here",
		},
		{
			name:  "a person has paused everything",
			wants: func(d *bus.Decision) { d.Controls.Paused = bus.Scopes() },
		},
		{
			name: "a person has paused repair", happen: func(h *stillHost) {
				h.owned = []vm.VM{running(1), vmOf(2, bus.PhaseReady, bus.StateShutoff)}
			},
			wants: func(d *bus.Decision) { d.Controls.Paused = []bus.Scope{bus.ScopeRepair} },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.code != "" && !strings.Contains(string(page), "actuator, `"+string(tt.code)) &&
				!strings.Contains(string(page), ", `"+string(tt.code)+"`") {
				t.Errorf("docs/reliability.md has no row for %s", tt.code)
			}
			h := newStillHost(t)
			if tt.happen != nil {
				tt.happen(h)
			}
			from, patience := h.now, 10*time.Minute
			for at := time.Duration(0); at <= patience; at += time.Second {
				h.now = from.Add(at)
				h.want(2, func(d *bus.Decision) {
					if tt.wants != nil {
						tt.wants(d)
					}
				})
				if len(h.rivals) > 0 {
					h.meet(bus.Health{Instance: "a", Since: t0.Add(-time.Hour), Acts: &bus.Acts{HostID: "here"}})
				}
				h.look()
				said := ""
				for _, trouble := range h.look() {
					if trouble.Code == tt.code {
						said = trouble.Text
					} else if tt.code == "" {
						t.Fatalf("after %s health says %s: %s", at, trouble.Code, trouble.Text)
					}
				}
				switch {
				case said != "" && at < tt.after:
					t.Fatalf("after %s already: %s", at, said)
				case said == "" && tt.code != "" && at >= tt.after:
					t.Fatalf("after %s not said, but: %v", at, h.problem())
				case said != "":
					if !strings.Contains(said, tt.says) {
						t.Errorf("it says %q, want %q", said, tt.says)
					}
					return
				}
			}
		})
	}
}

// TestLaunchThatSucceedsEndsTheBackoff: the wait after failures does not outlast their end, in which health would say nothing.
func TestLaunchThatSucceedsEndsTheBackoff(t *testing.T) {
	h := newStillHost(t)
	h.want(2)
	for range 5 {
		h.g.failed(&worker{group: "web", name: "web-1"}, errors.New("no space left"), h.now)
	}
	if len(h.look()) != 1 {
		t.Fatalf("the breaker is not in health: %v", h.problem())
	}
	h.g.launched() // one that was begun before
	s := h.situation(h.g, 2, vm.Inventory{Taken: map[string]bool{}})
	if s.Backoff || s.Trial {
		t.Errorf("it waits on: backoff %t, trial %t", s.Backoff, s.Trial)
	}
	h.g.ill([]vm.VM{running(1)}, "it is off", h.now, h.now)
	h.g.launched()
	if s := h.situation(h.g, 2, vm.Inventory{Taken: map[string]bool{}}); !s.Backoff || len(h.look()) != 1 {
		t.Errorf("a VM that died soon after its boot is forgotten: backoff %t, %v", s.Backoff, h.problem())
	}
}
