package web

import (
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

func TestTargets(t *testing.T) {
	vm := func(name string, change func(*bus.VM)) bus.VM {
		vm := modeltest.VM(name, nil)
		vm.Address = "10.0.0.7"
		if change != nil {
			change(&vm)
		}
		return vm
	}
	for _, tt := range []struct {
		name   string
		change func(*bus.VM)
		port   int
		want   string // "": it is none
	}{
		{"ready", nil, 80, "10.0.0.7:80"},
		{"without a port", nil, 0, "10.0.0.7"},
		{"IPv6", func(vm *bus.VM) { vm.Address = "2001:db8::7" }, 80, "[2001:db8::7]:80"},
		{"IPv6 without a port", func(vm *bus.VM) { vm.Address = "2001:db8::7" }, 0, "[2001:db8::7]"},
		{"retiring", func(vm *bus.VM) { vm.Retiring = true }, 80, "10.0.0.7:80"},
		{"to be replaced", func(vm *bus.VM) { vm.Order = &bus.VMOrder{Verb: bus.VMReplace} }, 80, "10.0.0.7:80"},
		{"launching", func(vm *bus.VM) { vm.Phase = bus.PhaseLaunching }, 80, ""},
		{"draining", func(vm *bus.VM) { vm.Phase = bus.PhaseDraining }, 80, ""},
		{"standing by", func(vm *bus.VM) { vm.Phase = bus.PhaseStandby }, 80, ""},
		{"of a later phase", func(vm *bus.VM) { vm.Phase = "resting" }, 80, ""},
		{"off", func(vm *bus.VM) { vm.State = bus.StateShutoff }, 80, ""},
		{"paused", func(vm *bus.VM) { vm.State = bus.StatePaused }, 80, ""},
		{"to be drained", func(vm *bus.VM) { vm.Order = &bus.VMOrder{Verb: bus.VMDrain} }, 80, ""},
		{"to stand by", func(vm *bus.VM) { vm.Order = &bus.VMOrder{Verb: bus.VMStandby} }, 80, ""},
		{"without an address", func(vm *bus.VM) { vm.Address = "" }, 80, ""},
		{"behind a port", func(vm *bus.VM) { vm.Address, vm.Forwards = "", map[int]int{80: 8081} }, 80, "127.0.0.1:8081"},
		{"behind another port", func(vm *bus.VM) { vm.Address, vm.Forwards = "", map[int]int{80: 8081} }, 22, ""},
		{"behind no port", func(vm *bus.VM) { vm.Address, vm.Forwards = "", map[int]int{80: 8081} }, 0, ""},
	} {
		m := model.New(modeltest.At(0), sizes)
		m.Fold(modeltest.Sample("web", "kvm1", 0, vm("web-1", tt.change)), modeltest.At(0))
		got := targets(m.Group("web"), tt.port)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || got[0].Targets[0] != tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, got, tt.want)
		}
	}
}

// Where VMs serve and none is reached by this port, it is said which ports there are; where none serves, nobody is found.
func TestUnreached(t *testing.T) {
	vm := modeltest.VM("web-1", nil)
	vm.Forwards = map[int]int{80: 8081, 22: 2201}
	m := model.New(modeltest.At(0), sizes)
	m.Fold(modeltest.Sample("web", "kvm1", 0, vm), modeltest.At(0))
	for port, want := range map[int]string{
		0:  "port: found nothing, want one that is forwarded to the VMs of group web: 22, 80",
		90: "port: found 90, want one that is forwarded to the VMs of group web: 22, 80", 80: "",
	} {
		err := unreached(m.Group("web"), port, targets(m.Group("web"), port))
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("port %d: %v, want %q", port, err, want)
		}
	}
	vm.Phase = bus.PhaseDraining
	m.Fold(modeltest.Sample("web", "kvm1", 1, vm), modeltest.At(1))
	if err := unreached(m.Group("web"), 0, nil); err != nil {
		t.Errorf("of a VM that serves no more: %v", err)
	}
}

func TestDiscover(t *testing.T) {
	var later atomic.Int64
	s := newAPISite(t, nil, func(c *Config) { c.Now = func() time.Time { return modeltest.At(float64(later.Load())) } })
	if code, body := s.get("/sd/web"); code != 503 {
		t.Errorf("without a bus: %d %s", code, body)
	}
	s.follow(s.bus)
	sample := modeltest.Sample("web", "kvm1", 0, modeltest.VM("web-10", nil), modeltest.VM("web-9", nil))
	for i := range sample.VMs {
		sample.VMs[i].Address, sample.VMs[i].Template = "10.0.0.7", "demo"
	}
	s.server.fold(sample)
	code, body := s.get("/sd/web?port=9100")
	var got []target
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 || len(got) != 2 {
		t.Fatalf("%d %s %v", code, body, err)
	}
	want := map[string]string{"group": "web", "vm": "web-9", "host": "kvm1", "template": "demo"}
	if !slices.Equal(got[0].Targets, []string{"10.0.0.7:9100"}) || len(got[0].Labels) != 4 {
		t.Errorf("%+v", got[0])
	}
	for label, value := range want {
		if got[0].Labels[label] != value {
			t.Errorf("%s: %q, want %q", label, got[0].Labels[label], value)
		}
	}
	sample.VMs, sample.Time = []bus.VM{}, modeltest.At(1)
	s.server.fold(sample)
	if code, body := s.get("/sd/web"); code != 200 || body != "[]\n" {
		t.Errorf("a group without a VM: %d %s", code, body)
	}
	for path, want := range map[string]int{"/sd/db": 404, "/sd/web?port=0": 400, "/sd/web?port=http": 400} {
		if code, body := s.get(path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	later.Store(60) // what is not known is not that there is none
	if code, body := s.get("/sd/web"); code != 503 {
		t.Errorf("without a sample: %d %s", code, body)
	}
}
