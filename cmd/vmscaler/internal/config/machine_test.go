package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestHardware(t *testing.T) {
	cfg := parse(t, `groups:
- name: web
  disk: 10GiB
  disks: [{size: 20GiB}, {template: data}, {size: 5GiB, template: data}]
  nics:
  - source: default
  - {type: bridge, source: br0, vlan: 12}
  - {type: macvtap, source: eth1}
  - type: user
    forwards: [{host_port: 8080, guest_port: 80}, {host_port: 2222, guest_port: 22}]
  cpu: {mode: custom, model: Skylake-Server-v4}
  machine: pc-q35-7.2
  firmware: uefi-secure
  watchdog: poweroff
  panic: true
  tpm: true
  hugepages: true
  pinning: "0-3,8"
  tags: [prod, "team:web"]
  domain_xml: |
    <domain>
      <clock offset="utc"/>
    </domain>
`)
	want := bus.Hardware{
		NICs: []bus.NIC{
			{Type: bus.NICNetwork, Source: "default"},
			{Type: bus.NICBridge, Source: "br0", VLAN: 12},
			{Type: bus.NICMacvtap, Source: "eth1"},
			{Type: bus.NICUser, Forwards: []bus.Forward{{Host: 8080, Guest: 80}, {Host: 2222, Guest: 22}}},
		},
		CPU: bus.CPU{Mode: bus.CPUCustom, Model: "Skylake-Server-v4"}, Machine: "pc-q35-7.2", Firmware: bus.FirmwareUEFISecure,
		Watchdog: bus.WatchdogPowerOff, Panic: true, TPM: true, Hugepages: true, Pinning: "0-3,8", Tags: []string{"prod", "team:web"},
		DomainXML: bus.Text{Text: "<domain>\n  <clock offset=\"utc\"/>\n</domain>\n"},
	}
	g := cfg.Groups[0]
	if !reflect.DeepEqual(g.Hardware, want) {
		t.Errorf("got  %+v\nwant %+v", g.Hardware, want)
	}
	disks := []bus.Disk{{SizeMiB: 20 << 10}, {Template: "data"}, {SizeMiB: 5 << 10, Template: "data"}}
	if !reflect.DeepEqual(g.Disks, disks) || g.DiskMiB != 10<<10 {
		t.Errorf("disks %+v, the main one %d MiB", g.Disks, g.DiskMiB)
	}
	again := parse(t, string(cfg.YAML()))
	same(t, again, cfg)
}

