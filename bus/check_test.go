package bus

import (
	"strings"
	"testing"
)

// A check's name is what tells it from others, on one harmless line that is not too long.
func TestCheckName(t *testing.T) {
	for want, c := range map[string]Check{
		"agent":                        {Type: CheckAgent},
		"cloud-init":                   {Type: CheckCloudInit},
		"tcp :22":                      {Type: CheckTCP, Port: 22},
		"http :8080/healthz":           {Type: CheckHTTP, Scheme: SchemeHTTP, Port: 8080, Path: "/healthz"},
		"https example.org:443/":       {Type: CheckHTTP, Scheme: SchemeHTTPS, Port: 443, Path: "/", Host: "example.org"},
		"command pidof nginx":          {Type: CheckCommand, Command: ShellCommand("pidof nginx")},
		"command /bin/true a b":        {Type: CheckCommand, Command: []string{"/bin/true", "a", "b"}},
		"command a␊b":                  {Type: CheckCommand, Command: ShellCommand("a\nb")},
		"command /bin/sh -c x trailer": {Type: CheckCommand, Command: []string{"/bin/sh", "-c", "x", "trailer"}},
	} {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := (Check{Type: CheckCommand, Command: ShellCommand(strings.Repeat("x", 1000))}).String(); len(got) > maxCheckName {
		t.Errorf("a name of %d bytes", len(got))
	}
}

// What a check is used for is one of three, and no use is none.
func TestCheckFor(t *testing.T) {
	for use, want := range map[CheckFor][2]bool{
		CheckForBoth: {true, true}, CheckForReady: {true, false}, CheckForHealth: {false, true}, "": {},
	} {
		c := Check{For: use}
		if got := [2]bool{c.ForReady(), c.ForHealth()}; got != want {
			t.Errorf("%q: ready, health: %v, want %v", use, got, want)
		}
	}
}

// The commands of two checks share no memory.
func TestShellCommand(t *testing.T) {
	a, b := ShellCommand("a"), ShellCommand("b")
	if line, is := (Check{Command: a}).ShellLine(); !is || line != "a" || b[2] != "b" {
		t.Errorf("%q %v, %q", line, is, b)
	}
}
