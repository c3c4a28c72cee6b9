package bus

import (
	"reflect"
	"slices"
	"testing"
)

// What a VM is made from has its own fingerprint, and nothing else of a group changes it.
func TestMachineHash(t *testing.T) {
	base := DefaultGroup()
	made := []string{"Template", "VCPUs", "MemoryMiB", "Network", "DiskMiB", "Disks", "CloudInit", "Hardware"}
	seen := map[string]string{base.MachineHash(): "no change"}
	for i := range reflect.TypeFor[Group]().NumField() {
		name := reflect.TypeFor[Group]().Field(i).Name
		g := DefaultGroup()
		field := reflect.ValueOf(&g).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Int, reflect.Int64:
			field.SetInt(field.Int() + 1)
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		case reflect.Struct:
			if name == "CloudInit" {
				g.CloudInit.UserData.Text = "#!/bin/sh"
			}
			if name == "Hardware" {
				g.Hardware.Panic = true
			}
		default:
			field.SetZero()
		}
		before, changed := seen[g.MachineHash()]
		if changed = !changed; changed != slices.Contains(made, name) {
			t.Errorf("a change of %s changes the hash: %v (it is that of %s)", name, changed, before)
		}
		seen[g.MachineHash()] = name
	}
	// Where a text was read from changes no VM.
	one, other := base, base
	one.CloudInit = CloudInit{SSHKeys: []Text{{Text: "k", File: "a"}}, UserData: Text{Text: "u", File: "a"}}
	other.CloudInit = CloudInit{SSHKeys: []Text{{Text: "k", File: "b"}}, UserData: Text{Text: "u"}}
	if one.MachineHash() != other.MachineHash() {
		t.Error("the file of a text changes the hash")
	}
	// A newer program must not take the VMs of this one for VMs that were made from something else.
	if got := base.MachineHash(); got != "a0c2cdcb0da4" {
		t.Errorf("the default group's is %s", got)
	}
}

// Each VM has ports of its own on the host, and only VMs with nothing but user-mode networking are secluded.
func TestForwardsOf(t *testing.T) {
	forwarded := NIC{Type: NICUser, Forwards: []Forward{{Host: 8000, Guest: 80}, {Host: 2200, Guest: 22}, {Host: 9000, Guest: 80}}}
	g := Group{Hardware: Hardware{NICs: []NIC{{Type: NICNetwork, Source: "default"}, forwarded}}}
	if got := g.ForwardsOf(3); len(got) != 2 || got[80] != 8002 || got[22] != 2202 {
		t.Errorf("ports %v", got)
	}
	for want, groups := range map[bool][]Group{
		false: {g, {}, {Network: "default"}},
		true:  {{Network: UserNetwork}, {Network: "default", Hardware: Hardware{NICs: []NIC{forwarded}}}},
	} {
		for _, g := range groups {
			if g.Secluded() != want {
				t.Errorf("%+v: secluded %v", g, !want)
			}
		}
	}
}
