package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// What would keep the parser busy for minutes is refused before it sees it.
func TestBounds(t *testing.T) {
	lines := func(line string) string { return strings.Repeat(line+"\n", 200_000/(len(line)+1)) }
	for name, c := range map[string]struct{ text, found string }{
		"long line":         {strings.Repeat("[", 100_000), "a line of 100000 bytes"},
		"nested lists":      {lines(strings.Repeat("[", 1000)), "more than 4096 of ["},
		"nested in lines":   {lines("[a,"), "more than 1024 settings"},
		"deeper each line":  {lines(" {a: [")[:100_000], "more than"},
		"nested mappings":   {lines(strings.Repeat("{a: ", 400)), "more than 4096 of [, {"},
		"lists in one line": {lines(strings.Repeat("- ", 900)), "more than 4096 of [, { and - -"},
		"keys":              {lines("a: b"), "more than 1024 settings"},
		"keys between":      {lines("a:\n  b: c"), "more than 1024 settings"},
		"closed in a comment": {
			lines("[ # ]")[:20_000], "more than",
		},
		"a long file": {strings.Repeat("#\n", 200_000), "a longer file"},
	} {
		_, _, err := Parse("x.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.found) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%s: got %.200v, want %s", name, err, c.found)
		}
	}
	var target strings.Builder
	target.WriteString("groups:\n")
	for i := range 500 {
		fmt.Fprintf(
			&target,
			"  # a group\n  - name: group-%dx\n    min: 2\n    max: 5\n    policy: {type: target, metric: cpu, target: 50}\n    "+
				"schedule: [{at: \"0 8 * * 1-5\", min: 4}]\n\n",
			i,
		)
	}
	if _, found, _ := excess([]byte(target.String())); found != "" {
		t.Errorf("500 groups in %d KiB: found %s", target.Len()>>10, found)
	}
}

// A value that is set while a group runs is short: the decider does nothing else while it reads it.
func TestBoundsOfAValue(t *testing.T) {
	for _, value := range []string{strings.Repeat("[", 60_000), strings.Repeat(" ", 2000) + "7"} {
		if _, err := Override(bus.DefaultGroup(), map[string]string{"policy.upper": value}); err == nil ||
			!strings.Contains(err.Error(), "at most 1024") {
			t.Errorf("%d bytes: got %.200v", len(value), err)
		}
	}
	if _, err := Override(bus.DefaultGroup(), map[string]string{"policy.upper": strings.Repeat(" ", 1000) + "77"}); err != nil {
		t.Error(err)
	}
}
