package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const pooled = "libvirt:\n  pool: theirs\n"

// A file that nobody has named is read if it is this user's, and else it is named, with its owner and what to do.
func TestUnnamedFile(t *testing.T) {
	dir := t.TempDir()
	if cfg, warnings, err := LoadUnnamed(filepath.Join(dir, "vmscaler.yaml"), os.Geteuid()); err != nil || len(warnings) > 0 ||
		cfg.Path != "" {
		t.Errorf("no file: got %+v, %v, %v; want the defaults", cfg, warnings, err)
	}
	type trap func(file, folder string) error
	own := map[string]trap{
		"own": func(string, string) error { return nil },
		"a link to an own one": func(file, folder string) error {
			return errors.Join(os.Rename(file, file+".real"), os.Symlink(file+".real", file))
		},
	}
	theirs := map[string]trap{
		"everyone may write to it":         func(file, _ string) error { return os.Chmod(file, 0o666) },
		"everyone may write to its folder": func(_, folder string) error { return os.Chmod(folder, 0o777) },
		"a sticky folder":                  func(_, folder string) error { return os.Chmod(folder, 0o777|os.ModeSticky) },
		"a link in a folder of all": func(file, folder string) error {
			target := filepath.Join(t.TempDir(), "own.yaml")
			return errors.Join(os.Rename(file, target), os.Symlink(target, file), os.Chmod(folder, 0o777))
		},
		"two names": func(file, _ string) error { return os.Link(file, file+".other") },
	}
	if os.Geteuid() == 0 {
		theirs["another user's"] = func(file, _ string) error { return os.Chown(file, 65534, 65534) }
		theirs["another user's folder"] = func(_, folder string) error { return os.Chown(folder, 65534, 65534) }
		theirs["a link to another user's"] = func(file, folder string) error {
			target := filepath.Join(t.TempDir(), "real.yaml")
			return errors.Join(os.Rename(file, target), os.Chown(target, 65534, 65534), os.Symlink(target, file))
		}
		theirs["a group may write to it"] = func(file,
			_ string,
		) error {
			return errors.Join(os.Chown(file, 0, 1234), os.Chmod(file, 0o664))
		}
	}
	for read, traps := range map[bool]map[string]trap{true: own, false: theirs} {
		for name, trap := range traps {
			t.Run(name, func(t *testing.T) {
				folder := filepath.Join(t.TempDir(), "folder")
				file := filepath.Join(folder, "vmscaler.yaml")
				if err := errors.Join(os.Mkdir(folder, 0o755), os.WriteFile(file, []byte(pooled), 0o644), trap(file, folder)); err != nil {
					t.Fatal(err)
				}
				cfg, warnings, err := LoadUnnamed(file, os.Geteuid())
				if err != nil || (cfg.Pool == "theirs") != read || (len(warnings) == 0) != read {
					t.Fatalf("got pool %q, %v, %v; want it read: %v", cfg.Pool, warnings, err, read)
				}
				if cfg, _, err := Load(file); err != nil || cfg.Pool != "theirs" {
					t.Errorf("named: got pool %q, %v", cfg.Pool, err)
				}
				if read {
					return
				}
				for _, word := range []string{file, "-c " + file, folder} {
					if text := warnings[0].String(); !strings.Contains(text, word) {
						t.Errorf("the warning %q does not say %q", text, word)
					}
				}
				if strings.Contains(name, "another user") && !strings.Contains(warnings[0].String(), "user id 65534") {
					t.Errorf("the warning %q does not say whose", warnings[0])
				}
			})
		}
	}
}

// A file that is only there runs no program by its URI, also where this user has copied it from elsewhere.
func TestUnnamedFileRunsNoProgram(t *testing.T) {
	for uri, allowed := range map[string]bool{
		"qemu:///system": true,
		"qemu+unix:///session?socket=/x&mode=direct":         true,
		"qemu+ssh://root@kvm2/system":                        true,
		"qemu+tls://kvm2/system":                             true,
		"qemu:///embed?root=/x":                              true,
		"test:///default":                                    true,
		"qemu+ext:///system?command=evil.sh":                 false,
		"qemu+ext:///system":                                 false,
		"qemu+ssh://x/system?command=evil.sh":                false,
		"qemu+ssh://x/system?netcat=evil.sh":                 false,
		"qemu+ssh://x/system?keyfile=/x":                     false,
		"qemu+ssh://x/system?no_verify=1":                    false,
		"qemu+ssh://x/system?proxy=native":                   false,
		"qemu+libssh2://x/system":                            false,
		"qemu+ssh://-oProxyCommand=evil.sh/system":           false,
		"qemu+ssh://x/system?socket=/x&Command=evil.sh&mode": false,
	} {
		file := filepath.Join(t.TempDir(), "vmscaler.yaml")
		if err := os.WriteFile(file, []byte("libvirt:\n  uri: "+uri+"\n  pool: [wrong]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := LoadUnnamed(file, os.Geteuid())
		var problems Problems
		errors.As(err, &problems)
		want := 2 // beside the pool
		if allowed {
			want = 1
		}
		if len(problems) != want || (cfg.LibvirtURI == uri) != allowed ||
			!allowed && (problems[0].Field != "libvirt.uri" || problems[0].Line != 2) {
			t.Errorf("%s: got %q, %v; want it allowed: %v", uri, cfg.LibvirtURI, err, allowed)
		}
		if cfg, _, _ := Load(file); cfg.LibvirtURI != uri && !strings.Contains(uri, "-o") {
			t.Errorf("%s: named, but got %q", uri, cfg.LibvirtURI)
		}
	}
}
