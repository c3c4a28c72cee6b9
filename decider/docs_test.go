package decider

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// The order of rules and guards is published; it is that in which they are looked at.
func TestPublishedOrder(t *testing.T) {
	var asked []bus.Rule
	for _, rule := range rules {
		for _, name := range rule.names {
			if !slices.Contains(asked, name) {
				asked = append(asked, name)
			}
		}
	}
	for _, tt := range []struct {
		page, heading, row string
		want               []string
	}{
		{
			"messages.md", "### Rule", "(?m)^\\| `([a-z-]+)` \\|",
			words(append(asked, bus.RuleRemoved, bus.RuleReturned, bus.RuleAttached, bus.RuleLaunched)),
		},
		{"messages.md", "### Guard", "(?m)^\\| `([a-z-]+)` \\|", words(Limits())},
		{"policies.md", "## Guards", "(?m)^[0-9]+\\. `([a-z-]+)`", words(Limits())},
	} {
		data, err := os.ReadFile("../docs/" + tt.page)
		if err != nil {
			t.Fatal(err)
		}
		_, section, found := strings.Cut(string(data), "\n"+tt.heading+"\n")
		if !found {
			t.Fatalf("%s has no heading %q", tt.page, tt.heading)
		}
		section, _, _ = strings.Cut(section, "\n#")
		var rows []string
		for _, row := range regexp.MustCompile(tt.row).FindAllStringSubmatch(section, -1) {
			rows = append(rows, row[1])
		}
		if !slices.Equal(rows, tt.want) {
			t.Errorf("%s, %s:\n%v, want\n%v", tt.page, tt.heading, rows, tt.want)
		}
	}
}

func words[T ~string](all []T) (words []string) {
	for _, w := range all {
		words = append(words, string(w))
	}
	return words
}

// Each guard is in the list once, and does something.
func TestEachGuardIsALimit(t *testing.T) {
	seen := map[bus.Guard]bool{}
	for _, l := range limits {
		if l.guard == "" || seen[l.guard] || l.crossing == nil && l.change == nil && l.override == nil {
			t.Errorf("%q holds nothing, or is there twice", l.guard)
		}
		seen[l.guard] = true
	}
}
