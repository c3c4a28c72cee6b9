package dashboard

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What is set by hand is said once, with who did it; and where min and max come from.
func TestStatusOfAScaledGroup(t *testing.T) {
	since := at(-60)
	d := decision("web", 0)
	d.Rule, d.Sentence, d.Inputs.Scheduled = bus.RuleManual, "scaled to 2 VMs by hand", true
	d.Controls = bus.Controls{Desired: new(2), By: "ann@kvm1", Since: &since}
	s := bus.Status{V: bus.Version, Time: at(1), Groups: []bus.GroupStatus{{Group: "web", Decision: &d}}}
	got := strings.Join(StatusLines(s, time.UTC, false), "\n")
	if strings.Count(got, "scaled to 2") != 1 || !strings.Contains(got, "by ann@kvm1") ||
		!strings.Contains(got, "(by its schedule)") {
		t.Errorf("got\n%s", got)
	}
}

// What a person wants of a VM is shown beside it, with who and why, and in the dashboard in a word or two.
func TestOrderedVMIsShown(t *testing.T) {
	v := vm("web-1", new(20.0))
	v.Order = &bus.VMOrder{Verb: bus.VMReplace, By: "ann@kvm1", Reason: "slow", At: at(0)}
	got := strings.Join(vmLines([]bus.Sample{sample("web", "kvm1", 0, v)}, "", false, at(0)), "\n")
	if !strings.Contains(got, `another is to take its place, by ann@kvm1 ("slow")`) {
		t.Errorf("status says\n%s", got)
	}
	if text, tone := phase(v, "", at(0), 30); text != "ready, being replaced" || tone != toneWarn {
		t.Errorf("the dashboard says %q", text)
	}
	for _, verb := range bus.VMVerbs() {
		v.Order.Verb = verb
		if text, _ := phase(v, "", at(0), 30); text == "ready" {
			t.Errorf("%s: the dashboard says %q", verb, text)
		}
	}
}

// That a VM is protected shows beside that it is outdated, also where there is little room.
func TestServing(t *testing.T) {
	for _, tt := range []struct {
		protected bool
		age       string
		width     int
		want      string
	}{
		{false, "", 13, "ready"},
		{true, "", 23, "ready, protected"},
		{true, "", 13, "protected"},
		{false, "outdated", 23, "ready, outdated"},
		{false, "outdated", 13, "outdated"},
		{true, "outdated", 30, "ready, protected, outdated"},
		{true, "outdated", 23, "protected, outdated"},
		{true, "outdated", 13, "outdated prot"},
		{true, "new disks", 13, "new disks"},
	} {
		if got, _ := serving("ready", tt.protected, tt.age, tt.width); got != tt.want {
			t.Errorf("%+v: got %q", tt, got)
		}
	}
}

func TestStatusLines(t *testing.T) {
	since := at(-3600)
	d := decision("web", 0)
	d.Sentence = "paused, else scaling in: average 9 % < 20 % for 5 s"
	d.Inputs.Warming, d.Inputs.Launching = 1, 1
	d.Controls = bus.Controls{Paused: []bus.Scope{bus.ScopeIn, bus.ScopeRepair}, DryRun: true, By: "ann@kvm1\x1b[2J", Since: &since}
	late := decision("late", -30)
	late.HasSample, late.Sentence, late.Inputs.AveragePercent = false, "", nil
	late.Controls = bus.Controls{Paused: []bus.Scope{}, By: "ann@kvm1", Since: &since}
	protected, stuck, off := vm("web-2", ptr(8.6)), vm("web-10", nil), vm("web-1\tx", nil)
	protected.Protected, off.State = true, bus.StateShutoff
	stuck.Protected, stuck.Error = true, "its CPU counter has not moved for 7 s"
	uneven := d
	uneven.Balance = &bus.Balance{State: bus.BalanceWaiting, Sentence: "kvm1 has 4 VMs, and kvm2 0: web-4 is launching, running"}
	ill := health("actuator", 0)
	ill.OK, ill.Message = false, "group web: 5 launches in a row have failed\nnext try in 4 m"
	for name, s := range map[string]bus.Status{
		"nothing": {},
		"one host": {Groups: []bus.GroupStatus{
			{Group: "web", Decision: &d, Samples: []bus.Sample{sample("web", "kvm1", 0, stuck, protected, off)}},
		}, Stages: []bus.Health{health("collector", 0), ill}},
		"wide": {Groups: []bus.GroupStatus{
			{Group: "web", Decision: &uneven, Samples: []bus.Sample{sample("web", "kvm1", 0, protected, off)}},
		}, Stages: []bus.Health{health("collector", 0)}, ClusterID: "5f0c2b9a71e4d386"},
		"several": {Groups: []bus.GroupStatus{
			{Group: "web", Decision: &d, Samples: []bus.Sample{sample("web", "kvm1", 0, stuck), sample("web", "kvm2", -20, protected)}},
			{Group: "late", Decision: &late, Samples: []bus.Sample{sample("late", "kvm1", 0)}},
			{Group: "new"},
		}, Stages: []bus.Health{health("collector", 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			s.V, s.Time = bus.Version, at(1)
			got := strings.Join(StatusLines(s, time.UTC, name == "wide"), "\n") + "\n"
			path := filepath.Join("testdata", "status-"+strings.ReplaceAll(name, " ", "-")+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant (-update writes it):\n%s", got, want)
			}
		})
	}
}

func TestControlsText(t *testing.T) {
	since := start
	for want, c := range map[string]bus.Controls{
		"":                                   {Paused: []bus.Scope{}, By: "me", Since: &since}, // who has taken back what held
		"paused: out":                        {Paused: []bus.Scope{bus.ScopeOut}},
		"dry run":                            {DryRun: true},
		"paused: in, repair":                 {Paused: []bus.Scope{bus.ScopeIn, bus.ScopeRepair}},
		`paused: out, by me ("launch at 9")`: {Paused: []bus.Scope{bus.ScopeOut}, By: "me", Reason: "launch at 9"},
		"paused: out; dry run, by me, since 2026-01-02 15:04:05": {
			Paused: []bus.Scope{bus.ScopeOut}, DryRun: true, By: "me",
			Since: &since,
		},
		"paused: in, by ann, since 2026-01-02 15:04:05; scaled to 3 by hand, by bob (\"launch\"), since 2026-01-02 14:04:05": {
			Paused: []bus.Scope{bus.ScopeIn}, Desired: new(3), By: "ann", Since: &since, Said: map[bus.Control]bus.Saying{
				bus.ControlPaused:  {By: "ann", Since: since},
				bus.ControlDesired: {By: "bob", Reason: "launch", Since: since.Add(-time.Hour)},
			},
		},
		"scaled to 3 by hand, by bob, since 2026-01-02 14:04:05": { // what a later request took back is not what holds
			Paused: []bus.Scope{}, Desired: new(3), By: "ann", Since: &since, Said: map[bus.Control]bus.Saying{
				bus.ControlDesired: {By: "bob", Since: since.Add(-time.Hour)},
			},
		},
		"dry run, by me, since 2026-01-02 15:04:05": {
			Paused: []bus.Scope{}, DryRun: true, By: "me", Since: &since,
			Said: map[bus.Control]bus.Saying{bus.ControlDryRun: {By: "me", Since: since}},
		},
	} {
		if got := ControlsText(c, time.UTC); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
