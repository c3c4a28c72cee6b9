package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus/client"
)

// buildServer builds NATS's own server, of the version that is embedded.
var buildServer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(program), "nats-server")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build nats-server: %w\n%s", err, out)
	}
	return path, nil
})

// natsServer starts NATS's own server with what else its config is to say, and returns its address.
func (w *world) natsServer(config string) string {
	w.t.Helper()
	path, err := buildServer()
	if err != nil {
		w.t.Fatal(err)
	}
	address := freeAddress(w.t)
	file := filepath.Join(w.t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte("listen: "+address+"\n"+config), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.startProcess("nats-server", exec.Command(path, "-c", file)).says("Server is ready")
	return address
}

// jetStream is the part of a server's config that switches JetStream on.
func (w *world) jetStream() string {
	return fmt.Sprintf("jetstream {store_dir: %q}\n", w.t.TempDir())
}

// newUser makes an nkey: the file with its seed, and its public name.
func newUser(t *testing.T) (seedFile, public string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = key.PublicKey(); err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	seedFile = filepath.Join(t.TempDir(), "user.nk")
	if err := os.WriteFile(seedFile, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return seedFile, public
}

// TestExternalServer: all stages join a NATS server that wants credentials and has JetStream. The history is kept
// there, and nothing of a bus of our own is started.
func TestExternalServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed, user := newUser(t)
	url := "nats://" + w.natsServer(w.jetStream()+fmt.Sprintf("authorization {users: [{nkey: %s}]}\n", user))
	login := []string{"--nats-url", url, "--nats-nkey", seed}
	config := w.config("min: 1")
	w.refused([]string{"run", "--no-dashboard", "-c", config, "--nats-url", url}, url, "credentials of role", "--nats-nkey")

	p := w.spawnRun(config, login...)
	b := w.watch(client.Remote{URL: url, Nkey: seed})
	b.untilReady(1)
	out := w.must(append([]string{"events", w.group}, login...)...)
	if !containsAll(out, " creating ", " started ", " ready ", "desired 0 -> 1", w.group+"-1") {
		t.Errorf("events on another server:\n%s", out)
	}
	// The bus is no stage of ours.
	if out := w.must(append([]string{"health"}, login...)...); !containsAll(out, "collector: ", "decider: ", "actuator: ") {
		t.Errorf("health on another server:\n%s", out)
	}
	w.must(append([]string{"health", "bus"}, login...)...)
	if listens := listeners(t, p.cmd.Process.Pid); len(listens) > 0 {
		t.Errorf("vmscaler listens on %v, want no bus of its own", listens)
	}
	files, err := os.ReadDir(w.state)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	if err != nil || !slices.Equal(names, []string{"consoles", "term.json", "volumes"}) {
		t.Errorf("the state folder has %v (%v), want the actuator's consoles, term and records alone", names, err)
	}
	p.stop()
}

// TestServerWithoutJetStream: there is no history, which is said once; nothing waits for it.
func TestServerWithoutJetStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := "nats://" + w.natsServer("")
	p := w.spawn("actuator", "-c", w.config(""), "--nats-url", url)
	p.says("no JetStream", "no history is kept")
	w.refused([]string{"events", "--nats-url", url}, "no history", "no JetStream")
	p.stop()
}

// listeners are the addresses on which a process listens.
func listeners(t *testing.T, pid int) []string {
	t.Helper()
	open := map[string]bool{} // sockets by their inode
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("files of process %d: %v, %v", pid, fds, err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && strings.HasPrefix(target, "socket:[") {
			open[strings.Trim(target, "socket:[]")] = true
		}
	}
	var found []string
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
			field := strings.Fields(lines.Text())
			if len(field) > 9 && field[3] == "0A" /* LISTEN */ && open[field[9]] {
				found = append(found, field[1])
			}
		}
		_ = f.Close()
	}
	return found
}
