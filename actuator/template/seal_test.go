package template

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

func TestSeal(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	path := func(volume string) string { return filepath.Join(dir, volume) }
	img(t, "convert", "-O", "qcow2", sampleImage(t), path("golden.qcow2"))
	img(t, "convert", "-O", "raw", path("golden.qcow2"), path("golden.img"))

	seal := func(name, volume string) (Info, error) {
		return Seal(t.Context(), conn, Target{Pool: pool, Name: name}, Volume{Pool: pool, Name: volume}, "", nil)
	}
	good := func(name, volume string) {
		t.Helper()
		info, err := seal(name, volume)
		if err != nil || info.Firmware != FirmwareBIOS || len(info.SHA256) != 64 ||
			info.Source != "volume "+volume+" of storage pool "+pool {
			t.Fatalf("seal %s: %+v, %v", volume, info, err)
		}
		st, statErr := os.Stat(path(VolumeName(name)))
		if err != nil || statErr != nil || !info.Complete || info.Format != "qcow2" ||
			info.Capacity != 8*mibBytes || st.Mode().Perm() != 0o444 {
			t.Errorf("%s: %+v, %v, %v, %v", name, info, err, st, statErr)
		}
		if got := backingName(path(VolumeName(name))); got != "" {
			t.Errorf("%s needs %s", name, got)
		}
		img(t, "compare", path("golden.img"), path(VolumeName(name)))
	}
	good("one", "golden.qcow2")
	good("two", "golden.img")
	img(t, "create", "-q", "-f", "qcow2", "-b", path(VolumeName("one")), "-F", "qcow2", path("clone.qcow2"))
	good("three", "clone.qcow2") // of a template: all of it is copied
	img(t, "convert", "-O", "qcow2", path("golden.img"), path(VolumeName("four")))
	good("four", VolumeName("four"))               // in its place
	for _, name := range []string{"four", "one"} { // whose records say where they came from
		if _, err := seal(name, VolumeName(name)); !errors.Is(err, ErrExists) {
			t.Errorf("seal %s again: %v, want ErrExists", name, err)
		}
	}

	zeroes := filepath.Join(t.TempDir(), "disk") // a disk that is not random, so that its compression shows
	hollow, err := os.ReadFile(path("golden.img"))
	if err != nil {
		t.Fatal(err)
	}
	copy(hollow[1*mibBytes:], bytes.Repeat([]byte("much the same "), 6*mibBytes/14))
	if err := os.WriteFile(zeroes, hollow, 0o644); err != nil {
		t.Fatal(err)
	}
	img(t, "convert", "-O", "qcow2", "-c", zeroes, path("small.qcow2"))
	seven, err := seal("seven", "small.qcow2")
	if err != nil || seven.Size > 4*mibBytes || seven.Firmware != FirmwareBIOS || seven.SHA256 == "" || seven.CloudInit != "" {
		t.Errorf("of a compressed disk: %+v, %v", seven, err)
	}
	img(t, "compare", zeroes, path(VolumeName("seven")))
	img(t, "create", "-q", "-f", "qcow2", "-b", path(VolumeName("seven")), "-F", "qcow2", path("clone7.qcow2"))
	if eight, err := seal("eight", "clone7.qcow2"); err != nil || eight.Size > 4*mibBytes {
		t.Errorf("of a clone of a compressed template: %+v, %v", eight, err)
	}
	img(t, "compare", zeroes, path(VolumeName("eight")))

	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("secret ", 1024)), 0o600); err != nil {
		t.Fatal(err)
	}
	img(t, "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", path("spy.qcow2"))
	if err := os.WriteFile(path("empty.img"), make([]byte, 1*mibBytes), 0o644); err != nil {
		t.Fatal(err)
	}
	img(t, "create", "-q", "-f", "qcow2", "-b", path(VolumeName("one")), "-F", "qcow2", path(VolumeName("five")))
	img(t, "convert", "-O", "qcow2", path("golden.img"), path(VolumeName("six")))
	if err := os.WriteFile(path(markerName("six")), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, volume, want string }{
		{"six", VolumeName("six"), "being uploaded or removed"},
		{"new", "absent", `has no volume "absent"; there are: clone.qcow2, clone7.qcow2, empty.img, golden.img`},
		{"one", "golden.qcow2", "exists already"},
		{"new", "spy.qcow2", "needs the file " + secret},
		{"new", "empty.img", "not a bootable disk image"},
		{"five", VolumeName("five"), "is a clone; seal it under another name"},
		{"Five", "golden.img", `template name "Five"`},
	} {
		if _, err := seal(tt.name, tt.volume); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("seal %s as %s: %v, want %q", tt.volume, tt.name, err, tt.want)
		}
	}
	full := Target{Pool: pool, Name: "new", KeepFreeMiB: 1 << 40}
	_, err = Seal(t.Context(), conn, full, Volume{pool, "golden.img"}, "", nil)
	if err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("a pool without room: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Seal(ctx, conn, Target{Pool: pool, Name: "new"}, Volume{pool, "golden.img"}, "", func(step string) {
		if step == "copying" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	running := fmt.Sprintf(pooltest.CloneXML, pool+"-vm", "q35", path("clone.qcow2"))
	dom, err := conn.DomainCreateXML(running, libvirt.DOMAIN_START_PAUSED)
	if err != nil {
		t.Fatal(err)
	}
	defer dom.Free()
	if _, err := seal("new", "clone.qcow2"); err == nil || !strings.Contains(err.Error(), "domain "+pool+"-vm runs") {
		t.Errorf("of a running domain: %v", err)
	}
	if err := dom.Destroy(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(path("template-new*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}
