package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// The page for those who come from elsewhere promises nothing that there is not: each command is one, and each field is in the
// config's schema.
func TestComingFromAWS(t *testing.T) {
	page, err := os.ReadFile("../../docs/coming-from-aws.md")
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	data, err := config.JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	if inSchema(schema, "policy.uper") || inSchema(schema, "max.min") || !inSchema(schema, "host.sweep_grace") {
		t.Fatal("the search in the schema is broken")
	}
	name := regexp.MustCompile("`([^`]+)`")
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if strings.HasPrefix(line, "|") && len(cells) != 4 {
			t.Errorf("%q has %d cells, want 4", line, len(cells))
		}
		if len(cells) != 4 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[1]) == "here" {
			continue
		}
		rows++
		term, mark := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
		if !slices.Contains([]string{"yes", "part", "not yet", "no meaning here"}, mark) {
			t.Errorf("%s: marked %q", term, mark)
		}
		if tests := strings.TrimSpace(cells[3]); (tests == "-") == (mark == "yes" || mark == "part") || tests == "" {
			t.Errorf("%s: marked %q, with the tests %q", term, mark, tests) // that there are those is TestPagesNameTests
		}
		named := 0
		for _, m := range name.FindAllStringSubmatch(cells[2], -1) {
			switch {
			case strings.HasPrefix(m[1], "--") || strings.HasPrefix(m[1], "virsh ") || m[1] == "hook:NAME" || m[1] == "manual":
				continue
			case strings.HasPrefix(m[1], "vmscaler "):
				if err := typed(m[1]); err != nil {
					t.Errorf("%s: %s: %v", term, m[1], err)
				}
			default:
				if field, _, _ := strings.Cut(m[1], ":"); !inSchema(schema, field) {
					t.Errorf("%s: no field %q in the config's schema", term, field)
				}
			}
			named++
		}
		if named == 0 && mark == "yes" {
			t.Errorf("%s: it names no command and no field", term)
		}
	}
	if rows < 80 {
		t.Errorf("%d rows were found, want more: the search is broken", rows)
	}
}

// inSchema reports whether a field, such as policy.upper of a group or host.sweep_grace, is in the schema.
func inSchema(schema map[string]any, field string) bool {
	properties, _ := schema["properties"].(map[string]any)
	groups, _ := properties["groups"].(map[string]any)
	for _, at := range []map[string]any{schema, groups} {
		for _, word := range strings.Split(field, ".") {
			at = below(at, word)
		}
		if at != nil {
			return true
		}
	}
	return false
}

// below is the schema of a field of an object, or of the elements of a list, or of one of several forms; nil where it has none of
// that name.
func below(schema map[string]any, word string) map[string]any {
	if items, is := schema["items"].(map[string]any); is {
		schema = items
	}
	forms, _ := schema["anyOf"].([]any)
	for _, form := range append(forms, schema) {
		form, _ := form.(map[string]any)
		properties, _ := form["properties"].(map[string]any)
		if field, is := properties[word].(map[string]any); is {
			return field
		}
	}
	return nil
}
