package main

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// TestLeavesAlone: a group that has left the config can go while the others are scaled; one of a process that does not
// tell its groups cannot.
func TestLeavesAlone(t *testing.T) {
	for _, tt := range []struct {
		groups []string
		want   bool
	}{{nil, false}, {[]string{}, false}, {[]string{"web"}, true}, {[]string{"web", "old"}, false}} {
		if got := leavesAlone(host.Holder{Groups: tt.groups}, "old"); got != tt.want {
			t.Errorf("%q: %t", tt.groups, got)
		}
	}
}

// That a group has no VMs is only sure where the system's libvirt could be asked, and good only of a group that there is.
func TestNothingToTakeDown(t *testing.T) {
	unsure := errors.New("no permission")
	for _, tt := range []struct {
		unasked error
		groups  []bus.Group
		want    string // of the error; "" is none
	}{
		{nil, []bus.Group{{Name: "old"}}, ""},
		{unsure, []bus.Group{{Name: "old"}}, "is not known: no permission"},
		{nil, nil, "found no group old: it has no VMs, and the config has no such group"},
		{nil, []bus.Group{{Name: "olds"}}, "did you mean olds?"},
	} {
		c := &downCmd{group: "old"}
		var out bytes.Buffer
		err := c.nothing(&out, host.Choice{URI: "test:///", Why: "as root", Unasked: tt.unasked}, []string{"web"}, tt.groups)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
		if want := "group old has no VMs at test:/// (as root); nothing to remove\ngroups with VMs there: web\n"; out.String() != want {
			t.Errorf("got %q, want %q", &out, want)
		}
	}
}

// The deletion protection of the VMs holds without a config, and that of the config before the VMs have it.
func TestDownIsRefused(t *testing.T) {
	of := func(levels ...bus.DeletionProtection) (vms []vm.VM) {
		for _, l := range levels {
			vms = append(vms, vm.VM{Deletion: l})
		}
		return vms
	}
	const none, force, all = bus.DeletionAllowed, bus.DeletionPreventForce, bus.DeletionPreventAll
	for _, tt := range []struct {
		vms    []vm.VM
		config bus.DeletionProtection
		yes    bool
		alone  bool   // without a terminal
		want   string // of the error; "" is none
	}{
		{of(none), none, true, true, ""},
		{of(force), none, false, false, ""},
		{of(force), none, true, false, "deletion_protection: prevent-force, so --yes is refused"},
		{of(force), none, false, true, "no terminal to ask on: nothing was removed; run this on a terminal, without --yes"},
		{of(force), none, true, true, "no terminal to ask on"},
		{of(none, force), none, true, false, "--yes is refused"},
		{of(none, all, force), none, false, false, "deletion_protection: prevent-all, so nothing was removed: set it to none"},
		{of(none), all, false, false, "prevent-all"},
		{of(none), force, true, false, "prevent-force"},
	} {
		c := &downCmd{group: "web", yes: tt.yes}
		groups := []bus.Group{{Name: "db", DeletionProtection: all}, {Name: "web", DeletionProtection: tt.config}}
		err := c.allowed(tt.vms, groups, !tt.alone)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || exitCode(err) != exitRefused) {
			t.Errorf("%+v: got %v", tt, err)
		}
	}
}

// A process in the way need not be started again, and nothing is said of other errors.
func TestInTheWay(t *testing.T) {
	locked := &host.LockedError{Holder: host.Holder{Command: "vmscaler run", PID: 7, URI: "qemu:///system"}}
	err := inTheWay(withRemedy(locked), "web")
	const want = "take group web out of its config, have that hold with `vmscaler apply -f FILE`, and repeat this"
	if err == nil || !strings.HasSuffix(err.Error(), want) || !errors.Is(err, locked) {
		t.Errorf("got %v, want %q", err, want)
	}
	other := errors.New("disk full")
	if got := inTheWay(other, "web"); !errors.Is(got, other) || got.Error() != other.Error() {
		t.Errorf("got %v", got)
	}
}

// The records are in the folder that is named, else in that of the process that acts there, else in the usual one.
func TestStateBeside(t *testing.T) {
	for _, tt := range []struct{ named, acts, want string }{
		{"/named", "/acts", "/named"}, {"", "/acts", "/acts"}, {"/named", "", "/named"}, {"", "", defaultStateDir()},
	} {
		if got := stateBeside(config.Config{StateDir: tt.named}, host.Holder{StateDir: tt.acts}); got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}

// That nobody will know who has removed a VM is said, but of throw-away ones, of which no record is kept.
func TestUnrecorded(t *testing.T) {
	once := bus.NewThrowAwayGroup()
	for _, tt := range []struct {
		group string
		err   error
		want  string
	}{
		{"web", nil, ""},
		{"web", fs.ErrNotExist, "web-1: /records has no record of it"},
		{once, fs.ErrNotExist, ""},
		{once, errors.New("disk full"), "web-1: the history will not say who has removed it: disk full"},
	} {
		got := unrecorded(tt.group, "web-1", "/records", tt.err)
		if !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s, %v: got %q, want %q", tt.group, tt.err, got, tt.want)
		}
	}
}
