package vm

import (
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// What vmscaler gives two clones of a template differs in all that a guest takes its identity from.
func TestClonesDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"web-1", "web-2"} {
		uuid := NewUUID()
		mac, err := MACAddress("host", "web", name, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := Definition{
			Spec: webSpec(), Machine: Machine{VirtType: "qemu", Arch: "x86_64"}, Name: name,
			Meta:     bus.Metadata{Group: "web", UUID: uuid, Created: t0, Since: t0, Phase: bus.PhaseCreating},
			DiskPath: "/pool/" + name, MACs: []string{mac},
		}.XML()
		if err != nil {
			t.Fatal(err)
		}
		var d libvirtxml.Domain
		if err := d.Unmarshal(text); err != nil {
			t.Fatal(err)
		}
		serial := ""
		for _, info := range d.SysInfo {
			for _, e := range info.SMBIOS.System.Entry {
				if e.Name == "serial" {
					serial = e.Value
				}
			}
		}
		if !strings.Contains(serial, "h="+name) || d.Name != name || d.UUID != uuid {
			t.Errorf("%s: named %q, UUID %s, serial %q", name, d.Name, d.UUID, serial)
		}
		if address := d.Devices.Interfaces[0].MAC; address == nil || address.Address != mac {
			t.Errorf("%s: has the address %+v, want %s", name, address, mac)
		}
		instance := serial[strings.LastIndex(serial, "i="):]
		for what, value := range map[string]string{
			"UUID": d.UUID, "MAC address": mac, "instance id": instance,
			"disk": d.Devices.Disks[0].Source.File.File,
		} {
			if seen[value] != "" {
				t.Errorf("%s has the %s of another one: %s", name, what, value)
			}
			seen[value] = name
		}
	}
}