func TestHardwareProblems(t *testing.T) {
	const kept = "disks: [{size: 1GiB}, {size: 1GiB, keep: replace}]"
	const inPlace = "\n  maintenance: {min_healthy: 90, max_healthy: 100}"
	for _, tt := range []struct{ name, config, want string }{
		{"network and nics", "network: default\n  nics: [{source: x}]", "network: found default, want none together with nics"},
		{"no source", "nics: [{type: bridge}]", "nics[0].source: found nothing, want the name of the bridge"},
		{"a source of user-mode networking", "nics: [{type: user, source: x}]", "nics[0].source: found x, want none with type: user"},
		{"a VLAN of a network", "nics: [{source: x, vlan: 5}]", "nics[0].vlan: found 5, want none but with type: bridge"},
		{
			"a VLAN beyond all", "nics: [{type: bridge, source: x, vlan: 4095}]",
			"nics[0].vlan: found 4095, want a whole number from 1 to 4094",
		},
		{
			"ports of a network", "nics: [{source: x, forwards: [{host_port: 80, guest_port: 80}]}]",
			"nics[0].forwards: found ports with type: network",
		},
		{
			"half a port", "nics: [{type: user, forwards: [{host_port: 80}]}]",
			"nics[0].forwards[0]: found a forwarded port without host_port or guest_port",
		},
		{
			"ports that meet", "nics: [{type: user, forwards: [{host_port: 80, guest_port: 80}, {host_port: 84, guest_port: 22}]}]",
			"nics[0].forwards[1].host_port: found 84, want one at least 5 away",
		},
		{
			"ports side by side", "nics: [{type: user, forwards: [{host_port: 80, guest_port: 80}, {host_port: 85, guest_port: 22}]}]",
			"",
		},
		{
			"ports of two groups", "nics: [{type: user, forwards: [{host_port: 80, guest_port: 80}]}]\n" +
				"- name: db\n  nics: [{type: user, forwards: [{host_port: 82, guest_port: 80}]}]",
			"groups[1].nics[0].forwards[0].host_port: found 82, want one at least 5 away from that of line",
		},
		{
			"ports beyond the last", "nics: [{type: user, forwards: [{host_port: 65532, guest_port: 80}]}]",
			"found 65532, want at most 65531, as each of 5 VMs",
		},
		{"too many NICs", "nics: [" + strings.Repeat("{source: x},", 9) + "]", "nics: found 9 NICs, want at most 8"},
		{"too many disks", "disks: [" + strings.Repeat("{size: 1GiB},", 17) + "]", "disks: found 17 disks, want at most 16"},
		{"a disk of nothing", "disks: [{size: template}]", "disks[0]: found a disk without size and template"},
		{"a kept disk", kept + inPlace, ""},
		{"a kept disk, reimaged", kept + inPlace + "\n  refresh: {strategy: reimage, max_surge: 0}", ""},
		{
			"a word for keep that is none", "disks: [{size: 1GiB, keep: yes}]",
			"disks[0].keep: found yes, want replace or always, or never",
		},
		{"a kept disk of nothing", "disks: [{keep: always}]" + inPlace, "disks[0]: found a disk without size and template"},
		{
			"a kept disk beside the default maintenance", kept,
			"maintenance.max_healthy: found 110, the default, want 100, and a min_healthy below it, with disks[1].keep: replace",
		},
		{
			"a kept disk and a surge", kept + inPlace + "\n  refresh: {max_surge: 1}",
			"refresh.max_surge: found 1, want 0 or maintenance with disks[1].keep: replace",
		},
		{
			"a kept disk and another host", kept + inPlace + "\n  rebalance: on",
			"rebalance: found on, want off with disks that are kept",
		},
		{
			"a kept disk and a warm pool", kept + inPlace + "\n  warm_pool: {size: 1}",
			"warm_pool: found one, want none with disks[1].keep: replace",
		},
		{"a CPU without model", "cpu: {mode: custom}", "cpu.mode: found custom, want it together with a model"},
		{"a model for nothing", "cpu: {model: EPYC}", "cpu.model: found EPYC, want none without mode: custom"},
		{"Secure Boot on a pc", "machine: pc\n  firmware: uefi-secure", "machine: found pc, want q35 with firmware: uefi-secure"},
		{"an option in the machine", "machine: q35,accel=tcg", "machine: found q35,accel=tcg, want a machine type"},
		{"a firmware that is none", "firmware: efi", "firmware: found efi, want uefi or uefi-secure, or bios"},
		{"pinning that is none", "pinning: all", `pinning: found all (found "all", want CPUs such as 0-3,8`},
		{"a tag twice", "tags: [a, a]", "tags: found a, want a list of at most 32 words, each once"},
		{"a tag that is none", "tags: ['<x>']", "tags: found \"<x>\", want a list"},
		{
			"an overlay that names the VM", "domain_xml: |\n    <domain>\n      <name>x</name>\n    </domain>",
			"vmscaler.yaml:5: groups[0].domain_xml: found <name>, want devices, or one of",
		},
		{"an overlay that is none", "domain_xml: <network/>", "domain_xml: found <network>, want one <domain>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Parse("vmscaler.yaml", []byte("groups:\n- name: web\n  "+tt.config+"\n"))
			var problems Problems
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(problems[0].String(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
