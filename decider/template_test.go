package decider

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// What an actuator says of its templates is a reason why its host is no place for a VM, by the template that VMs are made from:
// after a refresh that was taken back that is the one before. One that says nothing of templates gives no reason.
func TestHostWithoutTemplateIsNoPlace(t *testing.T) {
	spec := spec(func(g *bus.Group) { g.Template = "web:4" })
	ready := []bus.HostTemplate{{Name: "web:4", State: bus.TemplateReady}, {Name: "web:3", State: bus.TemplateMissing}}
	returned := &bus.Refresh{Phase: bus.RefreshFailed, Returned: true, From: "web:3", Machine: spec.MachineHash()}
	both := []bus.HostTemplate{
		{Name: "web:4", State: bus.TemplateReady, SHA256: "new"}, {Name: "web:3", State: bus.TemplateReady, SHA256: "old"},
	}
	for _, tt := range []struct {
		name      string
		templates []bus.HostTemplate
		refresh   *bus.Refresh
		sha256    string // that the config wants
		want      string
	}{
		{"an earlier version", nil, nil, "", ""},
		{"it is there", ready, nil, "", ""},
		{"the one before is not", ready, returned, "", "no template web:3"},
		{
			"it comes",
			[]bus.HostTemplate{{Name: "web:4", State: bus.TemplateFetching, From: "kvm2", DonePercent: 7}},
			nil,
			"",
			"kvm2: 7 %",
		},
		{"the file that is wanted", both, nil, "new", ""},
		{"another file", both, nil, "newer", "another file"},
		{"the one before has another digest", both, returned, "new", ""},
	} {
		spec := spec
		spec.TemplateSHA256 = tt.sha256
		d := &Decider{stages: map[string]bus.Health{"a": {
			Stage: string(bus.RoleActuator), Time: t0, Acts: &bus.Acts{HostID: "kvm1", Templates: tt.templates},
		}}}
		g := &group{spec: spec, inForce: spec, state: State{Refresh: tt.refresh}}
		obs := Observation{Hosts: []HostObservation{{ID: "kvm1"}}}
		d.attend(&obs, g, t0)
		got := obs.Hosts[0].NoTemplate
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || obs.Hosts[0].fills() != (tt.want == "") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
