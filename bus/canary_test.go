package bus_test

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestParseCanary(t *testing.T) {
	for text, want := range map[string][2]int{"0": {}, "2": {2, 0}, "1000": {1000, 0}, "1%": {0, 1}, "100%": {0, 100}} {
		vms, percent, err := bus.ParseCanary(text)
		if err != nil || vms != want[0] || percent != want[1] {
			t.Errorf("%s: %d, %d, %v", text, vms, percent, err)
		}
	}
	for _, text := range []string{"", "%", "0%", "101%", "1001", "-1", "+1", "1.5", "all", "2 %", "99999999999"} {
		want := `found "` + text + `", want a whole number`
		if _, _, err := bus.ParseCanary(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCanaryOf(t *testing.T) {
	for _, tt := range []struct {
		vms, percent, desired, want int
	}{
		{0, 0, 8, 0},
		{2, 0, 8, 2},
		{2, 0, 1, 1},
		{2, 0, 0, 0},
		{0, 25, 8, 2},
		{0, 25, 9, 3},
		{0, 1, 4, 1},
		{0, 100, 4, 4},
		{0, 1, 0, 0},
		{1, 25, 8, 2}, // a percentage with the number beside it
	} {
		r := bus.Refresh{Phase: bus.RefreshCanary, From: "web-1", Canary: tt.vms, CanaryPercent: tt.percent}
		if got := r.CanaryOf(tt.desired); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
		if got, want := r.KeepsShare(bus.Group{}), tt.vms+tt.percent > 0; got != want {
			t.Errorf("%+v: keeps its share: %t", tt, got)
		}
		ended, returned, machine := r, r, r
		ended.Phase, returned.Returned, machine.From = bus.RefreshCanceled, true, ""
		for what, r := range map[string]bus.Refresh{"canceled": ended, "returned": returned} {
			if r.KeepsShare(bus.Group{}) || r.CanaryOf(tt.desired) != 0 {
				t.Errorf("%+v: keeps a canary when it is %s", tt, what)
			}
		}
		if machine.KeepsShare(bus.Group{}) || machine.CanaryOf(tt.desired) != tt.want {
			t.Errorf("%+v: without a template before: %t, %d", tt, machine.KeepsShare(bus.Group{}), machine.CanaryOf(tt.desired))
		}
	}
	pooled := bus.Group{WarmPool: bus.WarmPool{Size: bus.WarmSize{VMs: 1}}}
	if (&bus.Refresh{Phase: bus.RefreshCanary, From: "web-1", Canary: 1}).KeepsShare(pooled) {
		t.Error("a group with a warm pool keeps a share")
	}
	if (*bus.Refresh)(nil).KeepsShare(bus.Group{}) {
		t.Error("no refresh keeps a share")
	}
	for want, o := range map[string]bus.RefreshOrder{
		"canary_percent: found 101, want":             {CanaryPercent: new(101)},
		"canary_percent: found 20 beside canary 0":    {Canary: new(0), CanaryPercent: new(20)},
		"canary_percent: found 0, want 1 to 100 perc": {CanaryPercent: new(0)},
	} {
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// An order in percent has a number beside it, for a decider that knows no percentage.
func TestCanaryPercentOfAnOrder(t *testing.T) {
	o := bus.RefreshOrder{}
	o.AddCanary()
	if o.Canary != nil {
		t.Errorf("without a percentage it has %d", *o.Canary)
	}
	for _, canary := range []*int{nil, new(2)} {
		o := bus.RefreshOrder{Canary: canary, CanaryPercent: new(20)}
		o.AddCanary()
		want := 1
		if canary != nil {
			want = *canary
		}
		if err := o.Check(); err != nil || o.Canary == nil || *o.Canary != want || *o.CanaryPercent != 20 {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// A host needs the template before as well while a canary is kept, and whatever file it has of that.
func TestCanaryLacksATemplate(t *testing.T) {
	ready := func(name string) bus.HostTemplate {
		return bus.HostTemplate{Name: name, State: bus.TemplateReady, SHA256: strings.Repeat("a", 64)}
	}
	spec := bus.DefaultGroup()
	spec.Template, spec.TemplateSHA256 = "web-2", strings.Repeat("a", 64)
	before := bus.HostTemplate{Name: "web-1", State: bus.TemplateReady, SHA256: strings.Repeat("b", 64)}
	missing := bus.HostTemplate{Name: "web-1", State: bus.TemplateMissing}
	canary := &bus.Refresh{Phase: bus.RefreshCanary, From: "web-1", Canary: 1}
	for name, tt := range map[string]struct {
		r    *bus.Refresh
		all  []bus.HostTemplate
		want string
	}{
		"both":                {canary, []bus.HostTemplate{ready("web-2"), before}, ""},
		"not the one before":  {canary, []bus.HostTemplate{ready("web-2"), missing}, "it has no template web-1"},
		"without a canary":    {&bus.Refresh{Phase: bus.RefreshRunning}, []bus.HostTemplate{ready("web-2"), missing}, ""},
		"none goes on":        {nil, []bus.HostTemplate{ready("web-2"), missing}, ""},
		"what is not said of": {canary, []bus.HostTemplate{ready("web-2")}, ""},
	} {
		if _, why := tt.r.Lacks(spec, tt.all); (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s: %q, want %q", name, why, tt.want)
		}
	}
}
