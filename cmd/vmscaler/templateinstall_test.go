package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is no public key is refused as the config refuses it, and not quoted.
func TestReadPublicKey(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	const private = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n"
	for text, want := range map[string]string{
		key + " ann@example.org\n":    "",
		key:                           "",
		private:                       ", line 1: found a private key, want a public key",
		"secret\n":                    ", line 1: found a line that is none, want a public key",
		"":                            ": found no key, want a public key",
		key + "\n" + key + "\n":       "want one line",
		`command="sh" ` + key + "\n":  "found a key with options",
		key + " it's $(secret) of me": "unusual comment",
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readPublicKey(path)
		if want == "" {
			if err != nil || got != strings.TrimSpace(text) {
				t.Errorf("%q: got %q, %v", text, got, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestJudgeNetwork(t *testing.T) {
	active := map[string]bool{"default": true, "lan": false}
	for name, want := range map[string]string{
		"default": "",
		"lan":     `--network: found "lan", which is not active; start it first: virsh net-start lan`,
		"nosuch":  `--network: found "nosuch", want one of user, default, lan`,
	} {
		err := judgeNetwork(name, active)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
}
