package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func parsed(t *testing.T, text string) Config {
	t.Helper()
	cfg, _, err := Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// diff is a change as lines.
func diff(c Change) []string {
	lines := []string{map[ChangeKind]string{Joins: "+", Leaves: "-", Changes: "~"}[c.Kind] + " group " + c.Group}
	for _, f := range c.Fields {
		if f.From+f.To == "" {
			lines = append(lines, "    "+f.Path+": (differs)")
		} else {
			lines = append(lines, fmt.Sprintf("    %s: %s -> %s", f.Path, f.From, f.To))
		}
	}
	return lines
}

func TestCompare(t *testing.T) {
	before := parsed(t, "groups: [{name: web, max: 5}, {name: old}, {name: same}]")
	after := parsed(t, `
libvirt: {pool: other}
groups:
- {name: same}
- name: web
  max: 8
  policy: {upper: 60, prometheus: {url: "http://secret:9090"}}
  cloud_init: {user_data: "#cloud-config\npassword: secret\n"}
- {name: new}`)
	changes := Compare(before.Groups, after.Groups)
	var lines, sentences []string
	for _, c := range changes {
		lines = append(lines, diff(c)...)
		sentences = append(sentences, c.Group+": "+c.Sentence())
	}
	want := []string{
		"- group old", "~ group web", "    max: 5 -> 8", "    cloud_init.user_data: (differs)",
		"    policy.upper: 70 -> 60", "    policy.prometheus.url: \"\" -> http://secret:9090", "+ group new",
	}
	slices.Sort(want)
	slices.Sort(lines)
	if !slices.Equal(lines, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	all := strings.Join(sentences, "\n")
	if strings.Contains(all, "secret") {
		t.Errorf("everybody may read %s", all)
	}
	for _, part := range []string{
		"old: leaves the config: its VMs stay", "max 8 (was 5)", "policy.upper 60 (was 70)", "policy.prometheus.url is another",
		"cloud_init.user_data is another", "new: joins the config",
	} {
		if !strings.Contains(all, part) {
			t.Errorf("found %s, want %q in it", all, part)
		}
	}
	if got := NotReloaded(before, after); !slices.Equal(got, []string{"libvirt.pool"}) {
		t.Errorf("not reloaded: %q", got)
	}
	if got := Compare(after.Groups, parsed(t, string(after.YAML())).Groups); got != nil {
		t.Errorf("the same groups differ: %+v", got)
	}
}
