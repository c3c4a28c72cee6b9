//go:build compose

package compose

import (
	"context"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/scenario"
)

// patience is how long a step may take on a slow, busy machine. Nothing waits for it when all is well.
const patience = 3 * time.Minute

// services are those of docker-compose.yml, and the health that `vmscaler health` knows each by.
var services = []struct{ name, health string }{
	{"bus", "bus"}, {"collector", "collector"}, {"decider", "decider"}, {"actuator", "actuator"}, {"dashboard", "bus"},
}

// TestCompose is one long test, as everything happens to the same five containers. With COMPOSE_UID and COMPOSE_GID set
// none of them is root; libvirt's socket must let that user or group in.
func TestCompose(t *testing.T) {
	w := newWorld(t)
	w.build()

	start := time.Now()
	w.compose("up", "-d")
	t.Logf("all five healthy %.1f s after `up -d` began", w.untilHealthy(start))
	w.listen()

	for _, step := range []struct {
		name string
		run  func(*testing.T, *world)
	}{
		{"confined", testConfined},
		{"one actuator", testOneActuator},
		{"story", testStory},
		{"dashboard", testDashboard},
		{"killed", testKilled},
		{"crashed", testCrashed},
		{"down", testDown},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, w.in(t)) }) {
			w.showLogs()
			t.FailNow()
		}
	}
}

// testConfined: no container has a capability that it does not need, or can write to its own file system.
func testConfined(t *testing.T, w *world) {
	for _, s := range services {
		effective, bounding := "0000000000000000", "0000000000000000"
		root := false
		if s.name == "collector" || s.name == "actuator" {
			bounding = "0000000000000004" // CAP_DAC_READ_SEARCH
			if root = os.Getenv("COMPOSE_UID") == ""; root {
				effective = bounding
			}
		}
		status := w.compose("exec", "-T", s.name, "cat", "/proc/1/status")
		for _, line := range []string{"CapEff:\t" + effective, "CapBnd:\t" + bounding, "NoNewPrivs:\t1"} {
			if !strings.Contains(status, line+"\n") {
				t.Errorf("%s: /proc/1/status has no line %q:\n%s", s.name, line, status)
			}
		}
		if is := strings.Contains(status, "Uid:\t0\t0\t0\t0\n"); is != root {
			t.Errorf("%s runs as root: %v, want %v", s.name, is, root)
		}
		for _, folder := range []string{"/", "/usr/local/bin"} {
			if out, err := w.tryCompose("exec", "-T", s.name, "touch", folder+"/x"); err == nil || !strings.Contains(out, "Read-only") {
				t.Errorf("%s may write to %s: %v\n%s", s.name, folder, err, out)
			}
		}
		if s.name == "bus" {
			continue
		}
		if out, err := w.tryCompose("exec", "-T", s.name, "touch", "/var/lib/vmscaler/x"); err == nil {
			t.Errorf("%s may write to the bus's state\n%s", s.name, out)
		}
	}
	for name, seen := range map[string]bool{
		"bus": false, "decider": false, "dashboard": false, "collector": true,
		"actuator": true,
	} {
		if _, err := w.tryCompose("exec", "-T", name, "test", "-e", "/run/libvirt/libvirt-sock"); (err == nil) != seen {
			t.Errorf("%s sees libvirt's socket: %v, want %v", name, err == nil, seen)
		}
	}
}

// testOneActuator: the lock in the container is the host's, and the free space is that of the pool's file system.
func testOneActuator(t *testing.T, w *world) {
	if _, held := host.FindHolder(w.uri); !held {
		t.Errorf("the host does not see the lock of %s by the actuator's container", w.uri)
	}
	out, err := w.tryCompose("exec", "-T", "actuator", "vmscaler", "down", w.group, "--yes")
	if err == nil || !strings.Contains(out, "acts on "+w.uri+" already") {
		t.Errorf("a second actor is not refused: %v\n%s", err, out)
	}
	w.until("a sample tells the pool's free space", func() bool { return w.sample.HostLoad.PoolFreeMiB != nil })
	var fs syscall.Statfs_t
	if err := syscall.Statfs(w.dir, &fs); err != nil {
		t.Fatal(err)
	}
	free := int(fs.Bavail * uint64(fs.Bsize) >> 20)
	if said := *w.sample.HostLoad.PoolFreeMiB; said < free*9/10 || said > free*11/10 {
		t.Errorf("free space of the pool: %d MiB, want about %d", said, free)
	}
}

