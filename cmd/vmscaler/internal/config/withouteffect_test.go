package config

import (
	"strings"
	"testing"
)

// What has no effect beside the other fields is said, with the field's name.
func TestWarnsOfFieldsWithoutEffect(t *testing.T) {
	for text, want := range map[string]string{
		"scale_in: [newest, 'hook:x']":                     "groups[0].scale_in: what follows newest never decides",
		"scale_in: [outdated, oldest, least-busy]":         "groups[0].scale_in: what follows oldest never decides",
		"scale_in: ['hook:x', newest]":                     "",
		"scale_in: [outdated, 'hook:x', least-busy]":       "",
		"victim_hook: {timeout: 1s}":                       "groups[0].victim_hook: nobody is asked, as scale_in has no hook",
		"victim_hook: {timeout: 1s}, scale_in: ['hook:x']": "",
		"rebalance: on, placement: pack":                   "groups[0].rebalance: nothing moves, as placement: pack",
		"rebalance: on, placement: weighted":               "",
		"max: 5, schedule: [{at: '@daily', min: 6}]":       "groups[0].schedule[0].min: found 6, and max is at most 5",
		"max: 5, schedule: [{at: '@daily', desired: 6}]":   "groups[0].schedule[0].desired: found 6, and max is at most 5",

		"max: 5, schedule: [{at: '@daily', min: 6}, {at: '@weekly', max: 9}]": "",
	} {
		_, warnings, err := Parse("f.yaml", []byte("groups: [{name: web, "+text+"}]"))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, w := range warnings {
			got += w.String()
		}
		if want == "" && got != "" || want != "" && (len(warnings) != 1 || !strings.Contains(got, want)) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
