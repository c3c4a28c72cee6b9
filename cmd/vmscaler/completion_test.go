package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/contexts"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// asProgram makes the tests' binary the program itself.
const asProgram = "VMSCALER_TEST_AS_PROGRAM"

// completing is a machine with a group web of two VMs that runs, and a context.
func completing(t *testing.T) {
	t.Helper()
	alone(t)
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv(contextVariable, "")
	all := contexts.Contexts{Named: map[string]contexts.Context{"kvm1": {URL: "nats://127.0.0.1:1"}, "kvm2": {URL: "x"}}}
	if err := contexts.Save(filepath.Join(home, "vmscaler", "contexts.yaml"), all); err != nil {
		t.Fatal(err)
	}
	flags := decider(t, func(r client.Request) error { return r.Answer(listedStatus()) })
	t.Setenv("VMSCALER_NATS_URL", flags[1])
}

// completionsOf is what a command line can be completed with, without what cobra says of it.
func completionsOf(t *testing.T, words ...string) []string {
	t.Helper()
	out, err := command(t, append([]string{cobra.ShellCompNoDescRequestCmd}, words...)...)
	if err != nil {
		t.Errorf("%q: %v", words, err)
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	return lines[:len(lines)-1] // the last one is the directive
}

func TestCompletion(t *testing.T) {
	completing(t)
	var types []string
	for _, kind := range policy.Kinds() {
		types = append(types, "type="+string(kind))
	}
	slices.Sort(types)
	for line, want := range map[string]string{
		"status |":                     "db web",
		"status w|":                    "web",
		"status web |":                 "",
		"pause web |":                  "out in repair health hooks schedule",
		"pause web in re|":             "repair",
		"resume |":                     "db web web-2 web-10",
		"protect web-1|":               "web-10",
		"console |":                    "web-2 web-10",
		"ssh me@web-2|":                "me@web-2",
		"set web upp|":                 "upper=",
		"set web policy.upp|":          "policy.upper=",
		"set web type=|":               strings.Join(types, " "),
		"set web shadow=no|":           "shadow=none",
		"set web policy.si|":           "policy.signal=",
		"set web upper=|":              "",
		"set web nonsense=|":           "",
		"reset web coold|":             "cooldown_out cooldown_in",
		"wait web st|":                 "stable",
		"health a|":                    "actuator",
		"host remove |":                "kvm1 kvm2",
		"context use |":                "kvm1 kvm2",
		"status --context |":           "kvm1 kvm2",
		"status -o |":                  "table wide json yaml name",
		"explain -o |":                 "table json yaml",
		"bus credentials op|":          "operator",
		"hook c|":                      "continue",
		"hook l|":                      "list",
		"hook list w|":                 "web",
		"run |":                        "",
		"refresh --strategy |":         "replace reimage",
		"refresh --minimal-action |":   "restart replace",
		"refresh --most-disruptive r|": "restart replace",
		"replace --group w|":           "web",
		"run --log-level w|":           "warn",
	} {
		words := strings.Split(strings.TrimSuffix(line, "|"), " ")
		if got := strings.Join(completionsOf(t, words...), " "); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}

// A bus that takes connections and says nothing is waited for no longer than a person waits for a shell.
func TestCompletionDoesNotWait(t *testing.T) {
	alone(t)
	g := &globals{}
	begun := time.Now()
	got, directive := g.completed(&cobra.Command{}, source{of: func(l *lookup) []string {
		<-l.ctx.Done()
		<-t.Context().Done() // as libvirt may, which knows no context
		return []string{"late"}
	}}, nil, "")
	if len(got) > 0 || directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("got %q, %v", got, directive)
	}
	if deadline := begun.Add(completeWithin); time.Now().Before(deadline) {
		t.Errorf("it gave up before %s", completeWithin)
	}
	t.Setenv("VMSCALER_NATS_URL", "nats://127.0.0.1:1")
	t.Setenv("VMSCALER_URI", "test:///default")
	if got := completionsOf(t, "protect", ""); len(got) > 0 && got[0] != "" {
		t.Errorf("without a bus: %q", got)
	}
}

// TestCompletionKnowsAllCommands: none is forgotten whose arguments have names.
func TestCompletionKnowsAllCommands(t *testing.T) {
	all := completions()
	names := map[string]bool{}
	walk(rootCommand(), func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), program+" ")
		names[name] = true
		if takesArguments(cmd) && all[name] == nil && name != "help" {
			t.Errorf("%s: what are its arguments completed with?", name)
		}
	})
	for name := range all {
		if !names[name] {
			t.Errorf("there is no command %s", name)
		}
	}
}