// testStory plays the demonstration: growth to exactly three VMs, and back to one.
func testStory(t *testing.T, w *world) {
	start := time.Now()
	err := scenario.Run(t.Context(), scenario.Config{
		Conn: w.bus, Group: w.group, Patience: patience, Say: t.Logf,
		Load: func(ctx context.Context, name string) error {
			inv, err := vm.ReadInventory(w.conn)
			if err != nil {
				return err
			}
			vms, err := inv.FindVMs(name)
			if err != nil {
				return err
			}
			return vm.Stress(ctx, w.conn, vms, vm.Load{Workers: 1, Percent: 100, Duration: time.Hour}, func(string) {})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the story took %.1f s", since(start))
	if out := w.compose("exec", "-T", "actuator", "sh", "-c", "cat /var/lib/vmscaler-actuator/volumes/*.json"); !strings.Contains(
		out,
		`"inode"`,
	) {
		t.Errorf("the records of what was made do not say which files:\n%s", out)
	}
}

// testDashboard: a dashboard of one's own shows the group and ends at 'q', and the service's is there to attach to.
func testDashboard(t *testing.T, w *world) {
	show := func(command []string, keys ...string) {
		t.Helper()
		screen := w.terminal(command)
		deadline := time.Now().Add(patience)
		for text := screen.text(); ; text = screen.text() {
			if strings.Contains(text, w.group+"-1") && strings.Contains(text, "ready") {
				t.Logf("%s shows:\n%s", strings.Join(command, " "), strings.TrimRight(text, "\n"))
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not show %s-1 as ready:\n%s", strings.Join(command, " "), w.group, text)
			}
			time.Sleep(200 * time.Millisecond)
		}
		screen.press(keys...)
	}
	show(w.composeLine("exec", "dashboard", "vmscaler", "dashboard"), "q")
	show([]string{"docker", "attach", w.container("dashboard")}, "C-p", "C-q")
	// Compose 1 links a container of `run` to those of the same service that run, which the host's network excludes.
	w.compose("stop", "dashboard")
	show(w.composeLine("run", "--rm", "dashboard"), "q")
	start := time.Now()
	w.compose("up", "-d")
	w.untilHealthy(start)
}

// testKilled: each container in turn is killed and started again; the VM stays what it was.
func testKilled(t *testing.T, w *world) {
	for _, s := range services {
		before := w.vms()
		w.compose("kill", s.name)
		if w.healthy(s.name) {
			t.Fatalf("%s is healthy after it was killed", s.name)
		}
		start := time.Now()
		w.compose("up", "-d")
		w.untilDecided(start)
		decided := since(start)
		t.Logf(
			"%-9s killed: decisions again %4.1f s after `up -d` began, all five healthy after %4.1f s",
			s.name,
			decided,
			w.untilHealthy(start),
		)
		w.same(before)
	}
}

// testCrashed: all processes end at once, and nobody does anything.
func testCrashed(t *testing.T, w *world) {
	if os.Geteuid() != 0 {
		t.Fatal("run this as root: only root may kill the containers' processes")
	}
	before := w.vms()
	start := time.Now()
	for _, s := range services {
		if err := syscall.Kill(w.pid(s.name), syscall.SIGKILL); err != nil {
			t.Fatalf("kill the process of %s: %s", s.name, err)
		}
	}
	w.untilDecided(start)
	decided := since(start)
	t.Logf("all crashed: decisions again after %.1f s, all five healthy after %.1f s", decided, w.untilHealthy(start))
	w.same(before)
}

// testDown removes the group as docker-compose.yml says, and then the containers.
func testDown(t *testing.T, w *world) {
	w.compose("stop", "actuator")
	w.compose("run", "--rm", "-T", "actuator", "down", w.group, "--yes", "--shutdown-timeout", "10s")
	if vms := w.vms(); len(vms) > 0 {
		t.Errorf("left by down: %v", vms)
	}
	w.compose("down")
	for what, command := range map[string][]string{
		"container": {"docker", "ps", "-aq", "--filter", "label=com.docker.compose.project=" + w.project},
		"network":   {"docker", "network", "ls", "-q", "--filter", "label=com.docker.compose.project=" + w.project},
	} {
		if left := w.must(command...); left != "" {
			t.Errorf("left by `compose down`: %s %s", what, left)
		}
	}
}

// untilDecided waits for a decision that was made after a moment, on the one VM that is ready.
func (w *world) untilDecided(after time.Time) {
	w.t.Helper()
	w.until("the decider decides on one ready VM", func() bool {
		d := w.decision
		return d.Time.After(after) && d.Desired == 1 && d.Inputs.Ready == 1 && d.Inputs.AveragePercent != nil &&
			w.sample.Time.After(after)
	})
}

// same checks that libvirt has the VMs of before, and no others.
func (w *world) same(before map[string]string) {
	w.t.Helper()
	if after := w.vms(); len(before) != 1 || !maps.Equal(before, after) {
		w.t.Errorf("VMs before: %v, after: %v, want the one and the same", before, after)
	}
}

func since(t time.Time) float64 { return time.Since(t).Seconds() }
