package main

import (
	"reflect"
	"strings"
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

// What is made of a template alone has the machine of a group that has it, and nothing of what the group tells its guests, such
// as keys and networks, nor its disks. What is made as a group's has all of it, with a template that may be another.
func TestTrialSpecOfGroup(t *testing.T) {
	secret := bus.Text{Text: "secret"}
	group := bus.DefaultGroup()
	group.Name, group.Template, group.MemoryMiB, group.Network, group.DiskMiB = "web", "debian", 512, "lan", 9000
	group.Disks, group.Hardware.Tags, group.Hardware.Machine = make([]bus.Disk, 1), []string{"prod"}, "q35"
	group.CloudInit = bus.CloudInit{
		SSHKeys: []bus.Text{secret}, UserData: secret, VendorData: secret, NetworkConfig: secret,
	}
	cfg := config.Config{Groups: []bus.Group{group}}
	alone := trialSpec(cfg, template.Info{Name: "debian"}, "qemu:///system")
	want := group
	want.CloudInit, want.Disks, want.Hardware.Tags, want.DiskMiB = bus.CloudInit{}, nil, nil, 0
	if !reflect.DeepEqual(alone, want) {
		t.Errorf("of the template alone: %+v", alone)
	}
	of, err := groupTrialSpec(cfg, "web", template.Info{Name: "debian-2"}, "qemu:///system")
	want = group
	want.Template = "debian-2"
	if err != nil || !reflect.DeepEqual(of, want) {
		t.Errorf("of the group: %v, %+v", err, of)
	}
	_, err = groupTrialSpec(cfg, "wep", template.Info{Name: "debian"}, "qemu:///system")
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), `--group: the config has no group "wep"; it has web`) {
		t.Errorf("of no group: %v", err)
	}

	told := bus.CloudInit{UserData: bus.Text{Text: "#cloud-config", File: "pre.yaml"}}
	got := (&templatePrebuildCmd{text: "#cloud-config", userData: "pre.yaml", diskMiB: 4096}).spec(alone)
	if !reflect.DeepEqual(got.CloudInit, told) || got.DiskMiB != 4096 || got.MemoryMiB != 512 {
		t.Errorf("a prebuild: %+v", got)
	}
}
