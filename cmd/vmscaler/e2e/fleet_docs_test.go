//go:build fleet

package e2e

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestFleetByTheDocs: docs/fleet.md as it is there, with the program's commands alone, but without VMs: three members of one
// cluster by certificates that it makes, a fourth host that joins by a token, and a member that is cut off and comes back.
func TestFleetByTheDocs(t *testing.T) {
	f := newWalk(t)
	members, fourth := f.hosts[:3], f.hosts[3]
	f.certificates(members)
	for _, h := range members {
		h.writeMember(members)
		h.run("run", program, "--uri", h.w.uri, "run", "--stages", "bus,decider,collector", "-c", h.file)
	}
	first, last := members[0], members[2]
	for _, h := range members {
		f.until(fleetStep, "the members are one bus by "+h.name, func() error {
			return h.says([]string{"host", "list"}, `hosta +up`, `hostb +up`, `hostc +up`)
		})
	}
	out := first.tell("host", "add", fourth.name)
	_, line, found := strings.Cut(out, " host join ")
	if !found {
		t.Fatalf("no command in %s", out)
	}
	join := append([]string{"host", "join"}, strings.Fields(line)...)
	f.until(fleetStep, "a host joins, and knows each member by name", func() error {
		// The bus looks at its folder twice a second.
		return fourth.says(join, `this host is hostd`, `tls://hosta:4222`, `tls://hostb:4222`, `tls://hostc:4222`)
	})
	f.fault("the link of " + last.name + " is down")
	last.cut()
	f.until(fleetStep, last.name+" is lost", func() error {
		return first.says([]string{"host", "list"}, `hosta +up`, `hostb +up`, `hostc +lost`)
	})
	f.fault("the link of " + last.name + " is up")
	last.mend()
	f.until(fleetStep, "it is back", func() error {
		return first.says([]string{"host", "list"}, `hosta +up`, `hostb +up`, `hostc +up`)
	})
	for _, h := range members {
		h.procs["run"].stop()
		if bad := h.procs["run"].lines("route handshake error"); len(bad) > 0 {
			t.Errorf("%s: certificates and addresses do not fit, %d times: %s", h.name, len(bad), bad[0])
		}
	}
}

// newWalk makes four hosts which know each other by name, with libvirt's test driver, and on which nothing of ours runs yet.
func newWalk(t *testing.T) *hostFleet {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("four hosts on one machine need root")
	}
	b := make([]byte, 2)
	_, _ = rand.Read(b)
	f := &hostFleet{t: t, net: fmt.Sprintf("198.%d.%d", 18+b[0]%2, b[1])}
	f.fleetWatch = &fleetWatch{f: f, seen: map[string]*fleetSeen{}, began: time.Now()}
	f.fabric = newPlace(t, "ip link add br0 type bridge; ip link set br0 up")
	known := "127.0.0.1 localhost\n"
	for i := range 4 {
		h := f.newHost(i)
		h.dead = true // it has no libvirtd
		h.w = &world{t: t, uri: "test:///default", state: t.TempDir(), ended: make(chan *process, 1)}
		h.w.env = []string{
			"VMSCALER_STATE_DIR=" + h.w.state, "VMSCALER_LOCK_DIR=" + t.TempDir(), "XDG_STATE_HOME=" + t.TempDir(), "NO_COLOR=1",
			"VMSCALER_HTTP=off",
		}
		f.hosts = append(f.hosts, h)
		known += h.address + " " + h.name + "\n"
	}
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte(known), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, h := range f.hosts {
		h.do("mount", "--bind", file, "/etc/hosts")
	}
	return f
}

// certificates makes those of the members on the first one, and copies them as the page says.
func (f *hostFleet) certificates(members []*fleetHost) {
	f.t.Helper()
	args := []string{"bus", "certificate"}
	for _, h := range members {
		args = append(args, h.name)
	}
	members[0].tell(args...)
	for _, h := range members[1:] {
		from := filepath.Join(members[0].w.state, "certificates", h.name)
		if err := os.CopyFS(filepath.Join(h.w.state, "certificates", h.name), os.DirFS(from)); err != nil {
			f.t.Fatal(err)
		}
	}
}

// writeMember writes a member's config.
func (h *fleetHost) writeMember(members []*fleetHost) {
	h.f.t.Helper()
	var routes []string
	for _, m := range members {
		routes = append(routes, m.name+":6222")
	}
	text := fmt.Sprintf(`libvirt: {pool: default-pool}
bus:
  listen: 0.0.0.0:4222
  cert: %[1]s/bus.crt
  key: %[1]s/bus.key
  cluster:
    members: %[2]s
    name: %[3]s
    listen: 0.0.0.0:6222
    ca: %[1]s/ca.crt
groups:
- name: web
  template: demo
  min: 0
  max: 9
`, filepath.Join(h.w.state, "certificates", h.name), strings.Join(routes, ","), h.name)
	h.file = filepath.Join(h.f.t.TempDir(), "vmscaler.yaml")
	if err := os.WriteFile(h.file, []byte(text), 0o644); err != nil {
		h.f.t.Fatal(err)
	}
}

// try runs a command of the program on the host to its end.
func (h *fleetHost) try(args ...string) (string, error) {
	command := append(h.enter("--", program, "--uri", h.w.uri), args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), h.w.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("vmscaler %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (h *fleetHost) tell(args ...string) string {
	h.f.t.Helper()
	out, err := h.try(args...)
	if err != nil {
		h.f.t.Fatal(err)
	}
	return out
}

// says checks that each pattern is in what a command prints.
func (h *fleetHost) says(args []string, patterns ...string) error {
	out, err := h.try(args...)
	for _, pattern := range patterns {
		if err == nil && !regexp.MustCompile(pattern).MatchString(out) {
			err = fmt.Errorf("no %s in\n%s", pattern, out)
		}
	}
	return err
}
