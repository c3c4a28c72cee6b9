package overlay

import (
	"encoding/xml"
	"strings"
	"testing"
)

const definition = `<domain type="kvm">
  <name>web-1</name>
  <metadata><vmscaler:vm xmlns:vmscaler="urn:vmscaler:vm:1" group="web"></vmscaler:vm></metadata>
  <cpu mode="host-passthrough"></cpu>
  <devices>
    <disk type="file" device="disk"><source file="/pool/web-1.qcow2"></source></disk>
  </devices>
</domain>`

func TestApply(t *testing.T) {
	got, err := Apply(definition, `<?xml version="1.0"?>
<domain>
  <!-- more -->
  <cpu mode="host-model"/>
  <clock offset='utc'/>
  <devices>
    <video><model type="virtio"/></video>
    <sound model="ich9"/>
  </devices>
</domain>`)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Type     string `xml:"type,attr"`
		Name     string `xml:"name"`
		Metadata struct {
			VM struct {
				Group string `xml:"group,attr"`
			} `xml:"urn:vmscaler:vm:1 vm"`
		} `xml:"metadata"`
		CPU []struct {
			Mode string `xml:"mode,attr"`
		} `xml:"cpu"`
		Clock struct {
			Offset string `xml:"offset,attr"`
		} `xml:"clock"`
		Devices struct {
			Disks  []struct{} `xml:"disk"`
			Videos []struct{} `xml:"video"`
			Sounds []struct{} `xml:"sound"`
		} `xml:"devices"`
	}
	if err := xml.Unmarshal([]byte(got), &d); err != nil {
		t.Fatalf("%v in\n%s", err, got)
	}
	if d.Type != "kvm" || d.Name != "web-1" || d.Metadata.VM.Group != "web" || len(d.CPU) != 1 || d.CPU[0].Mode != "host-model" ||
		d.Clock.Offset != "utc" || len(d.Devices.Disks) != 1 || len(d.Devices.Videos) != 1 || len(d.Devices.Sounds) != 1 {
		t.Errorf("got %+v from\n%s", d, got)
	}
	if same, err := Apply(definition, "  \n"); err != nil || same != definition {
		t.Errorf("nothing changes it: %v\n%s", err, same)
	}
}

func TestCheck(t *testing.T) {
	in := func(text string) string { return "<domain>\n" + text + "\n</domain>" }
	device := func(text string) string { return in("<devices>\n" + text + "\n</devices>") }
	for _, tt := range []struct{ name, overlay, want string }{
		{"nothing", "", ""},
		{"an empty one", "<domain/>", ""},
		{"a device", device("<input type='tablet' bus='virtio'/>"), ""},
		{
			"a disk that can be shared",
			device("<disk type='file' device='cdrom'><source file='/tools.iso'/><target dev='sda'/><readonly/></disk>"), "",
		},
		{"an empty drive", device("<disk type='file' device='cdrom'><target dev='sda'/></disk>"), ""},
		{"two labels", in("<seclabel type='none' model='dac'/><seclabel type='none' model='apparmor'/>"), ""},
		{"features with ACPI", in("<features><acpi/><hyperv mode='passthrough'/></features>"), ""},
		{"another root", "<network/>", "line 1: found <network>, want one <domain>"},
		{"no XML", in("<cpu>"), "found what is no XML"},
		{"text", in("cpu"), "found text between elements"},
		{"two roots", "<domain/><domain/>", "want one <domain>"},
		{"a document type", "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><domain/>", "found a document type"},
		{"a name", in("<name>theirs</name>"), "line 2: found <name>, want devices, or one of blkiotune"},
		{"a UUID", in("<uuid/>"), "found <uuid>"},
		{"metadata", in("<metadata/>"), "found <metadata>"},
		{"what boots", in("<os/>"), "found <os>"},
		{"the end of a VM", in("<on_poweroff>restart</on_poweroff>"), "found <on_poweroff>"},
		{"QEMU's command line", in("<qemu:commandline xmlns:qemu='x'/>"), "found <qemu:commandline>"},
		{"an element twice", in("<cpu/><cpu/>"), "found <cpu> again"},
		{"features without ACPI", in("<features/>"), "found <features> without <acpi/>"},
		{"another emulator", device("<emulator>/bin/sh</emulator>"), "line 3: found <emulator> in <devices>"},
		{"a NIC", device("<interface type='user'/>"), "found <interface> in <devices>"},
		{
			"a disk that all write to", device("<disk type='file'><source file='/data.img'/></disk>"),
			"line 3: found a <disk> that each VM",
		},
		{
			"the agent's channel", device("<channel><target name='org.qemu.guest_agent.0'/></channel>"),
			"found the guest agent's channel",
		},
		{"too long", "<domain>" + strings.Repeat(" ", MaxBytes) + "</domain>", "found 65553 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Check(tt.overlay)
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if _, applied := Apply(definition, tt.overlay); (applied != nil) != (err != nil) {
				t.Errorf("laid over a definition: %v", applied)
			}
		})
	}
}

// FuzzApply: whatever is laid over a definition, the VM stays who it is.
func FuzzApply(f *testing.F) {
	f.Add("<domain><devices><video/></devices></domain>")
	f.Add("<domain><cpu/></domain><!-- -->")
	f.Add("<domain><devices></devices ><devices/></domain>")
	f.Fuzz(func(t *testing.T, overlay string) {
		got, err := Apply(definition, overlay)
		if err != nil {
			return
		}
		var d struct {
			Names     []string `xml:"name"`
			Metadatas []struct {
				VMs []struct{} `xml:"urn:vmscaler:vm:1 vm"`
			} `xml:"metadata"`
			UUIDs []string `xml:"uuid"`
		}
		if err := xml.Unmarshal([]byte(got), &d); err != nil {
			t.Fatalf("%v in\n%s", err, got)
		}
		if len(d.Names) != 1 || d.Names[0] != "web-1" || len(d.Metadatas) != 1 || len(d.Metadatas[0].VMs) != 1 || len(d.UUIDs) > 0 {
			t.Errorf("got\n%s", got)
		}
	})
}
