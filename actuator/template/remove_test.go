package template

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

func TestRemove(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	elsewhere := t.TempDir()
	to := Target{Pool: pool, Name: "web"}
	file := filepath.Join(dir, VolumeName("web"))
	if _, err := Import(t.Context(), conn, to, Image{File: sampleImage(t)}, Report{}); err != nil {
		t.Fatal(err)
	}
	refuses := func(what string, users func() ([]string, error), names ...string) {
		t.Helper()
		err := Remove(t.Context(), conn, pool, "web", users)
		var used *InUseError
		if !errors.As(err, &used) {
			t.Fatalf("%s: got %v, want an InUseError", what, err)
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %q is not in %q", what, name, err)
			}
		}
		if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete {
			t.Errorf("%s: after the refusal: %+v, %v", what, info, err)
		}
	}
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	clone := filepath.Join(dir, "web-1.12345678.qcow2")
	img(t, "create", "-q", "-f", "qcow2", "-b", file, "-F", "qcow2", clone)
	if err := RefreshPool(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	refuses("a clone in the pool", nil, "web-1.12345678.qcow2", pool)
	if err := os.Remove(clone); err != nil {
		t.Fatal(err)
	}
	layered := filepath.Join(dir, VolumeName("layered"))
	img(t, "create", "-q", "-f", "qcow2", "-b", file, "-F", "qcow2", layered)
	if err := RefreshPool(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	refuses("another template", nil, "template layered")
	if err := os.Remove(layered); err != nil {
		t.Fatal(err)
	}
	if err := RefreshPool(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	// A disk in no pool, of a domain that is off: only its file says what is below it.
	overlay := filepath.Join(elsewhere, "disk.qcow2")
	img(t, "create", "-q", "-f", "qcow2", "-b", file, "-F", "qcow2", overlay)
	name := pool + "-vm"
	dom := define(t, conn, name, overlay)
	refuses("a domain that is off", nil, name, overlay)
	if err := dom.Undefine(); err != nil {
		t.Fatal(err)
	}
	refuses("one that is about to be cloned", func() ([]string, error) { return []string{"VM web-7"}, nil }, "VM web-7")

	broken := errors.New("no answer")
	if err := Remove(t.Context(), conn, pool, "web", func() ([]string, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("where it cannot be known: %v", err)
	}
	launchable := true
	err = Remove(t.Context(), conn, pool, "web", func() ([]string, error) {
		info, err := Lookup(conn, pool, "web")
		launchable = info.Complete || !info.Going
		return nil, err
	})
	if err != nil || launchable {
		t.Errorf("remove: %v, clones could be made meanwhile: %t", err, launchable)
	}
	assertFiles(t, dir)
	if err := Remove(t.Context(), conn, pool, "web", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("again: %v, want ErrNotFound", err)
	}
}

// define makes a domain with a disk that never runs.
func define(t *testing.T, conn *libvirt.Connect, name, disk string) *libvirt.Domain {
	t.Helper()
	text := strings.NewReplacer("%s", "\x00").Replace(pooltest.CloneXML)
	for _, with := range []string{name, "pc", disk} {
		text = strings.Replace(text, "\x00", with, 1)
	}
	dom, err := conn.DomainDefineXML(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dom.Undefine()
		dom.Free()
	})
	return dom
}

// What a killed command has left does not stay for good, and is no template meanwhile.
func TestRemoveAfterInterruption(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	to := Target{Pool: pool, Name: "web"}
	p, err := openPool(conn, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Free()
	leave := func(names ...string) {
		t.Helper()
		for _, name := range names {
			v, err := createVolume(p, name, 1*mibBytes, "0644")
			if err != nil {
				t.Fatal(err)
			}
			v.Free()
		}
	}
	remove := func() {
		t.Helper()
		r := removal{conn: conn, name: "web", watch: noSignOfLife}
		if err := r.run(t.Context(), pool); err != nil {
			t.Error(err)
		}
		assertFiles(t, dir)
	}
	leave(markerName("web"), VolumeName("web"))
	remove()

	leave(goingName("web"), VolumeName("web"))
	if info, err := Lookup(conn, pool, "web"); err != nil || info.Complete || !info.Going {
		t.Errorf("a removal that was cut off: %+v, %v", info, err)
	}
	if _, err := Import(t.Context(), conn, to, Image{File: sampleImage(t)}, Report{}); !errors.Is(err, ErrExists) ||
		!strings.Contains(err.Error(), "vmscaler template rm web") {
		t.Errorf("import while it is removed: %v", err)
	}
	remove()

	leave(goingName("web")) // killed after the deletion
	if err := Upload(t.Context(), conn, to, sampleImage(t), nil); err != nil {
		t.Error(err)
	}
	assertFiles(t, dir, VolumeName("web"))
	if info, err := Lookup(conn, pool, "web"); err != nil || !info.Complete {
		t.Errorf("imported again: %+v, %v", info, err)
	}
	if err := os.Remove(filepath.Join(dir, VolumeName("web"))); err != nil { // behind libvirt's back
		t.Fatal(err)
	}
	remove()
	if infos, err := List(conn, pool); err != nil || slices.ContainsFunc(infos, func(i Info) bool { return i.Name == "web" }) {
		t.Errorf("list: %+v, %v", infos, err)
	}
}
