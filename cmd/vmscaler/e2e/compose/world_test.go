//go:build compose

package compose

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template/demo"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/scenario"
)

// world is what the test has: a pool and a group in the machine's libvirt, and a Compose project.
type world struct {
	t       *testing.T
	root    string // the repository
	uri     string
	conn    *libvirt.Connect
	dir     string // the pool's folder
	group   string
	project string
	image   string
	url     string // of the bus
	env     []string
	line    []string // how Compose is called here

	bus       *client.Conn
	samples   chan bus.Sample
	decisions chan bus.Decision
	// The newest messages.
	sample   bus.Sample
	decision bus.Decision
}

// in is the world in a subtest, which is the one to fail.
func (w *world) in(t *testing.T) *world {
	in := *w
	in.t = t
	return &in
}

func newWorld(t *testing.T) *world {
	root, err := filepath.Abs("../../../..")
	if err != nil {
		t.Fatal(err)
	}
	id := strings.Map(func(r rune) rune { // letters only: a group's name does not end in a number
		if r >= '2' && r <= '7' {
			return 'a' + r - '2'
		}
		return r
	}, strings.ToLower(rand.Text()[:6]))
	name := "compose-" + id
	w := &world{t: t, root: root, uri: host.SystemURI, group: name, project: "vmscaler-" + name, image: "vmscaler-test:" + id}
	w.line = []string{"docker-compose"}
	if exec.Command("docker", "compose", "version").Run() == nil {
		w.line = []string{"docker", "compose"}
	}
	w.makePool(name)

	listen := freeAddress(t)
	w.url = "nats://" + listen
	config := filepath.Join(t.TempDir(), "vmscaler.yaml")
	text := fmt.Sprintf(
		"libvirt:\n  pool: %s\ngroups:\n  - name: %s\n    network: user\n    policy:\n      upper: %d\n      lower: %d\n",
		name,
		w.group,
		scenario.UpperPercent,
		scenario.LowerPercent,
	)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	locks := t.TempDir()
	if gid, err := strconv.Atoi(os.Getenv("COMPOSE_GID")); err == nil && nonRoot() != "" {
		if err := errors.Join(os.Chown(locks, 0, gid), os.Chmod(locks, 0o775|os.ModeSetgid)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("VMSCALER_LOCK_DIR", locks) // also for this process, which looks for the lock
	w.env = append(os.Environ(), "COMPOSE_PROJECT_NAME="+w.project, "VMSCALER_IMAGE="+w.image, "VMSCALER_FILE="+config,
		"VMSCALER_BUS_LISTEN="+listen, "VMSCALER_POOL_DIR="+w.dir, "VMSCALER_LOCK_DIR="+locks, "VMSCALER_URI="+w.uri,
		"VMSCALER_UID="+os.Getenv("COMPOSE_UID"), "VMSCALER_LIBVIRT_UID="+nonRoot())
	return w
}

// nonRoot is as whom the containers that need libvirt run, "" for root.
func nonRoot() string {
	if os.Getenv("COMPOSE_UID") == "" {
		return ""
	}
	return os.Getenv("COMPOSE_UID") + ":" + os.Getenv("COMPOSE_GID")
}

// makePool connects to libvirt and makes a storage pool with the demo template.
func (w *world) makePool(name string) {
	w.t.Helper()
	dialer, err := host.NewDialer()
	if err != nil {
		w.t.Fatal(err)
	}
	if w.conn, err = dialer.Dial(w.t.Context(), w.uri); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _, _ = w.conn.Close() })
	// Not below the user's home, which the hypervisor's user may not enter.
	if w.dir, err = os.MkdirTemp("/var/tmp", "vmscaler-compose-"); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = os.RemoveAll(w.dir) })
	if err := os.Chmod(w.dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	pool, err := w.conn.StoragePoolDefineXML(fmt.Sprintf(
		`<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>`, name, w.dir), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = pool.Destroy()
		if err := pool.Undefine(); err != nil {
			w.t.Errorf("drop the pool: %s", err)
		}
		_ = pool.Free()
	})
	if err := pool.Create(0); err != nil {
		w.t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err == nil { // without one the guest's packages are downloaded each time
		cache = filepath.Join(cache, "vmscaler", "packages")
	}
	file := filepath.Join(w.t.TempDir(), "template.qcow2")
	if _, err := demo.Build(w.t.Context(), demo.Config{Output: file, CacheDir: cache}); err != nil {
		w.t.Fatal(err)
	}
	if err := template.Upload(w.t.Context(), w.conn, template.Target{Pool: name, Name: "demo"}, file, nil); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		w.removeVMs()
		entries, err := os.ReadDir(w.dir)
		if err != nil {
			w.t.Error(err)
		}
		for _, e := range entries {
			if e.Name() != template.VolumeName("demo") {
				w.t.Errorf("left in the pool: %s", e.Name())
			}
		}
	})
}

