package console

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// What is kept of a VM's boots is found by its name, the last one, and no more is kept than may be.
func TestKeeper(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "consoles")
	k := NewKeeper(dir, bustest.Quiet)
	if _, found, err := k.Last("web-1"); found || err != nil {
		t.Fatal(found, err)
	}
	k.Keep("web-1", "a", "first", []byte("a picture"))
	kept, found, err := k.Last("web-1")
	if err != nil || !found || kept.Text != "first" || kept.Picture == "" {
		t.Fatalf("%+v, %v, %v", kept, found, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(kept.Picture); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the picture: %v, %v", info.Mode(), err)
	}
	k.Keep("web-1", "a", "after new disks", nil)
	if kept, _, err := k.Last("web-1"); err != nil || kept.Text != "after new disks" || kept.Picture != "" {
		t.Errorf("%+v, %v", kept, err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "web-1.a.log"), old, old); err != nil {
		t.Fatal(err)
	}
	k.Keep("web-1", "b", "second", nil)
	if kept, _, err := k.Last("web-1"); err != nil || kept.Text != "second" {
		t.Errorf("%+v, %v", kept, err)
	}
	if _, found, _ := k.Last("web-10"); found {
		t.Error("another VM's is found")
	}
	if err := os.WriteFile(ownfile.Unfinished(filepath.Join(dir, "web-1.a.log")), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range mostKept {
		k.Keep(fmt.Sprintf("web-%d", 100+i), "c", "x", []byte("y"))
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2*mostKept {
		t.Errorf("%d files are kept (%v), want %d", len(files), err, 2*mostKept)
	}
	if _, found, _ := k.Last("web-1"); found {
		t.Error("the oldest is kept")
	}
}

// A picture is taken in both forms in which QEMU sends it, and nothing else is.
func TestPNG(t *testing.T) {
	ppm := append([]byte("P6\n3 2\n255\n"), []byte("\xff\x00\x00\x00\xff\x00\x00\x00\xff\x0a\x14\x1e\x28\x32\x3c\x46\x50\x5a")...)
	first, err := pngOf(ppm)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pngOf(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range [][]byte{first, again} {
		picture, err := png.Decode(bytes.NewReader(data))
		if err != nil || picture.Bounds().Dx() != 3 || picture.Bounds().Dy() != 2 {
			t.Fatalf("%v, %v", picture.Bounds(), err)
		}
		if r, g, b, _ := picture.At(2, 1).RGBA(); r>>8 != 0x46 || g>>8 != 0x50 || b>>8 != 0x5a {
			t.Errorf("the last pixel is %x %x %x", r>>8, g>>8, b>>8)
		}
	}
	for _, bad := range []string{
		"", "P6", "P6\n3 2\n255\n", "P6\n-3 2\n255\n", "P6\n99999 99999\n255\n", "P6\n1 1\n65535\nxxxxxx", "P5\n1 1\n255\nx",
		"P6\n1 1\n255\nxxxx", "\x89PNG\r\n\x1a\n", string(first[:len(first)/2]), strings.Repeat("x", 100),
	} {
		if _, err := pngOf([]byte(bad)); err == nil {
			t.Errorf("taken: %q", bad)
		}
	}
}
