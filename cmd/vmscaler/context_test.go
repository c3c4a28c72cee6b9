package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/contexts"
)

// TestContexts: what is kept by a name is what commands are for, where nothing else is named.
func TestContexts(t *testing.T) {
	alone(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv(contextVariable, "")
	web, db := decider(t, statusOf("web")), decider(t, statusOf("db"))
	for _, tt := range []struct{ line, out, wrong string }{
		{"context list", "", ""},
		{"context add one --nats-url " + web[1] + " --state-dir " + web[3] + " --use", "", ""},
		{"context add two --nats-url " + db[1], "", ""},
		{"context add two --nats-url " + db[1], "", "there is a context two already"},
		{"context add none", "", "found nothing to keep, want --nats-url, --state-dir or --uri"},
		{"context add a/b --nats-url x", "", `NAME: found "a/b"`},
		{"context add c --nats-url ftp://x", "", "bus.url"},
		{"context add c --nats-nkey missing.nk --nats-url nats://x", "", "--nats-nkey: there is no missing.nk"},
		{"context list -o name", "one\ntwo\n", ""},
		{"status -o name", "web\n", ""},
		{"status -o name --context two", "db\n", ""},
		{"status -o name " + strings.Join(db, " "), "db\n", ""},
		{"status --context tow", "", `there is no context "tow"; there are: one, two; did you mean two?`},
		{"status --context two --nats-url x", "", "--context and --nats-url exclude each other"},
		{"context use tree", "", `there is no context "tree"`},
		{"context use two", "", ""},
		{"status -o name", "db\n", ""},
		{"context rm two", "", ""},
		{"context use --none", "", ""},
		{"context show", "", "no context is in use, of those that there are: one"},
		{"context show one", "name         one\n--nats-url   " + web[1] + "\n--state-dir  " + web[3] + "\n", ""},
		{"status --state-dir " + t.TempDir(), "", "no vmscaler runs"},
	} {
		out, err := command(t, strings.Fields(tt.line)...)
		switch {
		case tt.wrong == "" && (err != nil || out != tt.out):
			t.Errorf("%s: got %q, %v, want %q", tt.line, out, err, tt.out)
		case tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), tt.wrong)):
			t.Errorf("%s: got %v, want %q", tt.line, err, tt.wrong)
		}
	}
	t.Setenv(contextVariable, "one")
	if out, err := command(t, "status", "-o", "name"); err != nil || out != "web\n" {
		t.Errorf("by the variable: %q, %v", out, err)
	}
	t.Setenv("VMSCALER_NATS_URL", db[1])
	if _, err := command(t, "status"); exitCode(err) != exitUsage ||
		!strings.Contains(err.Error(), "VMSCALER_CONTEXT and VMSCALER_NATS_URL exclude each other") {
		t.Errorf("two variables: %v", err)
	}
	if out, err := command(t, "status", "--context", "one", "-o", "name"); err != nil || out != "web\n" {
		t.Errorf("the flag over a variable: %q, %v", out, err)
	}
}

// A context has its own key and certificates, and nothing of the file, whose are for another bus.
func TestContextTakesNothingFromTheFile(t *testing.T) {
	dir := alone(t)
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv(contextVariable, "")
	flags := decider(t, statusOf("web"))
	if err := os.WriteFile(filepath.Join(dir, defaultConfig), []byte("bus: {url: \"nats://127.0.0.1:1\", nkey: other.nk}\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	all := contexts.Contexts{InUse: "one", Named: map[string]contexts.Context{"one": {URL: flags[1]}}}
	if err := contexts.Save(filepath.Join(home, "vmscaler", "contexts.yaml"), all); err != nil {
		t.Fatal(err)
	}
	if out, err := command(t, "status", "-o", "name"); err != nil || out != "web\n" {
		t.Errorf("got %q, %v", out, err)
	}
	all.Named["one"] = contexts.Context{URL: "nats://127.0.0.1:1"}
	if err := contexts.Save(filepath.Join(home, "vmscaler", "contexts.yaml"), all); err != nil {
		t.Fatal(err)
	}
	want := "context one: no bus answers at nats://127.0.0.1:1"
	if _, err := command(t, "status"); exitCode(err) != exitNobody || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What is done to VMs straight on libvirt is not done to this machine's, where the context is another one's.
func TestContextOfAnotherMachine(t *testing.T) {
	for _, tt := range []struct {
		context contexts.Context
		uri     string
		wrong   bool
	}{
		{contexts.Context{}, "", false},
		{contexts.Context{StateDir: "/srv/vms"}, "", false},
		{contexts.Context{URL: "nats://127.0.0.1:4333"}, "", false},
		{contexts.Context{URL: "tls://kvm1.invalid:4222"}, "", true},
		{contexts.Context{URL: "tls://kvm1.invalid:4222", URI: "qemu+ssh://kvm1/system"}, "qemu+ssh://kvm1/system", false},
	} {
		uri, err := chosenContext{"x", tt.context}.libvirt()
		if uri != tt.uri || (err != nil) != tt.wrong || tt.wrong && exitCode(err) != exitUsage {
			t.Errorf("%+v: got %q, %v", tt.context, uri, err)
		}
	}
}

// TestConnectionFlags: every command that talks to a running vmscaler, or to its VMs, takes the same flags for it.
func TestConnectionFlags(t *testing.T) {
	starts := []string{
		"run", "bus", "bus credentials", "collector", "decider", "actuator", "agent", "config check", "config show",
		"context add",
	}
	walk(rootCommand(), func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), program+" ")
		if cmd.Flags().Lookup("nats-url") == nil || slices.Contains(starts, name) {
			return
		}
		for _, s := range busSettings() {
			if has := cmd.Flags().Lookup(s.flag) != nil; has != (s.kept != nil) {
				t.Errorf("%s: it has --%s: %t", name, s.flag, has)
			}
		}
		if cmd.Flags().Lookup("context") == nil {
			t.Errorf("%s: it has no --context", name)
		}
	})
}
