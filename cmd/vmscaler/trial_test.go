package main

import (
	"reflect"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// Clones of a template are made as the group's VMs that has it, else so that they start.
func TestTrialSpec(t *testing.T) {
	web, db := bus.DefaultGroup(), bus.DefaultGroup()
	web.Template, web.Network, web.MemoryMiB = "web", "lan", 512
	db.Template, db.MemoryMiB = "db", 1024
	cfg := config.Config{Groups: []bus.Group{web, db}}
	for _, tt := range []struct {
		of       template.Info
		memory   int
		network  string
		firmware bus.Firmware
	}{
		{template.Info{Name: "web"}, 512, "lan", bus.FirmwareBIOS},
		{template.Info{Name: "db", Firmware: template.FirmwareUEFI}, 1024, "default", bus.FirmwareBIOS}, // as the group says it
		{template.Info{Name: "new"}, 256, "lan", bus.FirmwareBIOS},
		{template.Info{Name: "new", Firmware: template.FirmwareUEFI}, 256, "lan", bus.FirmwareUEFI},
		{template.Info{Name: "new", Firmware: template.FirmwareBoth}, 256, "lan", bus.FirmwareBIOS},
		{template.Info{}, 256, "lan", bus.FirmwareBIOS},
	} {
		got := trialSpec(cfg, tt.of, "qemu:///system")
		if got.Template != tt.of.Name || got.MemoryMiB != tt.memory || got.Network != tt.network ||
			got.Hardware.Firmware != tt.firmware {
			t.Errorf("%+v: got %+v", tt.of, got)
		}
	}
	if got := trialSpec(config.Config{}, template.Info{Name: "new"}, "qemu:///session"); got.Network != bus.UserNetwork {
		t.Errorf("without groups: network %q", got.Network)
	}
}

// What a prebuild makes has nothing of what a group tells its guests, such as keys, nor the size of its disks.
func TestPrebuildSpec(t *testing.T) {
	group := bus.DefaultGroup()
	group.Name, group.MemoryMiB, group.Network, group.DiskMiB = "web", 512, "lan", 9000
	group.Disks = make([]bus.Disk, 1)
	group.Hardware.Tags = []string{"prod"}
	secret := bus.Text{Text: "secret"}
	group.CloudInit = bus.CloudInit{
		SSHKeys: []bus.Text{secret}, UserData: secret, VendorData: secret, NetworkConfig: secret,
	}
	told := bus.CloudInit{UserData: bus.Text{Text: "#cloud-config", File: "pre.yaml"}}
	got := (&templatePrebuildCmd{text: "#cloud-config", userData: "pre.yaml"}).spec(group)
	if !reflect.DeepEqual(got.CloudInit, told) || len(got.Hardware.Tags) > 0 || len(got.Disks) > 0 || got.DiskMiB != 0 {
		t.Errorf("it takes of a group %+v", got)
	}
	if got.MemoryMiB != 512 || got.Network != "lan" {
		t.Errorf("%+v, want the group's machine", got)
	}
	if got := (&templatePrebuildCmd{diskMiB: 4096}).spec(group); got.DiskMiB != 4096 {
		t.Errorf("--disk: found %d MiB", got.DiskMiB)
	}
}
