package trial

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

func TestFinished(t *testing.T) {
	for name, tt := range map[string]struct {
		output string
		code   int
		err    error
		want   string
	}{
		"done":        {"status: done", 0, nil, ""},
		"none":        {"", noCloudInit, nil, "not in the template"},
		"failed":      {"status: error\ndetail:\x1b\n", 1, nil, "exit code 1): status: error detail:␛"},
		"degraded":    {"status: done\nrecoverable_errors: x", 2, nil, "exit code 2"},
		"hidden":      {"", 0, vm.ErrGuestHidden, "guest-exec"},
		"unreachable": {"", 0, errors.New("away"), "away"},
	} {
		err := finished(tt.output, tt.code, tt.err)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// No key that users may log in with stays, whoever's it is, and check says which there are.
func TestLoginKeys(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(script string) string {
		t.Helper()
		out, err := exec.Command("sh", "-c", "set -e\nroot="+root+"\n"+script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.ReplaceAll(string(out), root, "")
	}
	write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"+
		"toor:x:0:0::/root:/bin/sh\nbin:x:1:1::/bin:\nann:x:1000:1000:Ann,,:/home/ann:/bin/sh\n")
	write("root/.ssh/authorized_keys", "# mine\n\nno-pty,command=\"echo no\" ssh-ed25519 AAAA ann\n")
	write("home/ann/.ssh/authorized_keys", "ssh-ed25519 AAAA ann\nssh-rsa BBBB bob\n")
	write("home/ann/.ssh/authorized_keys2", "ssh-rsa CCCC")
	write("home/ann/.ssh/known_hosts", "here")
	write("etc/ssh/sshd_config", "Port 22\n"+
		"AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys\n#AuthorizedKeysFile /etc/motd\n")
	write("etc/ssh/sshd_config.d/some.conf", "Match User ann\n\tauthorizedkeysfile=\"%h/.keys\" /etc/ssh/%%all none\n"+
		"Match all\n\tAuthorizedKeysFile /etc/ssh/ids/%U # as in /etc/motd\n")
	write("usr/etc/ssh/sshd_config", "AuthorizedKeysFile /etc/ssh/maker\n")
	write("etc/ssh/ids/1000", "ssh-rsa GGGG")
	write("etc/ssh/maker", "ssh-rsa HHHH")
	write("etc/ssh/keys/ann", "ssh-rsa DDDD")
	write("etc/ssh/keys/bob", "ssh-rsa of no user")
	write("etc/ssh/%all", "ssh-rsa EEEE")
	write("home/ann/.keys", "ssh-rsa FFFF")
	write("etc/motd", "hello")
	want := []Login{
		{"/etc/ssh/%all", "ssh-rsa EEEE"},
		{"/etc/ssh/ids/1000", "ssh-rsa GGGG"},
		{"/etc/ssh/keys/ann", "ssh-rsa DDDD"},
		{"/etc/ssh/maker", "ssh-rsa HHHH"},
		{"/home/ann/.keys", "ssh-rsa FFFF"},
		{"/home/ann/.ssh/authorized_keys", "ssh-ed25519 AAAA ann"},
		{"/home/ann/.ssh/authorized_keys", "ssh-rsa BBBB bob"},
		{"/home/ann/.ssh/authorized_keys2", "ssh-rsa CCCC"},
		{"/root/.ssh/authorized_keys", `no-pty,command="echo no" ssh-ed25519 AAAA ann`},
	}
	if got := parseGuest(run(loginScript)).Logins; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	run(forgetKeys)
	left := "etc/motd\netc/ssh/keys/bob\nhome/ann/.ssh/known_hosts\n"
	if got := run(usersKeys + "; cd " + root + "; find home etc/ssh/keys etc/motd -type f | sort"); got != left {
		t.Errorf("left: %q", got)
	}
	if !strings.Contains(cleanScript, forgetKeys) {
		t.Error("sealing leaves the keys")
	}
}

// What is run in a guest is a program that its shell understands.
func TestScriptsAreShell(t *testing.T) {
	for _, script := range []string{guestScript, waitScript, cleanScript} {
		if out, err := exec.Command("sh", "-n", "-c", script).CombinedOutput(); err != nil {
			t.Errorf("%v: %s in\n%s", err, out, script)
		}
	}
	out, err := exec.Command("sh", "-c", guestScript).Output()
	if err != nil {
		t.Fatal(err)
	}
	if g := parseGuest(string(out)); g.Host == "" || g.Cloud == "" || g.Firmware == "" {
		t.Errorf("of this machine: %+v", g)
	}
}
