package vm

import (
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

func TestFindVMs(t *testing.T) {
	owned := func(name, group string) VM { return VM{Name: name, Meta: bus.Metadata{Group: group}} }
	inv := Inventory{Owned: []VM{owned("web-1", "web"), owned("db-1", "db"), owned("web-2", "web")}}
	for _, tt := range []struct{ name, want string }{
		{"web", "web-1 web-2"},
		{"web-2", "web-2"},
		{"db", "db-1"},
	} {
		vms, err := inv.FindVMs(tt.name)
		var names []string
		for _, vm := range vms {
			names = append(names, vm.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want {
			t.Errorf("%s: got %s, %v", tt.name, got, err)
		}
	}
	if _, err := inv.FindVMs("other"); err == nil || !strings.Contains(err.Error(), "there are the groups db, web") {
		t.Errorf("other: %v", err)
	}
	if _, err := inv.FindVMs("web-9"); err == nil || !strings.Contains(err.Error(), `"web-9": group web has the VMs web-`) {
		t.Errorf("got %v, want the VMs of the group", err)
	}
	if _, err := (Inventory{}).FindVMs("web"); err == nil || !strings.Contains(err.Error(), "owns no VMs") {
		t.Errorf("none: %v", err)
	}
}

func TestDomainState(t *testing.T) {
	for s, want := range map[libvirt.DomainState]bus.State{
		libvirt.DOMAIN_RUNNING: bus.StateRunning, libvirt.DOMAIN_PAUSED: bus.StatePaused, libvirt.DOMAIN_SHUTDOWN: bus.StateShutdown,
		libvirt.DOMAIN_SHUTOFF: bus.StateShutoff, libvirt.DOMAIN_CRASHED: bus.StateCrashed, libvirt.DOMAIN_NOSTATE: bus.StateUnknown,
		libvirt.DOMAIN_PMSUSPENDED: bus.StateAsleep, libvirt.DOMAIN_BLOCKED: bus.StateOther, libvirt.DomainState(99): bus.StateOther,
	} {
		if got := bus.StateFromLibvirt(int(s)); got != want {
			t.Errorf("state %d is %q, want %q", s, got, want)
		}
	}
}

func TestPausedForNow(t *testing.T) {
	for reason, want := range map[libvirt.DomainPausedReason]bool{
		libvirt.DOMAIN_PAUSED_USER: false, libvirt.DOMAIN_PAUSED_IOERROR: false, libvirt.DOMAIN_PAUSED_CRASHED: false,
		libvirt.DOMAIN_PAUSED_UNKNOWN:  false,
		libvirt.DOMAIN_PAUSED_SNAPSHOT: true, libvirt.DOMAIN_PAUSED_SAVE: true, libvirt.DOMAIN_PAUSED_MIGRATION: true,
		libvirt.DOMAIN_PAUSED_STARTING_UP: true,
		99:                                false,
	} {
		if got := bus.PausedForNow(int(reason)); got != want {
			t.Errorf("reason %d: %v, want %v", reason, got, want)
		}
	}
}

// That libvirt could not say whether memory is saved does not make it gone.
func TestOffState(t *testing.T) {
	for _, tt := range []struct {
		name  string
		saved bool
		err   error
		want  bus.State
	}{
		{"saved", true, nil, bus.StateSaved},
		{"off", false, nil, bus.StateShutoff},
		{"a driver without", false, libvirt.Error{Code: libvirt.ERR_NO_SUPPORT}, bus.StateShutoff},
		{"not known", false, libvirt.Error{Code: libvirt.ERR_RPC}, bus.StateUnknown},
	} {
		got, err := offState(tt.saved, tt.err)
		if got != tt.want || (err != nil) != (tt.want == bus.StateUnknown) {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, err, tt.want)
		}
	}
}