// shells are what each shell is given: how it loads the completion, and how it completes a line, of which it prints what the line
// may become. {LOAD} is a file that does the former, {LINE} the line.
var shells = map[string]struct{ load, begin, line, end string }{
	"bash": {
		load:  `. /usr/share/bash-completion/bash_completion; . <(vmscaler completion bash)`,
		begin: `. {LOAD}; completes=$(complete -p vmscaler | sed 's/.* -F \([^ ]*\) .*/\1/'); COMP_TYPE=9 COMP_KEY=9`,
		line: `COMP_LINE='{LINE}'; read -ra COMP_WORDS <<<"$COMP_LINE"
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_POINT=${#COMP_LINE} COMPREPLY=()
$completes vmscaler 2>/dev/null; echo ${COMPREPLY[@]}`,
	},
	"zsh": {
		load: `autoload -Uz compinit; compinit -u -D; . <(vmscaler completion zsh)`,
		// A zsh in a terminal of its own, in which lines and tabs are typed; a key says what the line has become.
		begin: `zmodload zsh/zpty; zpty z zsh -f -i
zpty -w z '. {LOAD}; report() { print -r -- "$BUFFER" >> {LOAD}.out; BUFFER=""; print DO""NE }'
zpty -w z 'zle -N report; bindkey "^X" report; print REA""DY'
zpty -r z seen '*READY*'`,
		line: `zpty -w -n z $'{LINE}\t\x18'; zpty -r z seen '*DONE*'`,
		end:  `zpty -d z; cat {LOAD}.out`,
	},
	"fish": {
		load:  `vmscaler completion fish | source`,
		begin: `. {LOAD}`,
		line:  `echo (complete -C '{LINE}')`,
	},
}

// TestCompletionInShells loads the scripts in the real shells, which ask the program.
func TestCompletionInShells(t *testing.T) {
	completing(t)
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asProgram, self)
	if err := os.WriteFile(filepath.Join(bin, program), []byte(wrapper), 0o755); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", t.TempDir())
	lines := [][2]string{
		{"vmscaler status w", "web"},
		{"vmscaler protect web-1", "web-10"},
		{"vmscaler set web upp", "upper="},
		{"vmscaler status -o wi", "wide"},
		{"vmscaler context use kvm2", "kvm2"},
		{"vmscaler context show --out", "--output"},
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath(name)
			if err != nil {
				t.Fatalf("%s is not there: `packaging/host-setup.sh packages test` installs it", name)
			}
			load := filepath.Join(t.TempDir(), "load")
			if err := os.WriteFile(load, []byte(shell.load+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			text := shell.begin + "\n"
			for _, line := range lines {
				text += strings.ReplaceAll(shell.line, "{LINE}", line[0]) + "\n"
			}
			text = strings.ReplaceAll(text+shell.end, "{LOAD}", load)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, map[string][]string{"zsh": {"-f"}}[name]...)
			cmd.Args = append(cmd.Args, "-c", text)
			cmd.WaitDelay = time.Second
			out, err := cmd.CombinedOutput()
			got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
			if err != nil || len(got) != len(lines) {
				t.Fatalf("%v: %s", err, out)
			}
			for i, line := range lines {
				if !slices.Contains(strings.Fields(got[i]), line[1]) {
					t.Errorf("%s: got %q, want %q", line[0], got[i], line[1])
				}
			}
		})
	}
}
