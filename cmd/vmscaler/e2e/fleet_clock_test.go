//go:build fleet

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// clockEnv says to a program that skewable has built by how many seconds its clock is ahead.
const clockEnv = "TEST_CLOCK_AHEAD_S"

// wrongClock is what such a program has in package time: the kernel has no clock of the day for a namespace.
const wrongClock = `package time

import "syscall"

var aheadS = func() (s int64) {
	text, _ := syscall.Getenv("` + clockEnv + `")
	sign := int64(1)
	for _, c := range text {
		switch {
		case c == '-':
			sign = -1
		case c >= '0' && c <= '9':
			s = 10*s + int64(c-'0')
		}
	}
	return sign * s
}()
`

// skewable is the program with a clock that can be wrong: Go's time of day is ahead, the monotonic clock is not. What it has of C
// reads the right one.
func (f *hostFleet) skewable() string {
	t := f.t
	t.Helper()
	if f.skewed != "" {
		return f.skewed
	}
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	file := filepath.Join(folder, "time.go")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const reads = "sec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(text), reads, reads+"\tsec += aheadS\n", 1)
	if changed == string(text) {
		t.Fatalf("%s reads no clock", file)
	}
	overlay := map[string]map[string]string{"Replace": {
		file: filepath.Join(dir, "time.go"), filepath.Join(folder, "ahead.go"): filepath.Join(dir, "ahead.go"),
	}}
	list, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"time.go": changed, "ahead.go": wrongClock, "overlay.json": string(list)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(filepath.Dir(program), "vmscaler-skewed")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", out, "..")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %s\n%s", err, said)
	}
	f.skewed = out
	return out
}

// ahead is how far the clock of a host's agent is ahead.
func (f *hostFleet) ahead(name string) time.Duration {
	for _, h := range f.hosts {
		if h.name == name {
			return h.ahead
		}
	}
	return 0
}

// TestFleetWrongClocks: the clock of one host's agent is an hour ahead, and that of another one's an hour behind. Both are as up
// as the third, and said to be off, and no VM is too old by such a clock.
func TestFleetWrongClocks(t *testing.T) {
	f := newHostFleetBy(t, 1, func(h *fleetHost) {
		h.ahead = map[string]time.Duration{"hosta": 0, "hostb": time.Hour, "hostc": -time.Hour}[h.name]
		h.file = h.w.config(fleetGroup + "\nmax_lifetime: 30m")
		h.f.skewable() // so that all start at the same time
	})
	f.settled()
	f.until(fleetStep, "it is known how far the clocks are off", func() error { return f.clocksAreShown() })
	t.Log(f.must("host", "list", "-o", "wide"))
	for _, h := range f.hosts[1:] {
		side := map[bool]string{true: "ahead", false: "behind"}[h.ahead > 0]
		// What a sample takes on its way counts.
		want := regexp.MustCompile("the clock of " + h.name + " is (3599|3600|3601) s " + side)
		f.until(fleetStep, "the status says that the clock of "+h.name+" is "+side, func() error {
			if text := f.must("status", f.group); !want.MatchString(text) {
				return errors.New(text)
			}
			return nil
		})
	}
	f.fault("nothing, for as long as a host needs to be lost")
	f.decided(longEnough, "no host is silent, and no VM is replaced for its age", func() error {
		if len(f.decision.Hosts) > 0 || f.decision.Inputs.Overdue > 0 {
			return fmt.Errorf("hosts are %+v, %d VMs overdue", f.decision.Hosts, f.decision.Inputs.Overdue)
		}
		return nil
	})
	f.ends()
}

// clocksAreShown checks what the list of hosts says of their clocks.
func (f *hostFleet) clocksAreShown() error {
	var rows []struct {
		Name        string        `json:"name"`
		State       bus.HostState `json:"state"`
		Time        time.Time     `json:"time"`
		ClockAheadS *float64      `json:"clock_ahead_s"`
	}
	if err := json.Unmarshal([]byte(f.must("host", "list", "-o", "json")), &rows); err != nil {
		return err
	}
	if len(rows) != len(f.hosts) {
		return fmt.Errorf("%d hosts", len(rows))
	}
	for _, row := range rows {
		switch {
		case row.State != bus.HostUp:
			return fmt.Errorf("%s is %s", row.Name, row.State)
		case row.ClockAheadS == nil:
			return fmt.Errorf("the clock of %s is not known", row.Name)
		case math.Abs(*row.ClockAheadS-f.ahead(row.Name).Seconds()) > 2:
			return fmt.Errorf("%s is %g s ahead", row.Name, *row.ClockAheadS)
		case time.Since(row.Time).Abs() > time.Minute:
			return fmt.Errorf("the sample of %s is of %s", row.Name, row.Time)
		}
	}
	return nil
}
