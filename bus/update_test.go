package bus

import (
	"strings"
	"testing"
	"time"
)

// What a VM needs is what differs: nothing, a restart where only its definition does, and new disks in all other cases.
func TestBuildNeeds(t *testing.T) {
	at := time.Unix(1000, 0)
	same := Made{Machine: "m1", Storage: "s1", Template: "web-1", Created: at}
	with := func(change func(*Made)) Made { m := same; change(&m); return m }
	other := with(func(m *Made) { m.Machine = "m0" })
	for _, tt := range []struct {
		name     string
		made     Made
		restarts bool
		before   *time.Time
		want     UpdateAction
		why      string
	}{
		{"as new ones are", same, true, nil, UpdateNone, ""},
		{"another definition", other, true, nil, UpdateRestart, "its disks are"},
		{"another definition, where none restarts", other, false, nil, UpdateReplace, "its machine, or what cloud-init reads"},
		{
			"other disks", with(func(m *Made) { m.Machine, m.Storage = "m0", "s0" }), true, nil, UpdateReplace,
			"its disks, its firmware, or what cloud-init reads",
		},
		{
			"another template", with(func(m *Made) { m.Template, m.Machine, m.Storage = "web-0", "m0", "s0" }), true, nil,
			UpdateReplace, "it was made from template web-0, and new ones are made from web-1",
		},
		{
			"nobody noted its disks", with(func(m *Made) { m.Machine, m.Storage = "m0", "" }), true, nil, UpdateReplace,
			"earlier version",
		},
		{"nobody noted its machine", with(func(m *Made) { m.Machine, m.Storage = "", "" }), true, nil, UpdateNone, ""},
		{"all are replaced", same, false, new(at.Add(1)), UpdateReplace, "made before"},
		{"all are restarted", same, true, new(at.Add(1)), UpdateRestart, "restarted since"},
		{"but those that were", with(func(m *Made) { m.Restarted = at.Add(1) }), true, new(at.Add(1)), UpdateNone, ""},
		{
			"which makes none younger", with(func(m *Made) { m.Restarted = at.Add(1) }), false, new(at.Add(1)), UpdateReplace,
			"made before",
		},
		{
			"all, also one of unknown disks", with(func(m *Made) { m.Storage = "" }), true, new(at.Add(1)), UpdateReplace,
			"made before",
		},
	} {
		b := Build{Machine: "m1", Storage: "s1", Template: "web-1", Restarts: tt.restarts, Before: tt.before}
		why := b.Why(tt.made)
		if got := b.Needs(tt.made); got != tt.want || (why == "") != (tt.why == "") || !strings.Contains(why, tt.why) ||
			b.Outdated(tt.made) != (tt.want != UpdateNone) {
			t.Errorf("%s: %s (%s), want %s (%s)", tt.name, got, why, tt.want, tt.why)
		}
	}
}

// What a disk holds, or goes by, has a fingerprint of its own, that the rest of a machine does not change.
func TestStorageHash(t *testing.T) {
	base := DefaultGroup()
	seeded := base
	seeded.CloudInit.UserData.Text = "#!/bin/sh"
	for _, tt := range []struct {
		name   string
		of     Group
		change func(*Group)
		same   bool
	}{
		{"vcpus", base, func(g *Group) { g.VCPUs++ }, true},
		{"memory", base, func(g *Group) { g.MemoryMiB++ }, true},
		{"network", base, func(g *Group) { g.Network = "other" }, true},
		{"nics", base, func(g *Group) { g.Hardware.NICs = []NIC{{Type: NICUser}} }, true},
		{"cpu", base, func(g *Group) { g.Hardware.CPU.Mode = CPUHostModel }, true},
		{"watchdog", base, func(g *Group) { g.Hardware.Watchdog = WatchdogReset }, true},
		{"panic", base, func(g *Group) { g.Hardware.Panic = true }, true},
		{"hugepages", base, func(g *Group) { g.Hardware.Hugepages = true }, true},
		{"pinning", base, func(g *Group) { g.Hardware.Pinning = "0-1" }, true},
		{"tags", base, func(g *Group) { g.Hardware.Tags = []string{"a"} }, true},
		{"domain_xml", base, func(g *Group) { g.Hardware.DomainXML.Text = "<domain/>" }, true},
		{"tags in a seed", seeded, func(g *Group) { g.Hardware.Tags = []string{"a"} }, false},
		{"template", base, func(g *Group) { g.Template = "other" }, false},
		{"disk", base, func(g *Group) { g.DiskMiB++ }, false},
		{"disks", base, func(g *Group) { g.Disks = []Disk{{SizeMiB: 1}} }, false},
		{"cloud_init", base, func(g *Group) { g.CloudInit.VendorData.Text = "#!/bin/sh" }, false},
		{"the file of a text", seeded, func(g *Group) { g.CloudInit.UserData.File = "a" }, true},
		{"firmware", base, func(g *Group) { g.Hardware.Firmware = FirmwareUEFI }, false},
		{"tpm", base, func(g *Group) { g.Hardware.TPM = true }, false},
		{"machine", base, func(g *Group) { g.Hardware.Machine = "q35" }, false},
	} {
		g := tt.of
		tt.change(&g)
		if same := g.StorageHash() == tt.of.StorageHash(); same != tt.same {
			t.Errorf("a change of %s leaves the hash: %v", tt.name, same)
		}
	}
	// A newer program must not take the disks of this one's VMs for others.
	if got := base.StorageHash(); got != "ed3cc83fa8c3" {
		t.Errorf("the default group's is %s", got)
	}
}
