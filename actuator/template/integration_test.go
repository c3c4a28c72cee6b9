package template

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

func TestUpload(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	image := sampleImage(t)

	if _, err := Lookup(conn, pool, "web"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("look up in an empty pool: %v", err)
	}
	var last, total int64
	if err := Upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, image,
		func(d, n int64) { last, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(image); err != nil || last != total || total != st.Size() {
		t.Errorf("progress ended at %d of %d, file %v, %v", last, total, st, err)
	}
	if err := Upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, image, nil); !errors.Is(err, ErrExists) {
		t.Errorf("second upload: %v, want ErrExists", err)
	}
	if _, err := Lookup(conn, pool, "db"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are: web") {
		t.Errorf("look up of an unknown one: %v", err)
	}
	assertFiles(t, dir, VolumeName("web"))
}

func TestUploadCancelledLeavesNothing(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	ctx, cancel := context.WithCancel(t.Context())
	err := Upload(ctx, conn, Target{Pool: pool, Name: "web"}, sampleImage(t), func(done, total int64) {
		if done > total/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context canceled", err)
	}
	assertFiles(t, dir)
}

// What a killed process has left is replaced.
func TestUploadAfterInterruption(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	for _, name := range []string{markerName("web"), VolumeName("web")} {
		v, err := createVolume(p, name, 1*mibBytes, "0644")
		if err != nil {
			t.Fatal(err)
		}
		v.Free()
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || info.Complete {
		t.Errorf("interrupted upload: %+v, %v", info, err)
	}
	if err := upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, opened(t, sampleImage(t)), func(int64, int64) {},
		noSignOfLife); err != nil {
		t.Fatal(err)
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete || info.Format != "qcow2" {
		t.Errorf("after the second upload: %+v, %v", info, err)
	}
	assertFiles(t, dir, VolumeName("web"))
}

func opened(t *testing.T, file string) *source {
	t.Helper()
	s, err := openSource(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	return s
}

func noSignOfLife(context.Context) error { return nil }

// What another process is uploading is left alone.
func TestUploadDuringAnother(t *testing.T) {
	conn, other := pooltest.Connect(t), pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	image := sampleImage(t)

	chunk, done := make(chan struct{}), make(chan error)
	go func() {
		done <- Upload(t.Context(), conn, Target{Pool: pool, Name: "web"}, image, func(int64, int64) { chunk <- struct{}{} })
	}()
	<-chunk
	err := upload(
		t.Context(),
		other,
		Target{Pool: pool, Name: "web"},
		opened(t, image),
		func(int64, int64) {},
		func(context.Context) error {
			for range 8 { // the time in which the other gets some chunks further
				<-chunk
			}
			return nil
		},
	)
	if err == nil || !strings.Contains(err.Error(), "another upload") {
		t.Errorf("second upload: %v", err)
	}
	for {
		select {
		case <-chunk:
			continue
		case err := <-done:
			if err != nil {
				t.Errorf("first upload: %v", err)
			}
		}
		break
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete {
		t.Errorf("after both: %+v, %v", info, err)
	}
	assertFiles(t, dir, VolumeName("web"))
}

func TestImport(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	raw := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(raw, slices.Concat(at(510, "\x55\xaa", 0, "\xeb"), make([]byte, 4*mibBytes-64*1024)), 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(t.Context(), conn, Target{Pool: pool, Name: "raw"}, Image{File: raw}, Report{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(t.Context(), conn, Target{Pool: pool, Name: "raw"}, Image{File: raw}, Report{}); !errors.Is(err, ErrExists) {
		t.Errorf("second import: %v, want ErrExists", err)
	}
	if _, err := Import(t.Context(), conn, Target{Pool: pool, Name: "Bad_Name"}, Image{File: raw}, Report{}); err == nil {
		t.Error("a bad name was taken")
	}
	infos, err := List(conn, pool)
	if err != nil || len(infos) != 1 || infos[0].Name != "raw" || infos[0].Format != "qcow2" || infos[0].Capacity != 4*mibBytes {
		t.Errorf("list: %+v, %v", infos, err)
	}
	assertFiles(t, dir, RecordName("raw"), VolumeName("raw"))
}

// A template whose file was deleted behind libvirt's back is named as broken, stands in nobody else's way, and can be
// imported again.
func TestTemplateWhoseFileIsGone(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	image := sampleImage(t)
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"web", "old"} { // not uploaded, as libvirt refreshes the pool at some moment after that
		if err := os.WriteFile(filepath.Join(dir, VolumeName(name)), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	if err := p.Refresh(0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, VolumeName("old"))); err != nil {
		t.Fatal(err)
	}
	if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete || info.Format != "qcow2" {
		t.Errorf("look up of another one: %+v, %v", info, err)
	}
	if _, err := Lookup(conn, pool, "db"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "there are: old, web") {
		t.Errorf("look up of one that is not there: %v", err)
	}
	gone := "its file " + filepath.Join(dir, VolumeName("old")) + " is gone"
	if _, err := Lookup(conn, pool, "old"); !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), gone) ||
		!strings.Contains(err.Error(), "virsh -c qemu:///system pool-refresh "+pool) {
		t.Errorf("look up of the one whose file is gone: %v", err)
	}
	infos, err := List(conn, pool)
	if err != nil || len(infos) != 2 || infos[0].Name != "old" || infos[0].Broken == nil || infos[0].Broken.Error() != gone ||
		infos[1].Name != "web" || infos[1].Broken != nil {
		t.Errorf("list: %+v, %v", infos, err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, VolumeName("old")), 0o600); err != nil {
		t.Fatal(err)
	}
	if infos, err := List(conn, pool); err != nil || len(infos) != 2 || infos[0].Broken == nil ||
		!strings.Contains(infos[0].Broken.Error(), "FIFO") ||
		strings.Contains(infos[0].Broken.Error(), "virError") {
		t.Errorf("list with a FIFO in its place: %+v, %v", infos, err)
	}
	if err := os.Remove(filepath.Join(dir, VolumeName("old"))); err != nil {
		t.Fatal(err)
	}
	if err := Upload(t.Context(), conn, Target{Pool: pool, Name: "old"}, image, nil); err != nil {
		t.Errorf("import again: %v", err)
	}
	if info, err := Lookup(conn, pool, "old"); err != nil || !info.Complete {
		t.Errorf("after the import: %+v, %v", info, err)
	}
}

// A template of the same name can be deleted and imported again while VMs run from the old one: theirs stays open, and no lock is
// in the way of the new one.
func TestTemplateIsReplacedWhileInUse(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	to := Target{Pool: pool, Name: "web"}
	start := func(vm string) *libvirt.Domain {
		t.Helper()
		overlay := filepath.Join(dir, vm+".qcow2")
		img(t, "create", "-q", "-f", "qcow2", "-b", filepath.Join(dir, VolumeName("web")), "-F", "qcow2", overlay)
		dom, err := conn.DomainCreateXML(fmt.Sprintf(pooltest.CloneXML, pool+"-"+vm, "q35", overlay), libvirt.DOMAIN_START_PAUSED)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := dom.Destroy(); err != nil {
				t.Errorf("destroy %s: %v", vm, err)
			}
			dom.Free()
		})
		return dom
	}
	if err := Upload(t.Context(), conn, to, sampleImage(t), nil); err != nil {
		t.Fatal(err)
	}
	old := start("old")
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	if err := deleteByName(p, VolumeName("web")); err != nil {
		t.Fatal(err)
	}
	if err := Upload(t.Context(), conn, to, sampleImage(t), nil); err != nil {
		t.Fatalf("import it again: %v", err)
	}
	start("new")
	if state, _, err := old.GetState(); err != nil || state != libvirt.DOMAIN_PAUSED {
		t.Errorf("the VM from the old one is in state %d, %v; want it as it was", state, err)
	}
}

// sampleImage is a valid qcow2 file of a few chunks that cannot be compressed
// away, without a system in it.
func sampleImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	raw, image := filepath.Join(dir, "raw"), filepath.Join(dir, "image.qcow2")
	content := make([]byte, 8*mibBytes)
	for i := range content {
		content[i] = byte(i*i>>7) | 1
	}
	copy(content, at(510, "\x55\xaa", 0, "\xeb")[:512])
	if err := os.WriteFile(raw, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := hosttool.Run(t.Context(), nil, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image); err != nil {
		t.Fatal(err)
	}
	return image
}

func assertFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("pool has %q, want %q", got, want)
	}
}
