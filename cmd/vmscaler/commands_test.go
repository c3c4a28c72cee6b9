package main

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// TestHealthOfStages: what is listened for, and what is said of it.
func TestHealthOfStages(t *testing.T) {
	since := time.Date(2026, 1, 2, 15, 4, 5, 0, time.Local)
	well := map[string]bus.Health{"decider a": {Stage: "decider", Instance: "a", OK: true, Since: since}}
	ill := map[string]bus.Health{"decider a": {Stage: "decider", Instance: "a", Message: "no decider leads for 31 s"}}
	for _, tt := range []struct {
		stage    string
		embedded bool
		heard    map[string]bus.Health
		wanted   []string
		out, err string
	}{
		{"", true, nil, []string{"bus", "collector", "decider", "actuator"}, "", "decider: no sign of life"},
		{"", false, nil, []string{"collector", "decider", "actuator"}, "", "collector: no sign of life"},
		{"decider", true, well, []string{"decider"}, "decider: a ok, since 2026-01-02 15:04:05\n", ""},
		{"decider", true, ill, []string{"decider"}, "", "decider: a: no decider leads for 31 s"},
		{"bus", false, nil, nil, "bus: nats://x answers\n", ""},
	} {
		c := healthCmd{stage: tt.stage}
		wanted := c.wanted(tt.embedded)
		if len(wanted)+len(tt.wanted) > 0 && !slices.Equal(wanted, tt.wanted) {
			t.Errorf("%q: it listens for %q, want %q", tt.stage, wanted, tt.wanted)
		}
		var out strings.Builder
		err := c.print(&out, "nats://x", wanted, tt.heard)
		if out.String() != tt.out || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %q, %v; want %q, %q", tt.stage, out.String(), err, tt.out, tt.err)
		}
	}
}

// TestCommandsOfStagesValidate: what a command line or a config says wrongly is a usage error before anything is contacted.
func TestCommandsOfStagesValidate(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string // "": it is right
	}{
		{(&healthCmd{}).validate(nil), ""},
		{(&healthCmd{}).validate([]string{"decider"}), ""},
		{(&healthCmd{}).validate([]string{"dashboard"}), "found [\"dashboard\"]"},
		{(&healthCmd{}).validate([]string{"decidr"}), "did you mean decider?"},
		{(&demoCmd{patience: time.Minute}).validate(), ""},
		{(&demoCmd{patience: -time.Minute}).validate(), "--patience: found -1m0s"},
		{(&busCmd{}).validate(config.Config{}), ""},
		{(&busCmd{}).validate(config.Config{BusURL: "nats://x"}), "bus.url (nats://x)"},
		{(&credentialsCmd{}).validate([]string{"tap"}), ""},
		{(&credentialsCmd{}).validate([]string{"operater"}), "did you mean operator?"},
	} {
		var usage usageError
		switch {
		case tt.want == "" && tt.err != nil:
			t.Errorf("%v, want nothing", tt.err)
		case tt.want != "" && (!errors.As(tt.err, &usage) || !strings.Contains(tt.err.Error(), tt.want)):
			t.Errorf("%v, want a usage error with %q", tt.err, tt.want)
		}
	}
}

// TestDemoIsByItself: a demonstration has its own group and a bus of its own, whatever the config says.
func TestDemoIsByItself(t *testing.T) {
	cfg := demoConfig(config.Config{Groups: []bus.Group{{Name: "web"}}, BusURL: "nats://x", BusCert: "a", BusKey: "b", Pool: "vms"})
	if len(cfg.Groups) != 1 || cfg.Groups[0].Name != demoGroup || cfg.BusURL != "" || cfg.BusListen != "127.0.0.1:0" ||
		cfg.BusCert != "" || cfg.BusKey != "" || cfg.Pool != "vms" {
		t.Errorf("%+v", cfg)
	}
}

// TestCredentialsArePrinted: with the command that has the role, and for the nats tool, which has no use for a tap's key of ours.
func TestCredentialsArePrinted(t *testing.T) {
	for role, want := range map[bus.Role][]string{
		bus.RoleOperator: {"/f\n", "  vmscaler events --nats-url tls://x --nats-ca /c --nats-nkey /f\n", "--tlsca /c --nkey /f"},
		bus.RoleMetric:   {"vmscaler metric GROUP NAME VALUE --nats-url"},
		bus.RoleDecider:  {"vmscaler decider --nats-url"},
		bus.RoleTap:      {"nats --context vmscaler-tap"},
	} {
		var out strings.Builder
		(&credentialsCmd{role: role}).print(&out, "/f", "tls://x", "/c")
		for _, part := range want {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s: no %q in\n%s", role, part, out.String())
			}
		}
		if role == bus.RoleTap && strings.Contains(out.String(), "with vmscaler") {
			t.Errorf("%s:\n%s", role, out.String())
		}
	}
}

// TestConfigIsShown: with what is not from the file above it.
func TestConfigIsShown(t *testing.T) {
	var out strings.Builder
	cfg := config.Config{Groups: []bus.Group{bus.DefaultGroup()}}
	if err := (&configShowCmd{}).print(&out, cfg, []string{"bus.url is from --nats-url"}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.HasPrefix(text, "# bus.url is from --nats-url\n") || !strings.Contains(text, "groups:") {
		t.Errorf("%s", text)
	}
}