// removeVMs is for a test that has failed; it says so where there were any.
func (w *world) removeVMs() {
	inv, err := vm.ReadInventory(w.conn)
	if err != nil {
		w.t.Error(err)
		return
	}
	if vms := inv.Group(w.group); len(vms) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := vm.Down(ctx, w.conn, vms, 5*time.Second, func(bus.Event) {}); err != nil {
			w.t.Error(err)
		}
		w.t.Errorf("%d VMs were left, and are removed now", len(vms))
	}
}

// freeAddress is an address of this machine that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// build builds the image.
func (w *world) build() {
	w.t.Helper()
	// The host's network: an engine may have no other.
	args := []string{"docker", "build", "--network=host", "--tag", w.image, "--build-arg", "VERSION=test"}
	if uid := os.Getenv("COMPOSE_UID"); uid != "" {
		args = append(args, "--build-arg", "UID="+uid)
	}
	for _, name := range []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOFLAGS"} {
		if value, set := os.LookupEnv(name); set {
			args = append(args, "--build-arg", name+"="+value)
		}
	}
	start := time.Now()
	w.must(append(args, w.root)...)
	w.t.Cleanup(func() {
		w.compose("down", "--volumes", "--remove-orphans")
		if left := w.must("docker", "volume", "ls", "-q", "--filter", "label=com.docker.compose.project="+w.project); left != "" {
			w.t.Errorf("left: volume %s", left)
		}
		w.must("docker", "rmi", "--force", w.image)
	})
	size, err := strconv.Atoi(w.must("docker", "image", "inspect", "--format", "{{.Size}}", w.image))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("image of %d MB built in %.1f s", size/1e6, since(start))
}

