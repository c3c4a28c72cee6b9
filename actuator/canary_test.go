package actuator

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// While a refresh keeps a canary, what is beyond it is made from the template before and is scaled in first, then old VMs.
func TestPlanKeepsACanary(t *testing.T) {
	old := func(n int) vm.VM { return templated(n, "before") }
	for name, tt := range map[string]struct {
		desired  int
		updated  *int
		owned    []vm.VM
		creating []string
		former   int // of creating
		create   string
		olds     string // of create
		remove   string
	}{
		"what it lacks is new":           {3, new(2), []vm.VM{old(1)}, nil, 0, "web-2 web-3", "", ""},
		"what is beyond it is old":       {4, new(2), []vm.VM{old(1), running(2)}, nil, 0, "web-3 web-4", "web-3", ""},
		"all is old where it is whole":   {3, new(1), []vm.VM{running(1)}, nil, 0, "web-2 web-3", "web-2 web-3", ""},
		"one that is created counts":     {3, new(1), []vm.VM{old(1)}, []string{"web-2"}, 0, "web-3", "web-3", ""},
		"an old one that is created not": {3, new(1), []vm.VM{old(1)}, []string{"web-2"}, 1, "web-3", "", ""},
		"one too many makes no new one":  {3, new(0), []vm.VM{running(1)}, nil, 0, "web-2 web-3", "web-2 web-3", ""},
		"without a canary all is new":    {3, nil, []vm.VM{old(1)}, nil, 0, "web-2 web-3", "", ""},
		"the old go first":               {2, new(1), []vm.VM{old(1), running(2), old(3)}, nil, 0, "", "", "web-3"},
		"but those beyond it before":     {2, new(1), []vm.VM{old(1), running(2), running(3)}, nil, 0, "", "", "web-3"},
		"and then the old":               {1, new(1), []vm.VM{old(1), running(2), running(3)}, nil, 0, "", "", "web-1 web-3"},
	} {
		s := situationOf(webSpec(func(g *bus.Group) { g.Max, g.Brakes.Removals = 9, 9 }), tt.owned...)
		s.Desired, s.ScaleIn, s.BootSlots, s.Numbers = tt.desired, true, 9, upTo(9)
		s.Refresh = RefreshShare{Active: true, Updated: tt.updated}
		s.Creating, s.Former = tt.creating, tt.former
		for _, v := range tt.owned {
			s.Taken[v.Name] = true
		}
		a := Plan(s)
		var remove []string
		for _, r := range a.Remove {
			remove = append(remove, r.VM.Name)
		}
		slices.Sort(remove)
		for what, got := range map[string][2]string{
			"creates":               {strings.Join(a.Create, " "), tt.create},
			"of the version before": {strings.Join(a.Former, " "), tt.olds},
			"removes":               {strings.Join(remove, " "), tt.remove},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %s %q, want %q", name, what, got[0], got[1])
			}
		}
	}
}

// templated is a VM that serves and was made from a template.
func templated(n int, template string) vm.VM {
	v := running(n)
	v.Meta.Template, v.Meta.Machine = template, "0"
	return v
}
