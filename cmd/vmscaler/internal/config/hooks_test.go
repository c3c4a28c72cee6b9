package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Several hooks are written and read back as a list, one without a name as it always was.
func TestSeveralHooks(t *testing.T) {
	cfg := parse(t, `
groups:
  - name: web
    hooks:
      launch: {wait_for: bus}
      remove:
        - {name: dns, wait_for: bus, timeout: 5m, on_abandon: retain}
        - {name: lb, wait_for: command, command: drain}
`)
	h, hooks := bus.DefaultHook(), cfg.Groups[0].Hooks
	h.WaitFor = bus.WaitForBus
	if len(hooks.Launch) != 1 || hooks.Launch[0] != h {
		t.Errorf("launch: %+v", hooks.Launch)
	}
	if len(hooks.Remove) != 2 || hooks.Remove[0].Name != "dns" || hooks.Remove[0].OnAbandon != bus.AbandonRetain ||
		hooks.Remove[1].Command != "drain" || hooks.Remove[1].Timeout != time.Minute {
		t.Errorf("remove: %+v", hooks.Remove)
	}
	text := string(cfg.YAML())
	for _, want := range []string{"\n      launch:\n        wait_for: bus\n", "\n        - name: dns\n          wait_for: bus\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	same(t, parse(t, text), cfg)
}

// A problem of a hook names it by its place in the list.
func TestProblemsOfHooks(t *testing.T) {
	_, _, err := Parse("f", []byte(`groups: [{name: web, hooks: {remove: [{name: dns}, {name: dns, on_abandon: retain}]}}]`))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 2 || problems[0].Field != "groups[0].hooks.remove[1].name" ||
		problems[1].Field != "groups[0].hooks.remove[1].on_abandon" {
		t.Errorf("%v", err)
	}
}
