package config

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestOverride(t *testing.T) {
	web := bus.DefaultGroup()
	web.Name = "web"
	for _, tt := range []struct {
		set   map[string]string
		check func(bus.Group) bool
	}{
		{nil, func(g bus.Group) bool { return g.Hash() == web.Hash() }},
		{
			map[string]string{"policy.upper": "60"},
			func(g bus.Group) bool { return g.Policy.UpperPercent == 60 && g.Policy.LowerPercent == 20 },
		},
		{map[string]string{"min": "6", "max": "8"}, func(g bus.Group) bool { return g.Min == 6 && g.Max == 8 }},
		{map[string]string{"policy.type": "[threshold, predictive]"}, func(g bus.Group) bool { return len(g.Policy.Types) == 2 }},
		{map[string]string{"policy.limits.rate_in": "1"}, func(g bus.Group) bool { return g.Policy.Limits.RateIn == 1 }},
		{
			map[string]string{"policy.steps.out": "[{from: 0, adjust: 3}]"},
			func(g bus.Group) bool { return g.Policy.Steps.Out[0].Adjust == 3 },
		},
	} {
		g, err := Override(web, tt.set)
		if err != nil || !tt.check(g) {
			t.Errorf("%v: %v, %+v", tt.set, err, g)
		}
		if web.Hash() != func() string { g := bus.DefaultGroup(); g.Name = "web"; return g.Hash() }() {
			t.Fatalf("%v changes the group that it was given", tt.set)
		}
	}
}

func TestOverrideSaysWhatIsWrong(t *testing.T) {
	web := bus.DefaultGroup()
	web.Name = "web"
	for want, set := range map[string]map[string]string{
		"web.policy.upper: found 120, want 0 to 100 percent":     {"policy.upper": "120"},
		"web.policy.upper: found 10, want more than lower (20":   {"policy.upper": "10"},
		"web.min: found 6, want at most max (5":                  {"min": "6"},
		"web.template: found a field that cannot be set":         {"template": "x"},
		"web.upper: found a field that cannot be set":            {"upper": "60"},
		"web.policy.signal: found metric, want it together with": {"policy.type": "target", "policy.signal": "metric"},
		"web.policy.type: found \"[threshold\", want a value":    {"policy.type": "[threshold"},
		"web.policy.cooldown_in: found \"\"":                     {"policy.cooldown_in": ""},
		"web.policy.prometheus.url: found a field that cannot":   {"policy.prometheus.url": "http://a"},
		"web.policy.signal: found network_rx, want it in the file": {
			"policy.type": "target", "policy.signal": "network_rx", "policy.target_mib_s": "5",
		},
		"web.policy.signal: found expression, want it in the file": {
			"policy.type": "target", "policy.signal": "expression", "policy.expression": "max(cpu/60, disk_read/5)",
		},
		"web.policy.signal: found load, want it in the file, from which the actuators": {
			"policy.type": "target", "policy.signal": "load",
		},
		"web.min: found a mapping": {"min": "{a: 1}"},
	} {
		_, err := Override(web, set)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", set, err, want)
		}
	}
}

// TestShadowIsSetAsPolicy: a shadow becomes the policy in one request, and is not both meanwhile.
func TestShadowIsSetAsPolicy(t *testing.T) {
	web := bus.DefaultGroup()
	web.Name, web.Policy.Shadow = "web", []bus.PolicyType{bus.PolicyPredictive}
	g, err := Override(web, map[string]string{"policy.shadow": "none", "policy.type": "predictive"})
	if err != nil || !g.Policy.Has(bus.PolicyPredictive) || len(g.Policy.Shadow) > 0 {
		t.Errorf("%+v, %v", g.Policy, err)
	}
	_, err = Override(web, map[string]string{"policy.type": "predictive"})
	if err == nil || !strings.Contains(err.Error(), "policy.shadow: found predictive, want policies that are not in type") {
		t.Errorf("both: %v", err)
	}
}

func TestLiveField(t *testing.T) {
	for name, want := range map[string]string{
		"upper": "policy.upper", "policy.upper": "policy.upper", "min": "min",
		"limits.rate_in": "policy.limits.rate_in", "prometheus.query": "policy.prometheus.query",
	} {
		if got, err := LiveField(name); got != want || err != nil {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"", "name", "policy", "vcpus", "steps", "prometheus.url", "policy.prometheus.token_file", "prometheus.ca", "prometheus.headers",
	} {
		if got, err := LiveField(name); err == nil {
			t.Errorf("%q gives %q", name, got)
		}
	}
	if got := Value(bus.DefaultGroup(), "policy.cooldown_in"); got != "5s" {
		t.Errorf("%q", got)
	}
}

// TestNumberInQuotes: the answer is about the quotes, not about what a number of 0 would mean.
func TestNumberInQuotes(t *testing.T) {
	for text, want := range map[string]string{
		`"2"`: `found "2", want a whole number from 1 to 1000, without quotes`,
		`0`:   "found 0, want a whole number from 1 to 1000: a group that may have no VM at times is one with min: 0",
		`two`: "found two, want a whole number from 1 to 1000",
	} {
		_, _, err := Parse("f.yaml", []byte("groups: [{name: web, max: "+text+"}]"))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
