package vm

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// hookScript is the script of docs/hooks.md, which keeps its file in dir, with an nginx and a sleep that do nothing.
func hookScript(t *testing.T, dir string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```sh\n(#!/bin/sh\n.*?)```").FindSubmatch(page)
	if found == nil {
		t.Fatal("docs/hooks.md has no script")
	}
	text := strings.ReplaceAll(string(found[1]), "/etc/nginx/", dir+"/")
	for name, program := range map[string]string{
		"hook": text, "nginx": "#!/bin/sh\necho reload >>" + dir + "/reloads\n", "sleep": "#!/bin/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(program), 0o755); err != nil { //nolint:gosec // programs
			t.Fatal(err)
		}
	}
	return "PATH=" + dir + ":$PATH; export PATH; exec " + dir + "/hook"
}

// The script of the documentation takes nothing but an address, even if it were told something else.
func TestHookScriptOfTheDocs(t *testing.T) {
	t.Parallel()
	const other = "server 192.168.122.9:80; # another\n"
	for _, tt := range []struct {
		name    string
		kind    bus.HookKind
		address string
		want    bus.HookAction
		file    string // beside the line of another VM; "-": only that one
	}{
		{"launch", bus.HookLaunch, "192.168.122.37", bus.HookContinue, "server 192.168.122.37:80; # " + someUUID + "\n"},
		{
			"launch, with the line of a VM that died", bus.HookLaunch, "192.168.122.9", bus.HookContinue,
			"-server 192.168.122.9:80; # " + someUUID + "\n",
		},
		{"remove", bus.HookRemove, "192.168.122.37", bus.HookContinue, ""},
		{"remove, no address known", bus.HookRemove, "", bus.HookContinue, ""},
		{"no address", bus.HookLaunch, "", bus.HookAbandon, ""},
		{"of another network", bus.HookLaunch, "10.0.0.1", bus.HookAbandon, ""},
		{"IPv6 of another network", bus.HookLaunch, "2001:db8::1", bus.HookAbandon, ""},
		{
			"nginx", bus.HookLaunch, "192.168.122.1:80;\n}\nserver { listen 8099; location / { root /; } }\nupstream y { server 10.0.0.1",
			bus.HookAbandon, "",
		},
		{"a zone", bus.HookLaunch, "2001:db8::1%x:80;}", bus.HookAbandon, ""},
		{"a command", bus.HookLaunch, "192.168.122.1$(touch pwned)", bus.HookAbandon, ""},
		{"a command, on remove", bus.HookRemove, "`touch pwned`;touch pwned", bus.HookAbandon, ""},
		{"options", bus.HookLaunch, "192.168.122.1 -e x", bus.HookAbandon, ""},
		{"a quote", bus.HookLaunch, `192.168.122.1";touch pwned;"`, bus.HookAbandon, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			call, _ := someCall(bus.WaitForCommand, func(c *hookCall) {
				c.kind, c.address = tt.kind, tt.address
				c.hook.Command = "cd " + dir + "; " + hookScript(t, dir)
			})
			file := filepath.Join(dir, "vmscaler-web.conf")
			if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := NewHooks(zerolog.Nop()).wait(t.Context(), call); got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
			want, alone := strings.CutPrefix(tt.file, "-")
			if !alone {
				want = other + want
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != want {
				t.Errorf("the file has %q, %v; want %q", text, err, want)
			}
			if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
				t.Error("a command of the guest ran")
			}
			if _, err := os.Stat(filepath.Join(dir, "reloads")); (err == nil) != (tt.want == bus.HookContinue) {
				t.Errorf("nginx was reloaded: %v", err == nil)
			}
		})
	}
}
