package template

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"
)

func TestClonesOf(t *testing.T) {
	key := func(path string) string { return strings.ReplaceAll(path, "/link/", "/pool/") }
	links := []link{
		{upper: "/pool/a", lower: "/pool/t", pool: "p", volume: "a"},
		{upper: "/pool/template-two.qcow2", lower: "/pool/t", pool: "p", volume: "template-two.qcow2"},
		{upper: "/pool/other", lower: "/pool/u", pool: "p", volume: "other"},
		{upper: "/pool/a", domain: "web-1"},
		{upper: "/pool/a", lower: "/pool/t", domain: "web-1"},
		{upper: "/home/snap", domain: "vm"},
		{upper: "/home/snap", lower: "/home/below", domain: "vm"},
		{upper: "/home/below", lower: "/link/t", domain: "vm"},
		{upper: "/pool/other", domain: "web-2"},
	}
	var got []string
	for _, c := range clonesOf("/pool/t", links, key) {
		got = append(got, c.String())
	}
	want := []string{
		"domain vm by file /home/below",
		`domain web-1 by volume a of storage pool "p"`,
		"template two",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	direct := clonesOf("/pool/other", links, key)
	if len(direct) != 1 || !slices.Equal(direct[0].Domains, []string{"web-2"}) {
		t.Errorf("a domain that has the file itself as its disk: %+v", direct)
	}
	if none := clonesOf("", links, key); none != nil {
		t.Errorf("of no path: %+v", none)
	}
}

func TestDomainLinks(t *testing.T) {
	dir := t.TempDir()
	upper, middle, lower := filepath.Join(dir, "u"), filepath.Join(dir, "m"), filepath.Join(dir, "l")
	img(t, "create", "-q", "-f", "qcow2", lower, "1M")
	img(t, "create", "-q", "-f", "qcow2", "-b", "l", "-F", "qcow2", middle)
	img(t, "create", "-q", "-f", "qcow2", "-b", middle, "-F", "qcow2", upper)
	var d libvirtxml.Domain
	if err := d.Unmarshal(`<domain><name>vm</name><devices>
		<disk type='file'><driver type='qcow2'/><source file='` + upper + `'/></disk>
		<disk type='volume'><driver type='raw'/><source pool='p' volume='v'/></disk>
		<disk type='file'><source file='/x'/><backingStore type='file'><source file='/y'/><backingStore type='file'>
			<source file='/z'/></backingStore></backingStore></disk>
		<disk type='file' device='cdrom'/>
	</devices></domain>`); err != nil {
		t.Fatal(err)
	}
	got := domainLinks(d, func(pool, volume string) string { return "/" + pool + "/" + volume })
	want := []link{
		{upper: upper, domain: "vm"},
		{upper: upper, lower: middle, domain: "vm"},
		{upper: middle, lower: lower, domain: "vm"},
		{upper: "/p/v", domain: "vm"},
		{upper: "/x", domain: "vm"},
		{upper: "/x", lower: "/y", domain: "vm"},
		{upper: "/y", lower: "/z", domain: "vm"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A header that lies is no reason to read elsewhere.
func TestBackingName(t *testing.T) {
	for name, content := range map[string][]byte{
		"empty": nil, "no qcow2": make([]byte, 100), "short": []byte(qcow2Magic + "\x00\x00\x00\x03"),
		"beyond its end": at(0, qcow2Magic, 8, "\x00\x00\x00\x00\x00\x00\xff\xff", 16, "\x00\x00\x03\xff")[:100],
		"far beyond":     at(0, qcow2Magic, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 16, "\x00\x00\x00\x05")[:100],
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := backingName(path); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
	if got := backingName("/dev/zero"); got != "" {
		t.Errorf("a device: got %q", got)
	}
}
