package hosttool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// What a tool has started dies with it.
func TestRunKillsDescendants(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var child string
	watch := &LineWriter{Line: func(line string) {
		child = line
		cancel()
	}}
	err := Run(ctx, watch, "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!; wait")
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context canceled", err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 200 {
		if !alive(child) {
			return
		}
		<-tick.C
	}
	t.Errorf("process %s is still there", child)
}

// alive is false for a zombie too, which only waits for init.
func alive(pid string) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestRunTellsWhatTheToolSaid(t *testing.T) {
	err := Run(t.Context(), nil, "sh", "-c", "echo no space left >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "run sh: exit status 3:\nno space left") {
		t.Errorf("error %v", err)
	}
	if err := Run(t.Context(), nil, "no-such-tool"); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("error %v", err)
	}
}

func TestCheckToolsNamesAllAtOnce(t *testing.T) {
	find := func(name string) (string, error) {
		if name == "qemu-img" {
			return "/usr/bin/qemu-img", nil
		}
		return "", errors.New("not there")
	}
	err := Check([]Tool{{"mformat", "mtools"}, {"qemu-img", "qemu-utils"}, {"mcopy", "mtools"}, {"mke2fs", "e2fsprogs"}}, find)
	const want = "missing on this host: mformat, mcopy, mke2fs (install with: sudo apt-get install e2fsprogs mtools)"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if err := Check([]Tool{{"qemu-img", "qemu-utils"}}, find); err != nil {
		t.Errorf("nothing is missing: %v", err)
	}
}
