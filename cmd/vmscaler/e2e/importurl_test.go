package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
)

// TestImportFromAServer: the program fetches an image that is packed, with its checksum, converts it and keeps where it came
// from; a wrong one leaves nothing.
func TestImportFromAServer(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	disk, packed := filepath.Join(dir, "disk.vmdk"), filepath.Join(dir, "disk.vmdk.gz")
	for _, args := range [][]string{{"qemu-img", "convert", "-O", "vmdk", templateFile, disk}, {"gzip", "-k", disk}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	content, err := os.ReadFile(packed)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	s := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/SHA256SUMS" {
			_, _ = out.Write([]byte(digest + " *disk.vmdk.gz\n"))
			return
		}
		out.Header().Set("ETag", `"1"`)
		http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer s.Close()
	url, config, cache := s.URL+"/disk.vmdk.gz", w.config(""), filepath.Join(dir, "cache")
	before := w.files()

	w.refused([]string{"template", "import", "own", url, "--sha256", strings.Repeat("0a", 32), "--cache", cache, "-c", config},
		url, "found SHA-256 "+digest+", want 0a0a", "deleted")
	if got := w.files(); len(got) != len(before) {
		t.Errorf("the pool has %q after a wrong checksum, want %q", got, before)
	}
	t.Cleanup(func() {
		_ = os.Remove(filepath.Join(w.dir, template.VolumeName("own")))
		_ = os.Remove(filepath.Join(w.dir, template.RecordName("own")))
	})
	w.must("template", "import", "own", url, "--checksums", s.URL+"/SHA256SUMS", "--cache", cache, "-c", config)
	var shown map[string]any
	if err := json.Unmarshal([]byte(w.must("template", "show", "own", "-o", "json", "-c", config)), &shown); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(shown)
	if err != nil || !strings.Contains(string(text), url) || !strings.Contains(string(text), digest) ||
		!strings.Contains(string(text), `"bios"`) || !strings.Contains(string(text), "vmdk.gzip") {
		t.Errorf("the template is shown as %s, %v", text, err)
	}
}
