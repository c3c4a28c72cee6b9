package await

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]Condition{
		"stable":          Stable{},
		"ready=3":         Ready{VMs: 3},
		"ready=0":         Ready{},
		"ready=3+":        Ready{VMs: 3, OrMore: true},
		"desired=2":       Desired{VMs: 2},
		"template=web-2":  Template{"web-2"},
		"vm=web-1:ready":  Phase{"web-1", bus.PhaseReady},
		"vm=web-1:failed": Phase{"web-1", bus.PhaseFailed},
		"vm=web-1:gone":   Gone{VM: "web-1"},
		"refresh=done":    Refresh{},
		"refresh=canary":  Canary{},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %#v, %v; want %#v", text, got, err, want)
		}
		if err == nil && got.String() != text {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
	for text, want := range map[string]string{
		"":                `found "", want one such as stable, ready=3`,
		"reday=3":         "did you mean ready?",
		"stable=1":        "want stable, without a value",
		"ready":           "want ready=N for exactly N VMs",
		"ready=-1":        "want ready=N",
		"ready=03":        "want ready=N",
		"ready=3.5":       "want ready=N",
		"ready>=3":        "want one such as",
		"desired=3+":      "want desired=N",
		"template=":       "want template=NAME",
		"vm=web-1":        "want vm=NAME:STATE with one of gone, creating",
		"vm=:ready":       "want vm=NAME:STATE",
		"vm=web-1:reday":  "after the VM's name; did you mean ready?",
		"refresh=running": "want refresh=done or refresh=canary",
	} {
		if got, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
	for _, form := range Forms() {
		if _, err := Parse(form); err != nil {
			t.Errorf("the example %s: %v", form, err)
		}
	}
}

// in is a VM with a change of it.
func in(name string, change func(*bus.VM)) bus.VM {
	vm := modeltest.VM(name, nil)
	vm.Template = "web-2"
	if change != nil {
		change(&vm)
	}
	return vm
}

func phase(p bus.Phase) func(*bus.VM) { return func(vm *bus.VM) { vm.Phase = p } }

func TestMissing(t *testing.T) {
	one, two := in("web-1", nil), in("web-2", nil)
	launching := in("web-3", phase(bus.PhaseLaunching))
	suspended := in("web-3", func(vm *bus.VM) { vm.State = bus.StatePaused })
	refresh := func(p bus.RefreshPhase) func(*bus.Decision) {
		return func(d *bus.Decision) {
			d.Refresh = &bus.Refresh{ID: "r2", Phase: p, Sentence: "so far", Started: modeltest.At(-5)}
		}
	}
	canary := func(p bus.RefreshPhase) func(*bus.Decision) {
		return func(d *bus.Decision) {
			refresh(p)(d)
			d.Refresh.CanaryPercent, d.Refresh.Canary = 20, 1
		}
	}
	canaryOf := func(desired, updated int) func(*bus.Decision) {
		return func(d *bus.Decision) {
			canary(bus.RefreshCanary)(d)
			d.Desired, d.Refresh.Updated = desired, updated
		}
	}
	for _, tt := range []struct {
		name   string
		c      Condition
		vms    []bus.VM
		change func(*bus.Decision) // it wants 2 VMs
		want   string              // "": it holds; "!..." is an error
	}{
		{"stable", Stable{}, []bus.VM{one, two}, nil, ""},
		{"too few", Stable{}, []bus.VM{one}, nil, "stable: 1 is ready, and it wants 2"},
		{"one comes", Stable{}, []bus.VM{one, launching}, nil, "stable: 1 is ready, and it wants 2; web-3 is launching"},
		{"one more comes", Stable{}, []bus.VM{one, two, launching}, nil, "stable: web-3 is launching"},
		{"one goes", Stable{}, []bus.VM{one, two, in("web-3", phase(bus.PhaseDraining))}, nil, "stable: web-3 is draining"},
		{"one has failed", Stable{}, []bus.VM{one, two, in("web-3", phase(bus.PhaseFailed))}, nil, "stable: web-3 is failed"},
		{
			"one of a later version",
			Stable{},
			[]bus.VM{one, two, in("web-3", phase("dreaming"))},
			nil,
			"stable: web-3 is dreaming",
		},
		{
			"one has died",
			Stable{},
			[]bus.VM{one, two, in("web-3", func(vm *bus.VM) { vm.State = bus.StateShutoff })},
			nil,
			"stable: web-3 is shut off",
		},
		{"one is suspended", Stable{}, []bus.VM{one, two, suspended}, nil, ""},
		{
			"one retires",
			Stable{},
			[]bus.VM{one, in("web-2", func(vm *bus.VM) { vm.Retiring = true })},
			nil,
			"stable: web-2 is retiring",
		},
		{
			"one is given new disks",
			Stable{},
			[]bus.VM{one, in("web-2", func(vm *bus.VM) { vm.Reimaging = true })},
			nil,
			"stable: web-2 gets new disks",
		},
		{
			"one is to go",
			Stable{},
			[]bus.VM{one, in("web-2", func(vm *bus.VM) { vm.Order = &bus.VMOrder{Verb: bus.VMReplace} })},
			nil,
			"stable: web-2 has the order replace",
		},
		{"a refresh", Stable{}, []bus.VM{one, two}, refresh(bus.RefreshPaused), "stable: a refresh goes on (paused)"},
		{"after a refresh", Stable{}, []bus.VM{one, two}, refresh(bus.RefreshDone), ""},
		{"none wanted", Stable{}, nil, func(d *bus.Decision) { d.Desired = 0 }, ""},

		{"ready", Ready{VMs: 2}, []bus.VM{one, two, launching}, nil, ""},
		{"too many", Ready{VMs: 1}, []bus.VM{one, two}, nil, "ready=1: 2 are ready"},
		{"or more", Ready{VMs: 1, OrMore: true}, []bus.VM{one, two}, nil, ""},
		{"not so many", Ready{VMs: 3, OrMore: true}, []bus.VM{one, two}, nil, "ready=3+: 2 are ready"},
		{"a suspended one is not ready", Ready{VMs: 1}, []bus.VM{suspended}, nil, "ready=1: 0 are ready"},

		{"desired", Desired{2}, nil, nil, ""},
		{"not desired", Desired{3}, nil, nil, "desired=3: it wants 2 VMs: stable: average 45 %"},

		{"template", Template{"web-2"}, []bus.VM{one, two}, nil, ""},
		{"another", Template{"web-3"}, []bus.VM{one}, nil, "template=web-3: web-1 is made from web-2"},
		{
			"an unknown one",
			Template{"web-2"},
			[]bus.VM{in("web-1", func(vm *bus.VM) { vm.Template = "" })},
			nil,
			"template=web-2: web-1 is made from an unknown template",
		},
		{"no VM", Template{"web-2"}, nil, nil, "template=web-2: it has no VM"},
		{"no VM is wanted", Template{"web-2"}, nil, func(d *bus.Decision) { d.Desired = 0 }, ""},

		{"VM ready", Phase{"web-1", bus.PhaseReady}, []bus.VM{one}, nil, ""},
		{"VM launching", Phase{"web-3", bus.PhaseReady}, []bus.VM{launching}, nil, "vm=web-3:ready: it is launching"},
		{"VM suspended", Phase{"web-3", bus.PhaseReady}, []bus.VM{suspended}, nil, "vm=web-3:ready: it is paused"},
		{"no such VM", Phase{"web-9", bus.PhaseReady}, []bus.VM{one}, nil, "vm=web-9:ready: there is no such VM"},
		{"gone", Gone{VM: "web-9"}, []bus.VM{one}, nil, ""},
		{"not gone", Gone{VM: "web-1"}, []bus.VM{one}, nil, "vm=web-1:gone: it is ready"},
		{"another of the name", Gone{VM: "web-1", UUID: "old"}, []bus.VM{one}, nil, ""},

		{"no canary", Canary{}, nil, nil, "!refresh=canary: the group has had no refresh"},
		{"a canary", Canary{}, nil, canaryOf(2, 1), ""},
		{"a canary of none", Canary{}, nil, canaryOf(0, 0), "refresh=canary: canary: so far"},
		{"a canary that boots", Canary{}, nil, canaryOf(1, 0), "refresh=canary: canary: so far"},
		{"a canary of which some boot", Canary{}, nil, canaryOf(6, 1), "refresh=canary: canary: so far"},
		{"a canary that comes", Canary{}, nil, canary(bus.RefreshRunning), "refresh=canary: running: so far"},
		{"a canary that is let go", Canary{}, nil, refresh(bus.RefreshRunning), "!refresh=canary: it has no canary, or a person"},
		{"a canary that failed", Canary{}, nil, canary(bus.RefreshFailed), "!refresh=canary: it is failed: so far"},
		{"a canary taken back", Canary{}, nil, func(d *bus.Decision) {
			canary(bus.RefreshReturning)(d)
			d.Refresh.Returned = true
		}, "!refresh=canary: it is returning: so far"},
		{"no refresh", Refresh{}, nil, nil, "!refresh=done: the group has had no refresh"},
		{"refresh done", Refresh{}, nil, refresh(bus.RefreshDone), ""},
		{"refresh running", Refresh{}, nil, refresh(bus.RefreshRunning), "refresh=done: running: so far"},
		{"refresh failed", Refresh{}, nil, refresh(bus.RefreshFailed), "!refresh=done: it was failed: so far"},
		{"refresh canceled", Refresh{}, nil, refresh(bus.RefreshCanceled), "!refresh=done: it was canceled: so far"},
		{"refresh taken back", Refresh{Ends: bus.RefreshFailed}, nil, refresh(bus.RefreshFailed), ""},
		{
			"refresh that is being taken back",
			Refresh{Ends: bus.RefreshFailed},
			nil, refresh(bus.RefreshReturning),
			"refresh=done: returning: so far",
		},
		{"refresh of a later version", Refresh{}, nil, refresh("dreaming"), "!refresh=done: it is dreaming"},
		{"the one", Refresh{ID: "r2", Started: modeltest.At(-5)}, nil, refresh(bus.RefreshDone), ""},
		{
			"a later one",
			Refresh{ID: "r3", Started: modeltest.At(-4)},
			nil, refresh(bus.RefreshDone),
			"refresh=done: it is not heard of yet",
		},
		{
			"an earlier one",
			Refresh{ID: "r1", Started: modeltest.At(-6)},
			nil, refresh(bus.RefreshRunning),
			"!refresh=done: another refresh has taken its place",
		},

		{"evaluated since", DecidedAfter{modeltest.At(-1)}, nil, nil, ""},
		{"at the same moment", DecidedAfter{modeltest.At(0)}, nil, nil, "decided: its next evaluation is still to come"},
	} {
		m := model.New(modeltest.At(0), model.Sizes{})
		m.Sample(modeltest.Sample("web", "kvm1", 0, tt.vms...), modeltest.At(0))
		d := modeltest.Decision("web", 0)
		if tt.change != nil {
			tt.change(&d)
		}
		m.Decision(d, modeltest.At(0))
		got, err := Missing(m.Group("web"), modeltest.At(1), []Condition{tt.c})
		if wrong, is := strings.CutPrefix(tt.want, "!"); is {
			if err == nil || !strings.HasPrefix(err.Error(), wrong) {
				t.Errorf("%s: %q, %v; want the error %s", tt.name, got, err, wrong)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

// All conditions must hold at once; the first that does not is named.
func TestMissingOfSeveral(t *testing.T) {
	m := model.New(modeltest.At(0), model.Sizes{})
	m.Sample(modeltest.Sample("web", "kvm1", 0, in("web-1", nil), in("web-2", nil)), modeltest.At(0))
	m.Decision(modeltest.Decision("web", 0), modeltest.At(0))
	for _, tt := range []struct {
		conditions []Condition
		want       string
	}{
		{[]Condition{Stable{}, Ready{VMs: 2}, Template{"web-2"}}, ""},
		{[]Condition{Stable{}, Ready{VMs: 3}, Template{"web-9"}}, "ready=3: 2 are ready"},
	} {
		if got, err := Missing(m.Group("web"), modeltest.At(0), tt.conditions); err != nil || got != tt.want {
			t.Errorf("%v: %q, %v; want %q", tt.conditions, got, err, tt.want)
		}
	}
}

// What is not known, or was true some time ago, does not hold.
func TestNothingHoldsThatIsNotKnown(t *testing.T) {
	vms := []bus.VM{in("web-1", nil), in("web-2", nil)}
	sample := modeltest.Sample("web", "kvm1", 0, vms...)
	decision := modeltest.Decision("web", 0)
	split := decision
	split.Shares = map[bus.HostID]bus.Share{"kvm1": {Host: "kvm1"}, "kvm2": {Host: "kvm2"}}
	unknown := decision
	unknown.HasSample = false
	for _, tt := range []struct {
		name     string
		messages []any
		after    time.Duration
		want     string
	}{
		{"nothing", nil, 0, "nothing is heard of it"},
		{"no decision", []any{sample}, 0, "no decision is heard"},
		{"an old decision", []any{sample, decision}, 11 * time.Second, "no decision is heard for 11s"},
		{"an old sample", []any{sample, decision}, 6 * time.Second, "host kvm1 is silent for 6s"},
		{"a host that is not heard", []any{sample, split}, 0, "host kvm2 is not heard"},
		{"VMs that are not known", []any{sample, unknown}, 0, "its VMs are not known yet"},
		{"all", []any{sample, decision}, 0, ""},
	} {
		m := model.New(modeltest.At(0), model.Sizes{})
		for _, message := range tt.messages {
			m.Fold(message, modeltest.At(0))
		}
		got, err := Missing(m.Group("web"), modeltest.At(0).Add(tt.after), []Condition{Gone{VM: "web-9"}, Stable{}})
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}
