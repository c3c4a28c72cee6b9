package ownfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStrangers(t *testing.T) {
	const me = 1000
	for _, c := range []struct {
		name     string
		mode     fs.FileMode
		uid, gid int
		as       place
		want     string // part of why; "" is safe
	}{
		{"own", 0o755, me, me, itself, ""},
		{"root's", 0o755, 0, 0, itself, ""},
		{"another user's", 0o755, 1001, me, itself, "belongs to user id 1001"},
		{"another user's, on the way", fs.ModeSticky | 0o1777, 1001, 0, onTheWay, "belongs to user id 1001"},
		{"writable by all", 0o777, me, me, itself, "everyone"},
		{"root's, writable by all", 0o777, 0, 0, itself, "everyone"},
		{"sticky, on the way", fs.ModeSticky | 0o777, 0, 0, onTheWay, ""},
		{"sticky itself", fs.ModeSticky | 0o777, 0, 0, itself, "everyone"},
		{"writable by its user's own group", 0o775, me, me, itself, ""},
		{"writable by another group", 0o775, me, 100, itself, "group (id 100)"},
		{"root's, writable by a group", fs.ModeSetgid | 0o775, 0, 106, itself, "group (id 106)"},
		{"root's, shared with a group", fs.ModeSetgid | 0o775, 0, 106, shared, ""},
		{"root's, on the way", 0o775, 0, 106, onTheWay, ""},
		{"own, shared with a group", 0o775, me, 106, shared, "group (id 106)"},
	} {
		got := strangers(c.mode, c.uid, c.gid, me, c.as)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// What could be of others is refused with its path, and an own file is opened.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write("own", "x")
	write("target", "keep me")
	must(os.Symlink(at("target"), at("link")))
	write("first", "keep me")
	must(os.Link(at("first"), at("second")))
	must(unix.Mkfifo(at("fifo"), 0o600))
	must(os.Mkdir(at("folder"), 0o700))
	write("open", "x")
	must(os.Chmod(at("open"), 0o666))
	must(os.Mkdir(at("all"), 0o700))
	must(os.Chmod(at("all"), 0o777))
	must(os.Mkdir(at("sticky"), 0o700))
	must(os.Chmod(at("sticky"), 0o1777))
	must(os.Symlink(at("all"), at("tofolder")))

	euid := os.Geteuid()
	f, err := Open(at("own"), os.O_RDWR|os.O_CREATE, 0o600, euid)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if f, err = Open(at("new"), os.O_RDWR|os.O_CREATE, 0o600, euid); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for name, why := range map[string]string{
		"link": "link", "second": "hard links", "fifo": "not a regular file", "open": "everyone",
		"all/x": "everyone", "sticky/x": "everyone", "tofolder/x": "everyone", "own/x": "not a folder",
	} {
		done := make(chan error, 1)
		go func() {
			f, err := Open(at(name), os.O_RDWR|os.O_CREATE, 0o600, euid)
			if err == nil {
				_ = f.Close()
			}
			done <- err
		}()
		select {
		case err := <-done:
			var unsafe *UnsafeError
			if !errors.As(err, &unsafe) || !strings.Contains(unsafe.Why, why) || unsafe.Path == "" {
				t.Errorf("%s: got %v, want it refused: %s", name, err, why)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it waits", name)
		}
	}
	for _, name := range []string{"target", "first"} {
		if text, _ := os.ReadFile(at(name)); string(text) != "keep me" {
			t.Errorf("%s is %q now", name, text)
		}
	}
}

// Of another user are neither the file, nor the folder, nor any above it; but a group's folder of root's is for its group.
func TestOpenOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to make files of other users")
	}
	const nobody = 65534
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	below := filepath.Join(theirs, "roots")
	for _, d := range []string{theirs, below} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{theirs, file} {
		if err := os.Chown(p, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{file, filepath.Join(theirs, "x"), filepath.Join(below, "x")} {
		_, err := Open(path, os.O_RDWR|os.O_CREATE, 0o600, 0)
		var unsafe *UnsafeError
		if !errors.As(err, &unsafe) || unsafe.UID != nobody {
			t.Errorf("%s: got %v, want it refused as user %d's", path, err, nobody)
		}
	}

	common := filepath.Join(dir, "common")
	if err := os.Mkdir(common, 0o755); err != nil {
		t.Fatal(err)
	}
	of := filepath.Join(common, "file")
	if err := os.WriteFile(of, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(common, 0, nobody), os.Chmod(common, fs.ModeSetgid|0o775), os.Chown(of, nobody, nobody),
		os.Chmod(of, 0o660)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(of, os.O_RDWR, 0, 0); err == nil {
		t.Error("a folder that a group may write to is taken for root's alone")
	}
	f, err := OpenShared(of, os.O_RDWR, 0, 0)
	if err != nil {
		t.Fatalf("a file of the folder's group: %v", err)
	}
	_ = f.Close()
	if err := os.Chown(of, nobody, 1234); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenShared(of, os.O_RDWR, 0, 0); err == nil {
		t.Error("a file that another group may write to is opened")
	}
}
