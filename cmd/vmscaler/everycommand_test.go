package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/membership"
)

// TestEveryCommandIsRun: each command of the program, and so each that a document names, is run by some test: here, on real VMs,
// or under systemd.
func TestEveryCommandIsRun(t *testing.T) {
	var tests strings.Builder
	for _, pattern := range []string{"*_test.go", "e2e/*_test.go", "e2e/*/*_test.go", "../../packaging/test-*.sh"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: found %q, %v", pattern, paths, err)
		}
		for _, path := range paths {
			if filepath.Base(path) == "completion_test.go" { // which only names them
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(text)
		}
	}
	walk(rootCommand(), func(cmd *cobra.Command) {
		words := strings.Fields(cmd.CommandPath())[1:]
		if cmd.HasSubCommands() && !cmd.Runnable() || words[0] == "help" || words[0] == "completion" {
			return
		}
		line := strings.Join(words, " ")
		apart := `"` + strings.Join(words, `", "`) + `"`
		if !regexp.MustCompile(`(vmscaler |")` + line + `[ "]|` + apart).MatchString(tests.String()) {
			t.Errorf("vmscaler %s: no test runs it", line)
		}
	})
}

// TestWhatNeedsNothing: commands that neither read a config nor reach anything say what the repository has.
func TestWhatNeedsNothing(t *testing.T) {
	schema, err := os.ReadFile("../../examples/vmscaler.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"config", "schema"}, string(schema)},
		{[]string{"template", "catalog"}, "debian-13"},
		{[]string{"simulate", "fleet", "--hosts", "3", "--vms", "2", "--seconds", "1"}, "3 hosts"},
	} {
		if out, err := command(t, tt.args...); err != nil || !strings.Contains(out, tt.want) {
			t.Errorf("%q: %v\n%s\nwant %s", tt.args, err, out, tt.want)
		}
	}
}

// An agent whose membership of a bus cannot be read does not go on without, on another one.
func TestAgentOfNoMember(t *testing.T) {
	state := t.TempDir()
	if err := os.MkdirAll(membership.Dir(state), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(membership.Dir(state), "joined.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := command(t, "agent", "--state-dir", state); err == nil || !strings.Contains(err.Error(), "membership") {
		t.Errorf("%v, want that its membership cannot be read", err)
	}
	_, err := command(t, "agent", "--otlp", "127.0.0.1:4318")
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "--otlp: found") {
		t.Errorf("%v, want that --otlp is no URL", err)
	}
}
