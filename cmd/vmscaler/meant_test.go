package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// TestMeant: what is spelled nearly right is hinted at, whoever knows the names: the decider, the config, or libvirt.
func TestMeant(t *testing.T) {
	dir := alone(t)
	flags := answering(t, bus.RoleDecider, []string{bus.VerbStatus, bus.VerbPause, bus.VerbForget, string(bus.VMReplace)},
		func(r client.Request) error {
			q := r.Query
			if q.Group+q.VM+q.Host == "" {
				return r.Answer(listedStatus())
			}
			return r.Refuse("%s", bus.Refuse(bus.RefusedUnknown, "there is no %q", q.Group+q.VM+q.Host))
		})
	file := filepath.Join(dir, defaultConfig)
	if err := os.WriteFile(file, []byte("groups: [{name: web}, {name: database}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"status wbe":          `there is no "wbe"; did you mean web?`,
		"pause wbe in":        `there is no "wbe"; did you mean web?`,
		"events wbe":          `there is no "wbe"; did you mean web?`,
		"replace web-11":      `there is no "web-11"; did you mean web-10?`,
		"host remove kvm3":    `there is no "kvm3"; did you mean kvm2?`,
		"pause something":     `there is no "something"`,
		"schedule databse":    `the config has no group "databse"; it has web, database; did you mean database?`,
		"set web uper=60":     "did you mean upper?",
		"staus":               `there is no command "staus"; did you mean status?`,
		"host lst":            `there is no command "host lst"; did you mean list?`,
		"status --wtach":      "did you mean --watch?",
		"pause web reapir":    "did you mean repair?",
		"wait web stabel":     "did you mean stable?",
		"health actuatr":      "did you mean actuator?",
		"hook kontinue 1":     "did you mean continue?",
		"bus credentials tab": "did you mean tap?",
	} {
		args := strings.Fields(line)
		if cmd, _, err := rootCommand().Find(args); err == nil && cmd.Flags().Lookup("nats-url") != nil && args[0] != "bus" {
			args = append(args, flags...)
		}
		if _, err := command(t, args...); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(line, "something") && strings.Contains(err.Error(), "did you mean") {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}