// try runs a command and returns what it says.
func (w *world) try(line ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Dir, cmd.Env = w.root, w.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String() + errs.String(), fmt.Errorf("%s: %w", strings.Join(line, " "), err)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

func (w *world) must(line ...string) string {
	w.t.Helper()
	out, err := w.try(line...)
	if err != nil {
		w.t.Fatalf("%s\n%s", err, out)
	}
	return out
}

func (w *world) composeLine(args ...string) []string {
	line := append([]string{}, w.line...)
	return append(append(line, "--file", filepath.Join(w.root, "docker-compose.yml")), args...)
}

func (w *world) compose(args ...string) string {
	w.t.Helper()
	return w.must(w.composeLine(args...)...)
}

func (w *world) tryCompose(args ...string) (string, error) { return w.try(w.composeLine(args...)...) }

// container is the id of a service's container, "" where it does not run.
func (w *world) container(service string) string {
	out, err := w.try("docker", "ps", "-q", "--no-trunc", "--filter", "label=com.docker.compose.project="+w.project,
		"--filter", "label=com.docker.compose.service="+service, "--filter", "label=com.docker.compose.oneoff=False")
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// pid is a service's process, as the host numbers it.
func (w *world) pid(service string) int {
	w.t.Helper()
	pid, err := strconv.Atoi(w.must("docker", "inspect", "--format", "{{.State.Pid}}", w.container(service)))
	if err != nil || pid < 2 {
		w.t.Fatalf("process of %s: %d, %v", service, pid, err)
	}
	return pid
}

// healthy says what Docker thinks of a service.
func (w *world) healthy(service string) bool {
	id := w.container(service)
	if id == "" {
		return false
	}
	out, err := w.try("docker", "inspect", "--format", "{{.State.Health.Status}}", id)
	return err == nil && out == "healthy"
}

// untilHealthy waits until Docker thinks well of all services, and returns how many seconds after start that was. Then
// it asks vmscaler itself: Docker's opinion is as old as its last check.
func (w *world) untilHealthy(start time.Time) float64 {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for _, s := range services {
		for !w.healthy(s.name) {
			if time.Now().After(deadline) {
				out, _ := w.try("docker", "inspect", "--format", "{{json .State.Health}}", w.container(s.name))
				w.showLogs()
				w.t.Fatalf("%s is not healthy: %s", s.name, out)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	took := time.Since(start).Seconds()
	for _, s := range services {
		w.compose("exec", "-T", s.name, "vmscaler", "health", s.health)
	}
	return took
}

func (w *world) showLogs() {
	out, err := w.tryCompose("logs", "--no-color", "--tail", "100")
	w.t.Logf("logs (%v):\n%s", err, out)
}

// listen subscribes to the bus, as anyone on this machine may.
func (w *world) listen() {
	w.t.Helper()
	conn, err := client.Dial(client.Remote{URL: w.url}, "compose-test", zerolog.Nop())
	if err != nil {
		w.t.Fatal(err)
	}
	w.bus = conn
	w.t.Cleanup(conn.Close)
	w.samples, w.decisions = make(chan bus.Sample, 16), make(chan bus.Decision, 16)
	if err := errors.Join(client.Subscribe(conn, bus.AllSamples, w.samples),
		client.Subscribe(conn, bus.AllDecisions, w.decisions)); err != nil {
		w.t.Fatal(err)
	}
}

// until waits until holds is true of the newest messages.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		select {
		case <-deadline.C:
			w.t.Fatalf("it does not happen that %s; last decision: %q; last sample: %+v", what, w.decision.Sentence, w.sample.VMs)
		case s := <-w.samples:
			if s.Group == w.group {
				w.sample = s
			}
		case d := <-w.decisions:
			if d.Group == w.group {
				w.decision = d
			}
		}
		if holds() {
			return
		}
	}
}

// vms are the group's VMs that libvirt has: the UUID of each name.
func (w *world) vms() map[string]string {
	w.t.Helper()
	inv, err := vm.ReadInventory(w.conn)
	if err != nil {
		w.t.Fatal(err)
	}
	vms := map[string]string{}
	for _, vm := range inv.Group(w.group) {
		vms[vm.Name] = vm.UUID
	}
	return vms
}

// screen is a command in a terminal of its own.
type screen struct {
	w      *world
	socket string
}

func (w *world) terminal(command []string) *screen {
	w.t.Helper()
	s := &screen{w, filepath.Join(w.t.TempDir(), "tmux")}
	quoted := make([]string, 0, len(command))
	for _, word := range command {
		quoted = append(quoted, "'"+word+"'")
	}
	w.must("tmux", "-S", s.socket, "-f", "/dev/null", "-u", "new-session", "-d", "-x", "110", "-y", "32", strings.Join(quoted, " "))
	w.t.Cleanup(func() { _, _ = w.try("tmux", "-S", s.socket, "kill-server") })
	return s
}

func (s *screen) text() string {
	out, err := s.w.try("tmux", "-S", s.socket, "capture-pane", "-p")
	if err != nil {
		return err.Error()
	}
	return out
}

// press presses keys and waits until the command has ended.
func (s *screen) press(keys ...string) {
	s.w.t.Helper()
	s.w.must(append([]string{"tmux", "-S", s.socket, "send-keys"}, keys...)...)
	deadline := time.Now().Add(patience)
	for {
		if _, err := s.w.try("tmux", "-S", s.socket, "has-session"); err != nil {
			return
		}
		if time.Now().After(deadline) {
			s.w.t.Fatalf("it does not end at the keys %v:\n%s", keys, s.text())
		}
		time.Sleep(100 * time.Millisecond)
	}
}
