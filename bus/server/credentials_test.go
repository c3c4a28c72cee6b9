package server_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// loggedIn reports whether a role's credentials work.
func loggedIn(s *server.Server, file string, role bus.Role) error {
	c, err := client.DialNow(client.Remote{URL: s.URL(), Nkey: file}, string(role), bustest.Quiet)
	if err != nil {
		return err
	}
	c.Close()
	return nil
}

func TestCredentialsAreMadeOnceForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	made := map[bus.Role]string{}
	for range 2 {
		s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		for _, role := range bus.Roles() {
			file := server.CredentialsFile(dir, role)
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", file, info.Mode())
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if before, again := made[role]; again && before != string(data) {
				t.Errorf("%s: the restart made another key", role)
			}
			made[role] = string(data)
			if err := loggedIn(s, file, role); err != nil {
				t.Errorf("%s: %v", role, err)
			}
		}
		s.Stop()
	}
	different := map[string]bool{}
	for _, seed := range made {
		different[seed] = true
	}
	if len(different) != len(bus.Roles()) {
		t.Errorf("%d keys for %d roles", len(different), len(bus.Roles()))
	}
	for _, folder := range []string{dir, filepath.Join(dir, "credentials")} {
		if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", folder, info.Mode(), err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, "credentials"))
	if err != nil || len(entries) != len(bus.Roles()) {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
}

func TestDeletedCredentialsAreMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := server.MakeCredentials(dir); err != nil {
		t.Fatal(err)
	}
	file := server.CredentialsFile(dir, bus.RoleOperator)
	old := filepath.Join(t.TempDir(), "old.nk")
	if err := os.Rename(file, old); err != nil {
		t.Fatal(err)
	}
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	if err := loggedIn(s, file, bus.RoleOperator); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if err := loggedIn(s, old, bus.RoleOperator); err == nil {
		t.Error("the old key still works")
	}
}

// A key that others may know, or that is none, is refused; the error says which file, and what to do.
func TestCredentialsThatAreRefused(t *testing.T) {
	t.Parallel()
	const again = "delete the file and start the bus again"
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	accountSeed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	write := func(data string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(data), 0o600) }
	}
	mode := func(m fs.FileMode) func(string) error { return func(path string) error { return os.Chmod(path, m) } }
	for _, tt := range []struct {
		name  string
		spoil func(path string) error
		want  []string
	}{
		{"others may read it", mode(0o644), []string{"mode 0644, want 0600", again}},
		{"the group may read it", mode(0o640), []string{"mode 0640, want 0600", again}},
		{"others may write it", mode(0o602), []string{"mode 0602, want 0600", again}},
		{"garbage", write("not a seed\n"), []string{"no nkey seed", again}},
		{"empty", write(""), []string{"no nkey seed", again}},
		{"cut off", write("SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ"), []string{"no nkey seed", again}},
		{"a public key", write(public), []string{"no nkey seed", again}},
		{"an account's seed", write(string(accountSeed)), []string{"kind account, want user", again}},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }, []string{"no regular file"}},
		{"a fifo", func(path string) error { return syscall.Mkfifo(path, 0o600) }, []string{"no regular file"}},
		{"another role's", func(path string) error {
			return os.Link(server.CredentialsFile(filepath.Dir(filepath.Dir(path)), bus.RoleCollector), path)
		}, []string{"found the key of collector, want one of its own", again}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if _, err := server.MakeCredentials(dir); err != nil {
				t.Fatal(err)
			}
			path := server.CredentialsFile(dir, bus.RoleActuator)
			if slices.Contains([]string{"a folder", "a fifo", "another role's"}, tt.name) { // in its place
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.spoil(path); err != nil {
				t.Fatal(err)
			}
			s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
			if err == nil {
				s.Stop()
				t.Fatal("it is accepted")
			}
			for _, part := range append(tt.want, path, string(bus.RoleActuator)) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("no %q in: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), string(accountSeed)) {
				t.Error("the error has the secret")
			}
			if _, held := server.FindState(dir); held {
				t.Error("the state folder stays locked")
			}
		})
	}
}

// Only root can give a file away, so whose it is can be told to the check too.
func TestCredentialsOfAnotherUserAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := server.MakeCredentials(dir); err != nil {
		t.Fatal(err)
	}
	path, euid := server.CredentialsFile(dir, bus.RoleTap), os.Geteuid()
	if euid == 0 {
		if err := os.Chown(path, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	} else {
		euid = 12345 // as if somebody else ran the bus
	}
	_, err := server.ReadCredentials(path, euid)
	if err == nil {
		t.Fatal("they are accepted")
	}
	for _, part := range []string{path, "belongs to user id", "chown"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
}

// A role with a folder of its own has its key there, so that a container can be given that one alone; the others' stay.
func TestCredentialsInAFolderOfTheirOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own := filepath.Join(dir, "credentials", string(bus.RoleCollector))
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	if want := filepath.Join(own, "collector.nk"); server.CredentialsFile(dir, bus.RoleCollector) != want {
		t.Errorf("the collector's is %s, want %s", server.CredentialsFile(dir, bus.RoleCollector), want)
	}
	if want := filepath.Join(dir, "credentials", "decider.nk"); server.CredentialsFile(dir, bus.RoleDecider) != want {
		t.Errorf("the decider's is %s, want %s", server.CredentialsFile(dir, bus.RoleDecider), want)
	}
	found, err := os.ReadDir(own)
	if err != nil || len(found) != 1 {
		t.Errorf("the folder has %v, %v; want one file", found, err)
	}
	for _, role := range bus.Roles() {
		m := bustest.NewMember(t, s, server.CredentialsFile(dir, role))
		if err := m.NC.FlushWithContext(bustest.Limit(t)); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}
