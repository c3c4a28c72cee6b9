package trial

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

func TestFinished(t *testing.T) {
	for name, tt := range map[string]struct {
		output string
		code   int
		err    error
		want   string
	}{
		"done":        {"status: done", 0, nil, ""},
		"none":        {"", noCloudInit, nil, "not in the template"},
		"failed":      {"status: error\ndetail:\x1b\n", 1, nil, "exit code 1): status: error detail:␛"},
		"degraded":    {"status: done\nrecoverable_errors: x", 2, nil, "exit code 2"},
		"hidden":      {"", 0, vm.ErrGuestHidden, "guest-exec"},
		"unreachable": {"", 0, errors.New("away"), "away"},
	} {
		err := finished(tt.output, tt.code, tt.err)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// What is run in a guest is a program that its shell understands.
func TestScriptsAreShell(t *testing.T) {
	for _, script := range []string{guestScript, waitScript, cleanScript} {
		if out, err := exec.Command("sh", "-n", "-c", script).CombinedOutput(); err != nil {
			t.Errorf("%v: %s in\n%s", err, out, script)
		}
	}
	out, err := exec.Command("sh", "-c", guestScript).Output()
	if err != nil {
		t.Fatal(err)
	}
	if g := parseGuest(string(out)); g.Host == "" || g.Cloud == "" || g.Firmware == "" {
		t.Errorf("of this machine: %+v", g)
	}
}
