package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/check"
)

// A system's own files stay, and those that are older than the clone become its own, each where it may.
func TestIdentityScript(t *testing.T) {
	const id, baked = "5c0d2a9e000040008000000000000001", "0123456789abcdef0123456789abcdef"
	made := time.Now().Add(-time.Minute)
	before, after := made.Add(-24*time.Hour), made.Add(time.Second)
	type file struct {
		text string
		at   time.Time
	}
	image := map[string]file{
		"etc/hostname": {"golden", before}, "etc/hosts": {"127.0.0.1 localhost\n127.0.1.1 golden\n", before},
		"etc/machine-id": {baked, before}, "var/lib/dbus/machine-id": {baked, before},
		"etc/ssh/ssh_host_rsa_key": {"old", before}, "etc/ssh/ssh_host_rsa_key.pub": {"old", before},
	}
	with := func(more map[string]file) map[string]file {
		all := map[string]file{}
		for _, m := range []map[string]file{image, more} {
			for name, f := range m {
				all[name] = f
			}
		}
		return all
	}
	for _, tt := range []struct {
		name    string
		files   map[string]file
		host    string // what the system calls itself
		keygen  string // a script in place of ssh-keygen
		cloud   bool
		want    string // what is said
		changed map[string]string
	}{
		{
			"all is of the image", image, "golden", "echo new > $3/etc/ssh/ssh_host_rsa_key", false,
			"; it was given its own host name, SSH host keys, machine id",
			map[string]string{
				"etc/hostname": "web-3", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 web-3", "etc/machine-id": id,
				"var/lib/dbus/machine-id": id, "etc/ssh/ssh_host_rsa_key": "new",
			},
		},
		{"cloud-init is at work", image, "golden", "exit 1", true, "; it was given its own machine id", map[string]string{
			"etc/machine-id": id, "var/lib/dbus/machine-id": id,
		}},
		{
			"cloud-init is turned off", with(map[string]file{"run/cloud-init/disabled": {"", after}}), "golden",
			"echo new > $3/etc/ssh/ssh_host_rsa_key", true, "; it was given its own host name, SSH host keys, machine id",
			map[string]string{
				"etc/hostname": "web-3", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 web-3", "etc/machine-id": id,
				"var/lib/dbus/machine-id": id, "etc/ssh/ssh_host_rsa_key": "new",
			},
		},
		{"it has made all for itself", map[string]file{
			"etc/hostname": {"i-1", after}, "etc/machine-id": {baked, after}, "etc/ssh/ssh_host_rsa_key": {"own", after},
		}, "i-1", "exit 1", false, "", nil},
		{"a name of its own", with(map[string]file{
			"etc/machine-id": {"uninitialized", before}, "etc/ssh/ssh_host_rsa_key": {"own", after},
		}), "i-1", "exit 1", false, "", nil},
		{
			"no ssh-keygen", image, "web-3", "", false,
			"; it was given its own machine id; what its image has stays, as it could not be changed: SSH host keys",
			map[string]string{
				"etc/machine-id": id, "var/lib/dbus/machine-id": id,
			},
		},
		{"nothing is there", nil, "web-3", "", false, "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root, bin := t.TempDir(), t.TempDir()
			program := func(name, text string) {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			program("hostname", "[ $# = 0 ] && echo "+tt.host+"; true")
			for _, name := range []string{"stat", "cat", "sed", "rm", "mv"} {
				path, err := exec.LookPath(name)
				if err != nil {
					t.Fatal(err)
				}
				program(name, "exec "+path+` "$@"`)
			}
			if tt.keygen != "" {
				program("ssh-keygen", tt.keygen)
			}
			if tt.cloud {
				program("cloud-init", "")
			}
			for name, f := range tt.files {
				path := filepath.Join(root, name)
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(f.text+"\n"), 0o644),
					os.Chtimes(path, f.at, f.at)); err != nil {
					t.Fatal(err)
				}
			}
			run := func() string {
				cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", identityScript, "identity", "web-3", id, fmt.Sprint(made.Unix()))
				cmd.Env = []string{"PATH=" + bin, "ROOT=" + root}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				return identitySaid(check.Exit{Output: string(out)}, nil)
			}
			if got := run(); got != tt.want {
				t.Errorf("it says %q, want %q", got, tt.want)
			}
			if got := run(); strings.Contains(got, "was given") { // as after a restart of the program
				t.Errorf("a second time it says %q", got)
			}
			for name, f := range tt.files {
				got, err := os.ReadFile(filepath.Join(root, name))
				want, changed := tt.changed[name]
				if !changed {
					want = strings.TrimSpace(f.text)
				}
				if name == "etc/ssh/ssh_host_rsa_key.pub" && tt.changed["etc/ssh/ssh_host_rsa_key"] != "" {
					continue
				}
				if err != nil || strings.TrimSpace(string(got)) != want {
					t.Errorf("%s has %q, %v; want %q", name, got, err, want)
				}
			}
			if left, _ := filepath.Glob(filepath.Join(root, "etc/ssh/*.old")); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// What a guest prints is not repeated, and that it could not be asked is said.
func TestIdentitySaid(t *testing.T) {
	for _, tt := range []struct {
		exit check.Exit
		err  error
		want string
	}{
		{check.Exit{Output: "did\nfailed\n"}, nil, ""},
		{check.Exit{Output: "did,host,\x1b[2J,evil\nother,host\n"}, nil, "; it was given its own host name"},
		{check.Exit{Output: "failed,machine"}, nil, "; what its image has stays, as it could not be changed: machine id"},
		{check.Exit{Status: 127}, nil, "is not known: its shell ended with status 127"},
		{check.Exit{}, errors.New("its guest agent does not answer"), "is not known: its guest agent does not answer"},
		{check.Exit{}, context.DeadlineExceeded, "it took longer than 1m0s"},
	} {
		if got := identitySaid(tt.exit, tt.err); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v, %v: %q, want %q", tt.exit, tt.err, got, tt.want)
		}
	}
}
