package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/catalog"
	"github.com/vmscaler/vmscaler/actuator/template/checksum"
)

func TestResolveSource(t *testing.T) {
	images := []catalog.Image{{
		Name: "debian-12", URL: "https://x/{arch}.qcow2", Checksums: "https://x/SUMS", Arch: map[string]string{"amd64": "x86_64"},
	}}
	isFile := func(path string) bool { return path == "disk.qcow2" || path == "dir/debian-12" }
	for _, tt := range []struct{ text, arch, file, url, err string }{
		{text: "disk.qcow2", file: "disk.qcow2"},
		{text: "dir/debian-12", file: "dir/debian-12"},
		{text: "debian-12", arch: "amd64", url: "https://x/x86_64.qcow2"},
		{text: "catalog:debian-12", arch: "amd64", url: "https://x/x86_64.qcow2"},
		{text: "debian-12", arch: "s390x", err: "found the architecture s390x, want one that is published: amd64"},
		{text: "https://example.org/debian-12", url: "https://example.org/debian-12"},
		{text: "ftp://example.org/x", url: "ftp://example.org/x"}, // which the fetcher refuses
		{text: "none.qcow2", err: "none.qcow2: no such file, and no such image in the catalog; it has debian-12"},
		{text: "catalog:disk.qcow2", err: "catalog:disk.qcow2: no such image in the catalog; it has debian-12"},
	} {
		got, err := resolveSource(tt.text, isFile, images, tt.arch)
		if got.file != tt.file || got.url != tt.url || (err == nil) != (tt.err == "") ||
			err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %+v, %v; want %+v", tt.text, got, err, tt)
		}
	}
	got, err := resolveSource("debian-12", func(string) bool { return true }, images, "amd64")
	if err != nil || got.file != "debian-12" {
		t.Errorf("a file of an image's name is meant before that: %+v, %v", got, err)
	}
}

// What the catalog names is fetched with the checksum of its list, and another content is refused.
func TestGetOfTheCatalog(t *testing.T) {
	content := bytes.Repeat([]byte("an image "), 100_000)
	sum := sha256.Sum256(content)
	list := hex.EncodeToString(sum[:]) + "  web.img\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/web.img":
			_, _ = w.Write(content)
		case "/SHA256SUMS":
			_, _ = io.WriteString(w, list)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	dir := t.TempDir()
	images, own := filepath.Join(dir, "images.yaml"), filepath.Join(dir, "SUMS")
	text := "- {name: ours, url: '" + s.URL + "/web.img', checksums: '" + s.URL + "/SHA256SUMS', arch: {amd64: x, arm64: x}}\n"
	for path, text := range map[string]string{images: text, own: strings.Repeat("0a", 32) + "  web.img\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("XDG_CONFIG_HOME", dir)
	catalogs, err := loadCatalog([]string{images})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, source, checksums, given string
		err                            string
	}{
		{name: "by name", source: "ours"},
		{name: "by URL", source: s.URL + "/web.img"},
		{name: "with a list that is a file", source: "ours", checksums: own, err: hex.EncodeToString(sum[:]) + ", want 0a0a"},
		{name: "with another digest than its list's", source: "ours", given: strings.Repeat("0b", 32), err: "found two SHA-256"},
		{name: "with another digest", source: s.URL + "/web.img", given: strings.Repeat("0b", 32), err: "want 0b0b"},
		{name: "that is not in the list", source: s.URL + "/other.img", checksums: own, err: `"other.img"; it has those of web.img`},
		{name: "with a list that is not there", source: "ours", checksums: s.URL + "/none", err: "checksums: " + s.URL + "/none: "},
		{name: "with a list by plain http", source: "ours", checksums: "http://example.org/SUMS", err: "found http and no"},
	} {
		source, err := resolveSource(tt.source, isThere, catalogs, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if tt.checksums != "" {
			source.checksums = tt.checksums
		}
		var out strings.Builder
		c := &templateImportCmd{cache: filepath.Join(dir, "cache-"+tt.name), given: checksum.Digests{SHA256: tt.given}}
		image, err := c.get(t.Context(), source, &importWatch{out: &out, name: "web", bars: newBars(&out)})
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
		if err != nil {
			continue
		}
		got, err := os.ReadFile(image.File)
		if err != nil || !bytes.Equal(got, content) || image.Source != s.URL+"/web.img" ||
			!strings.Contains(out.String(), "template web: fetching "+s.URL+"/web.img\n") {
			t.Errorf("%s: %+v, %v: %s", tt.name, image, err, out.String())
		}
	}
}
