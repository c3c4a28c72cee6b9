package vm

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), []byte(strings.TrimSpace(got))) {
		t.Errorf("%s differs (write it again with -update); got\n%s", file, got)
	}
}

var someMACs = []string{"52:54:0a:0b:0c:0d", "52:54:0a:0b:0c:0e", "52:54:0a:0b:0c:0f", "52:54:0a:0b:0c:10"}

func TestDomainXML(t *testing.T) {
	same := func(*bus.Group, *bus.Metadata) {}
	for _, tt := range []struct {
		name, network string
		m             Machine
		change        func(*bus.Group, *bus.Metadata)
	}{
		{"kvm", "default", Machine{VirtType: "kvm", Arch: "x86_64"}, same},
		{"qemu", "default", Machine{VirtType: "qemu", Arch: "x86_64"}, same},
		{"user-network", bus.UserNetwork, Machine{VirtType: "qemu", Arch: "x86_64"}, same},
		{"disks", "default", Machine{VirtType: "qemu", Arch: "x86_64"}, func(_ *bus.Group, m *bus.Metadata) {
			m.Seed, m.Disks = bus.SeedName(m.Volume), 2
		}},
		{"kept", "default", Machine{VirtType: "qemu", Arch: "x86_64"}, func(_ *bus.Group, m *bus.Metadata) {
			m.Disks, m.Kept = 2, []bus.KeptDisk{{Disk: 2, Keep: bus.KeepReplace, Volume: "web-1.0badcafe.keep2.qcow2"}}
		}},
		{"hardware", "", Machine{VirtType: "kvm", Arch: "x86_64"}, func(g *bus.Group, _ *bus.Metadata) {
			g.Hardware = bus.Hardware{
				NICs: []bus.NIC{
					{Type: bus.NICNetwork, Source: "default"},
					{Type: bus.NICBridge, Source: "br0", VLAN: 12},
					{Type: bus.NICMacvtap, Source: "eth1"},
					{Type: bus.NICUser, Forwards: []bus.Forward{{Host: 8080, Guest: 80}, {Host: 2222, Guest: 22}}},
				},
				CPU: bus.CPU{Mode: bus.CPUCustom, Model: "Skylake-Server"}, Firmware: bus.FirmwareUEFISecure, Watchdog: bus.WatchdogPowerOff,
				Panic: true, TPM: true, Hugepages: true, Pinning: "0-3,8", Tags: []string{"prod", "team=web"},
				DomainXML: bus.Text{Text: "<domain><clock offset='localtime'/><devices><sound model='ich9'/></devices></domain>"},
			}
		}},
		{"uefi", "default", Machine{VirtType: "qemu", Arch: "x86_64"}, func(g *bus.Group, _ *bus.Metadata) {
			g.Hardware = bus.Hardware{Machine: "pc", Firmware: bus.FirmwareUEFI, CPU: bus.CPU{Mode: bus.CPUHostModel}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := webSpec(func(g *bus.Group) { g.Network, g.VCPUs, g.MemoryMiB = tt.network, 2, 512 })
			meta := someMetadata()
			tt.change(&spec, &meta)
			text, err := Definition{tt.m.resolve(spec), tt.m, "web-1", meta, "/pool/" + meta.Volume, someMACs, 1}.XML()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/domain-"+tt.name+".xml", text)

			var d libvirtxml.Domain
			if err := d.Unmarshal(text); err != nil {
				t.Fatal(err)
			}
			if d.Name != "web-1" || d.UUID != someUUID || d.Type != tt.m.VirtType || d.VCPU.Value != 2 || d.Memory.Value != 512 {
				t.Errorf("read back: %+v", d)
			}
			if back, err := bus.ParseMetadata(d.Metadata.XML, d.UUID); err != nil || !reflect.DeepEqual(back, meta) {
				t.Errorf("metadata: %v, %+v", err, back)
			}
			if disk := d.Devices.Disks[0].Source.File.File; disk != "/pool/web-1.5c0d2a9e.qcow2" {
				t.Errorf("disk %s", disk)
			}
			if len(spec.Hardware.NICs) > 0 {
				return
			}
			source := d.Devices.Interfaces[0].Source
			if (source.User != nil) != (tt.network == bus.UserNetwork) || source.User == nil && source.Network.Network != tt.network {
				t.Errorf("network %+v", source)
			}
		})
	}
}

// Names come from outside: whatever they hold stays a name.
func TestDomainXMLEscapes(t *testing.T) {
	meta := someMetadata()
	meta.Template, meta.Pool = `a"<&>'b`, `<metadata><x>`
	text, err := Definition{webSpec(), Machine{VirtType: "qemu", Arch: "x86_64"}, `w"<&>`, meta, `/p/<&>".qcow2`, someMACs, 1}.XML()
	if err != nil {
		t.Fatal(err)
	}
	var d libvirtxml.Domain
	if err := d.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	if back, err := bus.ParseMetadata(d.Metadata.XML, someUUID); err != nil || !reflect.DeepEqual(back, meta) {
		t.Errorf("metadata: %v, %+v", err, back)
	}
	if d.Name != `w"<&>` || d.Devices.Disks[0].Source.File.File != `/p/<&>".qcow2` {
		t.Errorf("name %q, disk %q", d.Name, d.Devices.Disks[0].Source.File.File)
	}
}

func TestVolumeXML(t *testing.T) {
	text, err := volumeXML("web-1.5c0d2a9e.qcow2", "/pool/template-demo.qcow2", 10<<30)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/volume.xml", text)
	var v libvirtxml.StorageVolume
	if err := v.Unmarshal(text); err != nil {
		t.Fatal(err)
	}
	if v.Capacity.Value != 10<<30 || v.Target.Format.Type != "qcow2" || v.BackingStore.Path != "/pool/template-demo.qcow2" ||
		v.BackingStore.Format.Type != "qcow2" || v.Target.Permissions.Mode != "0600" {
		t.Errorf("read back: %+v", v)
	}
}

func TestPoolDir(t *testing.T) {
	for _, tt := range []struct{ name, xml, want, err string }{
		{"directory", "<pool type='dir'><name>p</name><target><path>/a/b</path></target></pool>", "/a/b", ""},
		{"no target", "<pool type='rbd'><name>p</name></pool>", "", `storage pool "p" of type "rbd" has no folder`},
		{"no path", "<pool type='dir'><name>p</name><target/></pool>", "", "has no folder"},
		{"damaged", "<pool", "", "read the storage pool"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := poolDir(tt.xml)
			if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the golden files again")
