package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus/ownfile"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// The log has what hooks print: it is closed to others, as an earlier one is from now on, and is not written through links.
func TestLogFileIsOurs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	path := filepath.Join(dir, "vmscaler.log")
	modes := func() (folder, file fs.FileMode) {
		t.Helper()
		f, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		a, errA := os.Stat(dir)
		b, errB := os.Stat(path)
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		return a.Mode().Perm(), b.Mode().Perm()
	}
	if folder, file := modes(); folder&^0o750 != 0 || file&^0o640 != 0 {
		t.Errorf("the folder has mode %o and the file %o, want them closed to others", folder, file)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	if folder, file := modes(); folder&^0o750 != 0 || file&^0o640 != 0 {
		t.Errorf("of an earlier version: the folder has mode %o and the file %o, want them closed to others", folder, file)
	}
	victim := filepath.Join(t.TempDir(), "victim")
	for name, trap := range map[string]func() error{
		"link":           func() error { return os.Symlink(victim, path) },
		"folder for all": func() error { return os.Chmod(dir, 0o777) },
	} {
		_ = os.Remove(path)
		if err := errors.Join(os.WriteFile(victim, nil, 0o600), os.Chmod(dir, 0o750), trap()); err != nil {
			t.Fatal(err)
		}
		var unsafe *ownfile.UnsafeError
		if f, err := openLog(path); !errors.As(err, &unsafe) {
			_ = f.Close()
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

// Whoever names a file with a secret that others can read learns of it.
func TestReadersOfSecrets(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	for name, cfg := range map[string]config.Config{
		"nkey": {BusNkey: secret}, "credentials": {BusCreds: secret}, "key": {BusKey: secret},
	} {
		for mode, warned := range map[fs.FileMode]bool{0o600: false, 0o640: true, 0o644: true} {
			if err := errors.Join(os.WriteFile(secret, nil, 0o600), os.Chmod(secret, mode)); err != nil {
				t.Fatal(err)
			}
			var stderr bytes.Buffer
			warnOfReaders(&stderr, cfg)
			if got := stderr.String(); (got != "") != warned ||
				warned && (!strings.Contains(got, secret) || !strings.Contains(got, "chmod 600")) {
				t.Errorf("%s with mode %#o: got %q, want a warning: %v", name, mode, got, warned)
			}
		}
	}
}
