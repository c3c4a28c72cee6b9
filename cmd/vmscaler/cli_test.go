package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write the golden files again")

// cliPage is the reference of all commands, which `go test ./cmd/vmscaler -run CommandsPage -update` writes.
const cliPage = "../../docs/cli.md"

// TestCommandsPage: the reference has what the commands' help has.
func TestCommandsPage(t *testing.T) {
	got := commandsPage(rootCommand())
	if *update {
		if err := os.WriteFile(cliPage, []byte(got), 0o644); err != nil { //nolint:gosec // everyone reads it
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(cliPage)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the commands are: `go test ./cmd/vmscaler -run CommandsPage -update` writes it", cliPage)
	}
}

func commandsPage(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Commands\n\nMade from the commands' own help: `vmscaler COMMAND --help` says the same. "+
		"[running.md](running.md) has what they share:\nhow they find a running vmscaler, [output](running.md#output), "+
		"[completion](running.md#completion) and [exit codes](running.md#exit-codes).\n\n")
	fmt.Fprintf(&b, "Flags of every command:\n\n```\n%s```\n\n", flagUsages(root.PersistentFlags(), nil))
	connection := &pflag.FlagSet{}
	status, _, _ := root.Find([]string{"status"})
	status.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if isConnection(f) {
			connection.AddFlag(f)
		}
	})
	fmt.Fprintf(&b, "Flags of every command that talks to a running vmscaler, below *connection*:\n\n```\n%s```\n",
		flagUsages(connection, nil))
	for _, group := range root.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(group.Title, ":"))
		for _, cmd := range root.Commands() {
			if cmd.GroupID == group.ID && !cmd.Hidden && cmd.Name() != "help" && cmd.Name() != "completion" {
				commandSection(&b, cmd)
			}
		}
	}
	return b.String()
}

func isConnection(f *pflag.Flag) bool {
	for _, s := range busSettings() {
		if s.flag == f.Name && s.kept != nil {
			return true
		}
	}
	return f.Name == "context"
}

// commandSection is a command, and below it those that it has.
func commandSection(b *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n### %s\n\n", cmd.CommandPath())
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "%s\n", strings.TrimSpace(text))
	if !cmd.HasSubCommands() || cmd.Name() == "bus" || cmd.Name() == "schedule" { // these do something by themselves
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	}
	if cmd.Example != "" {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimSpace(cmd.Example), "\n  ", "\n"))
	}
	connects := cmd.LocalFlags().Lookup("nats-url") != nil
	if usages := flagUsages(cmd.LocalFlags(), func(f *pflag.Flag) bool { return connects && isConnection(f) }); usages != "" {
		fmt.Fprintf(b, "\n```\n%s```\n", usages)
	}
	if connects {
		fmt.Fprint(b, "\nAnd those of the connection"+map[bool]string{
			false: ", but for `--context`",
		}[cmd.LocalFlags().Lookup("context") != nil]+".\n")
	}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			commandSection(b, sub)
		}
	}
}

// flagUsages are flags but those that every command has, and others that are left out.
func flagUsages(flags *pflag.FlagSet, out func(*pflag.Flag) bool) string {
	shown := &pflag.FlagSet{SortFlags: true}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" && (out == nil || !out(f)) {
			shown.AddFlag(f)
		}
	})
	return shown.FlagUsages()
}

// Each command's help has an example, which is one of it.
func TestExamples(t *testing.T) {
	walk(rootCommand(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if strings.HasPrefix(path, "vmscaler completion") || cmd.Name() == "help" || cmd.HasSubCommands() {
			return
		}
		lines := strings.Split(strings.TrimSpace(cmd.Example), "\n")
		if !strings.Contains(cmd.Example, path) {
			t.Errorf("%s: has no example", path)
			return
		}
		for _, line := range lines {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "vmscaler ") {
				if err := typed(line); err != nil {
					t.Errorf("%s: %s: %v", path, line, err)
				}
			}
		}
	})
}

// The manual has a page for each command, which say the same whenever they are made.
func TestManual(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		if _, err := command(t, "man", dir, "--date", "2026-11-27"); err != nil {
			t.Fatal(err)
		}
	}
	pages, err := filepath.Glob(filepath.Join(dirs[0], "vmscaler*.1"))
	if err != nil || len(pages) < 60 {
		t.Errorf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		a, errA := os.ReadFile(page)
		b, errB := os.ReadFile(filepath.Join(dirs[1], filepath.Base(page)))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s: %v, %v, or another page the second time", page, errA, errB)
		}
	}
	page, err := os.ReadFile(filepath.Join(dirs[0], "vmscaler-scale.1"))
	if err != nil || !bytes.Contains(page, []byte("Nov 2026")) || !bytes.Contains(page, []byte("vmscaler scale web 4 --wait")) {
		t.Errorf("%v: %s", err, page)
	}
	if _, err := command(t, "man", dirs[0], "--date", "today"); exitCode(err) != exitUsage {
		t.Errorf("--date today: %v", err)
	}
}
