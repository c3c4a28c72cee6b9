package vm

import (
	"reflect"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

func TestWithElement(t *testing.T) {
	ann := bus.Protection{On: true, Since: t0, By: "ann", Reason: "a/b <&>"}
	theirs := `<x:note xmlns:x="urn:x:1"><x:metadata/>&lt;</x:note>`
	wrapped := func(metadata string) string {
		return `<domain type="kvm"><name>metadata</name>` + metadata + `<devices><metadata></metadata></devices></domain>`
	}
	set := bus.Qualified(bus.ProtectionKey, bus.ProtectionURI, ann.XML())
	for _, tt := range []struct{ name, definition, want string }{
		{"none before", wrapped(`<metadata>` + theirs + `</metadata>`), wrapped(`<metadata>` + theirs + set + `</metadata>`)},
		{
			"another before",
			wrapped(`<metadata><a:protect xmlns:a="` + bus.ProtectionURI + `" off="x"></a:protect>` + theirs + `</metadata>`),
			wrapped(`<metadata>` + theirs + set + `</metadata>`),
		},
		{"the same before", wrapped(`<metadata>` + set + `</metadata>`), wrapped(`<metadata>` + set + `</metadata>`)},
		{"no metadata", wrapped(""), ""},
		{"empty metadata", wrapped("<metadata/>"), ""}, // which no VM of ours has
		{"damaged", "<domain><metadata>", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := withElement(tt.definition, bus.ProtectionKey, bus.ProtectionURI, ann.XML())
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %v,\n%s\nwant\n%s", err, got, tt.want)
			}
		})
	}
	// The definition of a new VM of a group that protects them has the element, and keeps what else there is.
	spec := webSpec(func(g *bus.Group) { g.Network, g.VCPUs, g.MemoryMiB, g.ProtectNew = "default", 2, 512, true })
	meta := someMetadata()
	text, err := Definition{spec, Machine{VirtType: "kvm", Arch: "x86_64"}, "web-1", meta, "/pool/x", someMACs, 1}.XML()
	if err != nil {
		t.Fatal(err)
	}
	got, err := withElement(text, bus.ProtectionKey, bus.ProtectionURI, ann.XML())
	if err != nil {
		t.Fatal(err)
	}
	var d libvirtxml.Domain
	if err := d.Unmarshal(got); err != nil || strings.Count(got, bus.ProtectionURI) != 1 || !strings.Contains(got, set) {
		t.Fatalf("got %v, %s", err, got)
	}
	if back, err := bus.ParseMetadata(d.Metadata.XML, meta.UUID); err != nil || !reflect.DeepEqual(back, meta) {
		t.Errorf("the rest of it: %v, %+v", err, back)
	}
}
