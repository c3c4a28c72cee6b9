package install

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/console"
)

const script = `
- expect: 'login: $'
  send: root
- name: ask
  expect: 'Done\.'
  fail: 'error: .*'
  timeout: 5s
  also:
    - {expect: 'Erase .*\?', send: y}
- name: end
  expect: 'off in (\d+) s'
`

func steps(t *testing.T) []Step {
	t.Helper()
	steps, err := Parse("script", []byte(script), Vars{})
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestPlayer(t *testing.T) {
	for name, tt := range map[string]struct {
		pieces []string
		typed  []string
		at     string // the step that is waited for; "" is none
		fails  string
	}{
		"nothing":         {nil, nil, "step 1", ""},
		"another prompt":  {[]string{"password: "}, nil, "step 1", ""},
		"split prompt":    {[]string{"lo", "gin", ": "}, []string{"root\n"}, "ask", ""},
		"not at the end":  {[]string{"login: x"}, nil, "step 1", ""},
		"not on one line": {[]string{"login:", "\r\n "}, nil, "step 1", ""},
		"painted":         {[]string{"\x1b[1;32mlog\x1b[", "0min: \x1b[6n\x1b]0;title\x07\x1b(B"}, []string{"root\n"}, "ask", ""},
		"everything":      {[]string{"login: root\r\nErase all?", " y\r\nDone.\r\noff in 12 s\r\n"}, nil, "step 1", ""},
		"in order": {
			[]string{"login: ", "Erase a?", "Erase b?", "Done.", "off in 12 s"}, []string{"root\n", "y\n", "y\n"}, "", "",
		},
		"all in one":      {[]string{"login: ", "Erase a?\nDone.\noff in 1 s"}, []string{"root\n", "y\n"}, "", ""},
		"a later one":     {[]string{"Done.\nlogin: "}, []string{"root\n"}, "ask", ""},
		"what was before": {[]string{"Done.\n", "login: ", "off in 1 s"}, []string{"root\n"}, "ask", ""},
		"it fails": {
			[]string{"login: ", "an error: no\x1b[0m space\r\nDone."}, []string{"root\n"}, "ask", `it says "an error: no space"`,
		},
		"first things":     {[]string{"login: ", "Done.\nerror: x"}, []string{"root\n"}, "end", ""},
		"carriage returns": {[]string{"login: ", "10 %\r20 %\rDone.\r", "\noff in 1 s"}, []string{"root\n"}, "", ""},
		"not UTF-8":        {[]string{"\xff\xfelogin: "}, []string{"root\n"}, "ask", ""},
	} {
		p := NewPlayer(steps(t))
		var typed []string
		var failed error
		for _, piece := range tt.pieces {
			got, err := p.Feed([]byte(piece))
			typed = append(typed, got...)
			if err != nil {
				failed = err
				break
			}
		}
		at := p.Step().Name
		if p.Done() {
			at = ""
		}
		var wrong *FailedError
		if !slices.Equal(typed, tt.typed) || at != tt.at || (tt.fails == "") != (failed == nil) ||
			failed != nil && (!errors.As(failed, &wrong) || failed.Error() != tt.fails) {
			t.Errorf("%s: typed %q at %q, %v; want %q at %q, %q", name, typed, at, failed, tt.typed, tt.at, tt.fails)
		}
	}
}

// A guest that prints without end takes bounded memory, and prompts are still found.
func TestPlayerIsBounded(t *testing.T) {
	p := NewPlayer(steps(t))
	for range 1000 {
		if typed, err := p.Feed([]byte(strings.Repeat("noise ", 1000))); len(typed) > 0 || err != nil {
			t.Fatal(typed, err)
		}
	}
	if len(p.unread) > console.MostText {
		t.Errorf("kept %d bytes", len(p.unread))
	}
	if typed, _ := p.Feed([]byte("login: ")); len(typed) != 1 {
		t.Errorf("typed %q", typed)
	}
}

func TestTail(t *testing.T) {
	p := NewPlayer(steps(t), "s3cret", "")
	for i := range 30 {
		if _, err := p.Feed(fmt.Appendf(nil, "line %d\r\n\r\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Feed([]byte("password s3cret \xff\x1b[31mred\u202e")); err != nil {
		t.Fatal(err)
	}
	want := []string{"line 28", "line 29", "password ******** \uFFFDred\uFFFD"}
	if got := p.Tail(3); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParse(t *testing.T) {
	got := steps(t)
	if len(got) != 3 || got[0].Name != "step 1" || *got[0].Send != "root" || got[0].Timeout != 2*time.Minute ||
		got[1].Timeout != 5*time.Second || got[2].Send != nil || len(got[1].Also) != 1 {
		t.Errorf("got %+v", got)
	}
	vars := Vars{Hostname: "web", SSHKey: "ssh-ed25519 it's"}
	filled, err := Parse("s", []byte("- {expect: x, send: '{{.Hostname}} {{quote .SSHKey}}{{if .RootPassword}}!{{end}}'}"), vars)
	if err != nil || *filled[0].Send != `web 'ssh-ed25519 it'\''s'` {
		t.Errorf("got %q, %v", *filled[0].Send, err)
	}
	for text, want := range map[string]string{
		"- {name: a, send: \"\\u0003\"}":       "f.yaml: step 1 (a): send: ", // and, of the same step, more
		"":                                     "found 0 steps, want 1 to 500",
		"a: b":                                 "want a list of steps",
		"- {expect: x, sent: y}":               "sent",
		"- {send: x}":                          "step 1: expect: found nothing",
		"- {expect: '('}":                      `expect: found "("`,
		"- {expect: x, fail: '['}":             `fail: found "["`,
		"- {expect: x, timeout: soon}":         `timeout: found "soon", want 1s to 6h`,
		"- {expect: x, timeout: 7h}":           `timeout: found "7h"`,
		"- {expect: x, send: '{{.Password}}'}": "send: ",
		"- {expect: x, send: \"a\\u0003\"}":    "control character",
		"- {expect: x, also: [{send: y}]}":     "also: expect: found nothing",
		strings.Repeat("- {expect: x}\n", 501): "found 501 steps",
		strings.Repeat("#", MaxScript+1):       "want at most",
	} {
		if _, err := Parse("f.yaml", []byte(text), Vars{}); err == nil || !strings.Contains(err.Error(), want) ||
			!eachNamed(err.Error()) {
			t.Errorf("%.40q: got %v, want %q", text, err, want)
		}
	}
}

// eachNamed reports whether each line of an error names the file, once, and no pattern has more than the file has.
func eachNamed(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, ">") { // what the decoder quotes
			continue
		}
		if !strings.HasPrefix(line, "f.yaml: ") || strings.Count(line, "f.yaml") != 1 || strings.Contains(line, "(?m)") {
			return false
		}
	}
	return true
}

// The script for Alpine does what it does when the installer prints what it prints.
func TestAlpine(t *testing.T) {
	steps, err := Alpine(Vars{Hostname: "web", SSHKey: "ssh-ed25519 AAAA me", RootPassword: "it's secret"})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlayer(steps, "it's secret")
	say := func(text string, typed ...string) {
		t.Helper()
		got, err := p.Feed([]byte(text))
		if err != nil || len(got) != len(typed) {
			t.Fatalf("after %q it types %q, %v; want %q", text, got, err, typed)
		}
		for i := range typed {
			if !strings.Contains(got[i], typed[i]) {
				t.Errorf("after %q it types %q, want %q in it", text, got[i], typed[i])
			}
			if echo, err := p.Feed([]byte(strings.ReplaceAll(got[i], "\n", "\r\n"))); err != nil || len(echo) > 0 {
				t.Fatalf("the echo of %q makes it type %q, %v", got[i], echo, err)
			}
		}
	}
	say("\r\nWelcome to Alpine Linux 3.22\r\nKernel 6.12 on an x86_64 (/dev/ttyS0)\r\n\r\nlocalhost login: ", "root\n")
	say("Welcome to Alpine!\r\n\r\nlocalhost:~# \x1b[6n", `HOSTNAMEOPTS="-n web"`)
	say("> > > answers-0\r\nlocalhost:~# ", "setup-alpine -e -f /tmp/answers")
	say("Setup a user? (enter a lower-case loginname, or 'no') [no] ", "no\n")
	say("WARNING: The following disk(s) will be erased:\r\n  vda\t(2.1 GB 0x1af4 )\r\n\r\n"+
		"WARNING: Erase the above disk(s) and continue? (y/n) [n] ", "y\n")
	say("Creating file systems...\r\nInstalling system on /dev/vda2:\r\n100% ####\r\n\r\n"+
		"Installation is complete. Please reboot.\r\nweb:~# setup-0\r\n", "mount --bind")
	say("mounted-0\r\nweb:~# ", "apk add openssh qemu-guest-agent")
	say("ERROR: unable to select packages:\r\npackages-1\r\n", "rc-update add")
	say("services-done\r\n", "local.d/vmscaler.start")
	say("console-0\r\n", `echo 'root:it'\''s secret' | chroot /mnt chpasswd`)
	say("cleaned-0\r\n", "poweroff\n")
	if !p.Done() {
		t.Errorf("it waits for %s", p.Step().Name)
	}
}
