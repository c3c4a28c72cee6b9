package vm

import (
	"fmt"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// able is a host that can do all.
const able = `<domainCapabilities>
  <path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain><arch>x86_64</arch>
  <vcpu max='255'/>
  <os supported='yes'>
    <enum name='firmware'><value>bios</value><value>efi</value></enum>
    <loader supported='yes'><enum name='secure'><value>no</value><value>yes</value></enum></loader>
  </os>
  <cpu>
    <mode name='host-passthrough' supported='yes'/>
    <mode name='host-model' supported='yes'/>
    <mode name='custom' supported='yes'><model usable='yes'>Skylake-Server</model><model usable='no'>EPYC</model></mode>
  </cpu>
  <devices>
    <tpm supported='yes'>
      <enum name='model'><value>tpm-tis</value><value>tpm-crb</value></enum>
      <enum name='backendModel'><value>passthrough</value><value>emulator</value></enum>
    </tpm>
  </devices>
</domainCapabilities>`

func TestLacks(t *testing.T) {
	all := bus.Hardware{
		Firmware: bus.FirmwareUEFISecure, TPM: true, Pinning: "0-7", CPU: bus.CPU{Mode: bus.CPUCustom, Model: "Skylake-Server"},
		NICs: []bus.NIC{{Type: bus.NICNetwork, Source: "default"}, {Type: bus.NICBridge, Source: "br0", VLAN: 7}},
	}
	for _, tt := range []struct {
		name     string
		cut      string // "old -> new" in what the host can do
		hardware bus.Hardware
		vcpus    int
		version  uint32

		hugepages *int

		want string // the lacks' fields with a part of each text
	}{
		{name: "all is there", hardware: all},
		{name: "nothing is wanted", cut: "yes -> no", version: 9_000_000},
		{
			name: "no UEFI", cut: "<value>efi</value> -> ", hardware: all,
			want: "firmware: found uefi-secure, want bios, or a host with UEFI",
		},
		{name: "no Secure Boot", cut: "<value>yes</value> -> ", hardware: all, want: "firmware: found uefi-secure, want uefi"},
		{name: "UEFI without Secure Boot", cut: "<value>yes</value> -> ", hardware: bus.Hardware{Firmware: bus.FirmwareUEFI}},
		{
			name: "no swtpm", cut: "<value>emulator</value> -> ", hardware: all,
			want: "tpm: found true, want false, or a host with an emulator",
		},
		{
			name: "a CPU that it cannot give", hardware: bus.Hardware{CPU: bus.CPU{Mode: bus.CPUCustom, Model: "EPYC"}},
			want: `cpu.model: found "EPYC"`,
		},
		{
			name: "a CPU that is none", hardware: bus.Hardware{CPU: bus.CPU{Mode: bus.CPUCustom, Model: "Z80"}},
			want: `cpu.model: found "Z80"`,
		},
		{
			name: "no KVM", cut: "name='host-passthrough' supported='yes' -> name='host-passthrough' supported='no'",
			hardware: bus.Hardware{CPU: bus.CPU{Mode: bus.CPUHostPassthrough}},
			want:     `cpu.mode: found host-passthrough, want "" or one of host-model, custom`,
		},
		{name: "fewer CPUs", hardware: bus.Hardware{Pinning: "0-3,8"}, want: "pinning: found 0-3,8, want CPUs from 0 to 7"},
		{name: "too many vCPUs", vcpus: 256, want: "vcpus: found 256, want at most 255"},
		{
			name: "no huge pages", hardware: bus.Hardware{Hugepages: true}, hugepages: new(0),
			want: "hugepages: found true, want false, or a host with huge pages",
		},
		{name: "huge pages", hardware: bus.Hardware{Hugepages: true}, hugepages: new(1)},
		{name: "huge pages on a host that does not say", hardware: bus.Hardware{Hugepages: true}},
		{
			name: "a VLAN with an old libvirt", hardware: all, version: 9_000_000,
			want: "nics[1].vlan: found 7, want none with libvirt 9.0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := offer{version: 11_003_000, cpus: 8, hugepages: tt.hugepages}
			if tt.version != 0 {
				o.version = tt.version
			}
			from, to, _ := strings.Cut(tt.cut, " -> ")
			text := able
			if from != "" {
				text = strings.ReplaceAll(able, from, to)
			}
			if err := o.caps.Unmarshal(text); err != nil {
				t.Fatal(err)
			}
			got := o.lacks(webSpec(func(g *bus.Group) { g.Hardware, g.VCPUs = tt.hardware, max(tt.vcpus, 1) }), "kvm")
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(fmt.Sprint(got[0]), tt.want)) {
				t.Errorf("got %v, want %q", got, tt.want)
			}
		})
	}
}

func TestCountHugepages(t *testing.T) {
	for _, tt := range []struct {
		cells string
		want  string
	}{
		{"", "unknown"},
		{"<cell id='0'/>", "unknown"},
		{"<cell id='0'><pages unit='KiB' size='4'>900</pages><pages unit='KiB' size='2048'>0</pages></cell>", "0"},
		{"<cell id='0'><pages unit='KiB' size='64'>900</pages><pages unit='KiB' size='2048'>2</pages></cell>" +
			"<cell id='1'><pages unit='KiB' size='1048576'>1</pages></cell>", "3"},
	} {
		var caps libvirtxml.Caps
		err := caps.Unmarshal("<capabilities><host><topology><cells>" + tt.cells + "</cells></topology></host></capabilities>")
		if err != nil {
			t.Fatal(err)
		}
		got := "unknown"
		if n := countHugepages(caps); n != nil {
			got = fmt.Sprint(*n)
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.cells, got, tt.want)
		}
	}
}

// A NIC's address does not change when others come, and no two are the same.
func TestMACsOfSeveralNICs(t *testing.T) {
	one, err := macAddresses("host", "web", "web-1", 1, map[string]bool{})
	if err != nil {
		t.Fatal(err)
	}
	three, err := macAddresses("host", "web", "web-1", 3, map[string]bool{})
	if err != nil {
		t.Fatal(err)
	}
	if one[0] != three[0] || three[0] == three[1] || three[1] == three[2] || three[0] == three[2] {
		t.Errorf("got %v and %v", one, three)
	}
}
