package bus

import (
	"strings"
	"testing"
)

// A group lacks what a host has not, or has otherwise than its config says; of what nothing is said it lacks nothing.
func TestLacks(t *testing.T) {
	one, other := strings.Repeat("1a", 32), strings.Repeat("2b", 32)
	pinned := func(g *Group) { g.TemplateSHA256 = one }
	has := func(name string, state TemplateState, digest string) HostTemplate {
		return HostTemplate{
			Name: name, State: state, SHA256: digest, From: "kvm1", DonePercent: 40, Reason: TemplateNoRoom, Text: "full",
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*Group)
		all    []HostTemplate
		want   string // a part of why; "": it lacks nothing
	}{
		{"nothing is said", nil, nil, ""},
		{"an older actuator, of others", nil, []HostTemplate{has("db", TemplateMissing, "")}, ""},
		{"there", nil, []HostTemplate{has("web:3", TemplateReady, one)}, ""},
		{"there, of no known digest", nil, []HostTemplate{has("web:3", TemplateReady, "")}, ""},
		{"missing", nil, []HostTemplate{has("web:3", TemplateMissing, "")}, "no host offers it"},
		{"not looked yet", nil, []HostTemplate{has("web:3", TemplateUnknown, "")}, "not known yet"},
		{"on its way", nil, []HostTemplate{has("web:3", TemplateFetching, one)}, "comes from kvm1: 40 %"},
		{"failed", nil, []HostTemplate{has("web:3", TemplateFailed, one)}, "(no-room): full"},
		{"a later version's state", nil, []HostTemplate{has("web:3", "thawing", one)}, "is thawing"},
		{"as the config says", pinned, []HostTemplate{has("web:3", TemplateReady, one)}, ""},
		{"another file", pinned, []HostTemplate{has("web:3", TemplateReady, other)}, "is another file"},
		{"which file is not known", pinned, []HostTemplate{has("web:3", TemplateReady, "")}, "not known"},
		{
			"a further disk's", func(g *Group) { g.Disks = []Disk{{SizeMiB: 1}, {Template: "data"}} },
			[]HostTemplate{has("web:3", TemplateReady, one), has("data", TemplateMissing, "")},
			"no template data",
		},
	} {
		g := DefaultGroup()
		g.Template = "web:3"
		if tt.change != nil {
			tt.change(&g)
		}
		lacks, why := g.Lacks(tt.all)
		if (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) || (lacks.Name == "") != (why == "") {
			t.Errorf("%s: %q of %+v, want %q", tt.name, why, lacks, tt.want)
		}
	}
}
