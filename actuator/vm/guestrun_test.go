package vm

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// The script in the guest keeps a command's streams apart, bounds them, and ends as the command does.
func TestBoundScript(t *testing.T) {
	for name, tt := range map[string]struct {
		command     []string
		most        int
		out, stderr string
		code        int
	}{
		"both streams": {[]string{"sh", "-c", "echo out; echo err >&2; exit 3"}, 99, "out\n", "err\n", 3},
		"arguments":    {[]string{"printf", "%s|", "a b", "$HOME", "'", ""}, 99, "a b|$HOME|'||", "", 0},
		"too much": {
			[]string{"sh", "-c", "yes | head -c 100000; yes n | head -c 99 >&2"},
			9,
			"y\ny\ny\ny\ny\n", "n\nn\nn\nn\nn\n", 0,
		},
		"by a signal":        {[]string{"sh", "-c", "kill -9 $$"}, 99, "", "Killed\n", 137},
		"the word of no one": {[]string{"sh", "-c", "echo 77 >&5; exit 4"}, 99, "", "", 4},
		"bytes":              {[]string{"printf", `a\000b\n\n`}, 99, "a\x00b\n\n", "", 0},
	} {
		cmd := exec.Command("/bin/sh", boundLine(tt.most, tt.command)...)
		var out, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if name == "the word of no one" { // its shell says that there is no such descriptor
			stderr.Reset()
			if cmd.ProcessState.ExitCode() == 77 {
				t.Errorf("%s: the command has chosen the exit code", name)
			}
		}
		if out.String() != tt.out || stderr.String() != tt.stderr || cmd.ProcessState.ExitCode() != tt.code {
			t.Errorf("%s: printed %q and %q, exit code %d; want %q, %q, %d",
				name, out.String(), stderr.String(), cmd.ProcessState.ExitCode(), tt.out, tt.stderr, tt.code)
		}
	}
	missing := exec.Command("/bin/sh", boundLine(99, []string{"no-such-command"})...)
	if out, _ := missing.CombinedOutput(); missing.ProcessState.ExitCode() != 127 || !strings.Contains(string(out), "not found") {
		t.Errorf("a command that is not there: exit code %d, %q", missing.ProcessState.ExitCode(), out)
	}
}

// An agent's word is cut where it is too long, and refused where it is no base64.
func TestRan(t *testing.T) {
	long := base64.StdEncoding.EncodeToString(make([]byte, MostOutput+1))
	r, err := runStatus{Status: 3, Output: long, Errors: base64.StdEncoding.EncodeToString([]byte("oops"))}.ran()
	if err != nil || len(r.Stdout) != MostOutput || !r.Cut || string(r.Stderr) != "oops" || r.Code != 3 {
		t.Errorf("%d bytes, %v, %q, %d, %v", len(r.Stdout), r.Cut, r.Stderr, r.Code, err)
	}
	if r, err := (runStatus{Signal: 9}).ran(); err != nil || r.Code != 137 || r.Cut {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := (runStatus{Output: "!"}).ran(); err == nil {
		t.Error("taken what is no base64")
	}
}
