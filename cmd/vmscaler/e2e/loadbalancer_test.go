package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/traefik/genconf/dynamic"

	"github.com/vmscaler/vmscaler/bus"
)

// TestLoadBalancers: the real HAProxy and nginx, with the examples' configs and the examples' follower of the real /sd, lose no
// request while VMs come, are drained and go, all of them in the end, and while vmscaler's own HTTP is away. The VMs are HTTP
// servers on loopback, as with forwarded ports.
func TestLoadBalancers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, state, address, web := filepath.Join(dir, "vmscaler.yaml"), filepath.Join(dir, "state"), freeAddress(t), freeAddress(t)
	text := "bus:\n  listen: " + address + "\n  state_dir: " + state + "\ngroups:\n  - name: web\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startCommand(t, program, "run", "-c", file, "--stages", "bus", "--http", "off")
	f := newFleet(t)
	reportVMs(t, file, "nats://"+address, state, f.sample)
	serves := []string{program, "web", "-c", file, "--http", web}
	sd := startCommand(t, serves...)

	f.add("web-1")
	var loads []*load
	for name, start := range balancers() {
		at := start(t, dir, "http://"+web, "web")
		until(t, name+" answers", func() bool { return answers(at, "web-1") })
		loads = append(loads, startLoad(t, name, at, http.MethodPost, 0))
	}
	comes := func(vm string) {
		t.Helper()
		for _, l := range loads {
			until(t, l.name+" uses "+vm, func() bool { return l.uses(vm) })
		}
	}
	goes := func(vm string) {
		t.Helper()
		f.set(vm, bus.PhaseDraining)
		for _, l := range loads {
			until(t, l.name+" leaves "+vm, func() bool { return !l.uses(vm) })
		}
		until(t, vm+" has answered all", func() bool { return f.working(vm) == 0 })
		f.remove(vm)
	}
	f.add("web-2") // scaling out
	comes("web-2")
	f.add("web-3")
	comes("web-3")
	goes("web-1") // scaling in
	stopCommand(t, sd)
	for _, l := range loads {
		l.more(200) // what they have is still right
	}
	startCommand(t, serves...)
	for _, vm := range []string{"web-2", "web-3"} { // a refresh
		f.add(vm + "0")
		comes(vm + "0")
		goes(vm)
	}
	f.add("web-1") // a name and a port of before
	comes("web-1")
	report(t, loads)
}

// balancers start the load balancers that the examples are for, each in front of a group. Traefik is one of them where
// VMSCALER_TEST_TRAEFIK names its program (`make test-traefik`): no package of Debian has it.
func balancers() map[string]func(t *testing.T, dir, web, group string) (at string) {
	all := map[string]func(t *testing.T, dir, web, group string) string{"haproxy": startHAProxy, "nginx": startNginx}
	if os.Getenv("VMSCALER_TEST_TRAEFIK") != "" {
		all["traefik"] = startTraefik
	}
	return all
}

const follower = "../../../examples/loadbalancer/follow.py"

// startHAProxy runs HAProxy with the example's config, and follows.
func startHAProxy(t *testing.T, dir, web, group string) (at string) {
	t.Helper()
	root := unpacked(t, "haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")
	at, socket := freeAddress(t), filepath.Join(dir, "haproxy.sock")
	config := example(t, dir, "haproxy.cfg", "/run/haproxy/admin.sock", socket, "127.0.0.1:8000", at)
	startCommand(t, "/usr/bin/env", "LD_LIBRARY_PATH="+filepath.Join(root, "usr/lib/x86_64-linux-gnu"),
		filepath.Join(root, "usr/sbin/haproxy"), "-f", config, "-db")
	until(t, "HAProxy has its socket", func() bool { _, err := os.Stat(socket); return err == nil })
	startCommand(t, follower, "haproxy", "--vmscaler", web, "--group", group, "--backend", "web", "--socket", socket)
	return "http://" + at + "/"
}

// startNginx runs nginx with the example's config, and follows.
func startNginx(t *testing.T, dir, web, group string) (at string) {
	t.Helper()
	at = freeAddress(t)
	servers, pid := filepath.Join(dir, "servers.conf"), filepath.Join(dir, "nginx.pid")
	server := example(t, dir, "nginx.conf", "/etc/nginx/vmscaler-web.conf", servers, "127.0.0.1:8001", at)
	config := filepath.Join(dir, "whole.conf")
	text := "daemon off;\npid " + pid + ";\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		text += what + "_temp_path " + filepath.Join(dir, what) + ";\n"
	}
	for path, content := range map[string]string{
		config: text + "include " + server + ";\n}\n", servers: "server 127.0.0.1:1 down;\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	startCommand(t, filepath.Join(unpacked(t, "nginx"), "usr/sbin/nginx"), "-c", config, "-e", "stderr")
	until(t, "nginx runs", func() bool { data, err := os.ReadFile(pid); return err == nil && len(data) > 0 })
	reload := "kill -HUP $(cat " + pid + ")"
	startCommand(t, follower, "nginx", "--vmscaler", web, "--group", group, "--file", servers, "--reload", reload)
	return "http://" + at + "/"
}

// startTraefik runs Traefik with the example's configs, and follows.
func startTraefik(t *testing.T, dir, web, group string) (at string) {
	t.Helper()
	at = freeAddress(t)
	folder := filepath.Join(dir, "dynamic")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	config := example(t, dir, "traefik.yaml", "127.0.0.1:8002", at, "/etc/traefik/dynamic", folder)
	example(t, folder, "traefik-router.yaml")
	startCommand(t, os.Getenv("VMSCALER_TEST_TRAEFIK"), "--configFile="+config)
	startCommand(t, follower, "traefik", "--vmscaler", web, "--group", group, "--file", filepath.Join(folder, "vmscaler-web.yaml"))
	return "http://" + at + "/"
}

// example is one of the examples' configs with other paths and addresses.
func example(t *testing.T, dir, name string, changes ...string) (path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../../examples/loadbalancer", name))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(string(text), changes[i]) {
			t.Fatalf("%s has no %s", name, changes[i])
		}
	}
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(strings.NewReplacer(changes...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// unpacked is a folder with the files of the distribution's packages: the machine's own, where the first is installed, which is
// not done here: that would start services.
func unpacked(t *testing.T, packages ...string) (root string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join("/usr/sbin", packages[0])); err == nil {
		return "/"
	}
	cache := packageCache()
	if cache == "" {
		cache = t.TempDir()
	}
	root = filepath.Join(cache, "unpacked-"+packages[0])
	if _, err := os.Stat(root); err == nil {
		return root
	}
	in, done := t.TempDir(), filepath.Join(t.TempDir(), "root")
	get := exec.Command("apt-get", append([]string{"download"}, packages...)...)
	get.Dir = in
	if out, err := get.CombinedOutput(); err != nil {
		t.Fatalf("download %v: %v\n%s", packages, err, out)
	}
	files, err := filepath.Glob(filepath.Join(in, "*.deb"))
	if err != nil || len(files) != len(packages) {
		t.Fatalf("downloaded %q (%v)", files, err)
	}
	for _, f := range files {
		if out, err := exec.Command("dpkg-deb", "-x", f, done).CombinedOutput(); err != nil {
			t.Fatalf("unpack %s: %v\n%s", f, err, out)
		}
	}
	keep := exec.Command("sh", "-c", `mkdir -p "$1" && mv -T "$2" "$3" || test -d "$3"`, "sh", cache, done, root)
	if out, err := keep.CombinedOutput(); err != nil {
		t.Fatalf("keep them: %v\n%s", err, out)
	}
	return root
}

// startCommand runs a command until the test ends.
func startCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopCommand(t, cmd)
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%v printed:\n%s", args, text)
		}
		_ = log.Close()
	})
	return cmd
}

// stopCommand ends a command that may have ended.
func stopCommand(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if cmd.ProcessState == nil {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
}

// fleet are VMs: servers on loopback, and what a collector says of them.
type fleet struct {
	t       *testing.T
	mu      sync.Mutex
	servers map[string]*http.Server
	work    map[string]*atomic.Int64 // requests that a VM works on
	vms     []bus.VM
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, servers: map[string]*http.Server{}, work: map[string]*atomic.Int64{}}
}

func (f *fleet) working(name string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.work[name].Load()
}

func (f *fleet) sample(string) []bus.VM {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]bus.VM{}, f.vms...)
}

// add starts a VM that serves.
func (f *fleet) add(name string) {
	f.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	working := &atomic.Int64{}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		working.Add(1)
		defer working.Add(-1)
		time.Sleep(20 * time.Millisecond) // it works: there are always requests under way
		_, _ = io.WriteString(w, name)
	})}
	go func() { _ = server.Serve(listener) }()
	f.t.Cleanup(func() { _ = server.Close() })
	at := listener.Addr().(*net.TCPAddr)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers[name], f.work[name] = server, working
	f.vms = append(f.vms, bus.VM{
		Name: name, UUID: "uuid-" + at.String(), State: bus.StateRunning, Phase: bus.PhaseReady, VCPUs: 1, MemoryMiB: 256,
		Created: time.Now(), PhaseSince: time.Now(), Forwards: map[int]int{80: at.Port},
	})
}

func (f *fleet) set(name string, phase bus.Phase) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.vms {
		if f.vms[i].Name == name {
			f.vms[i].Phase = phase
		}
	}
}

// remove ends a VM at once.
func (f *fleet) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.servers[name].Close()
	f.vms = slices.DeleteFunc(f.vms, func(vm bus.VM) bool { return vm.Name == name })
}

// load asks for the same page again and again.
type load struct {
	t      *testing.T
	name   string
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu       sync.Mutex
	n        int
	last     []string // who has answered lately
	failures []string
}

// startLoad asks all the time, with a pause between an answer and the next request. A POST that was sent is never tried again, by
// no load balancer, so that it shows what a GET may hide.
func startLoad(t *testing.T, name, url, method string, pause time.Duration) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, name: name, cancel: cancel}
	t.Cleanup(func() { l.stop() })
	for range 4 {
		l.ended.Go(func() {
			for ctx.Err() == nil {
				l.note(ask(method, url))
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	return l
}

// ask is what a page says: a VM's name, or what is wrong. Each request has a connection of its own: on one that was used before
// the client would try again by itself.
func ask(method, url string) string {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "error: " + err.Error()
	}
	answer, err := client.Do(request)
	if err != nil {
		return "error: " + err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Sprintf("error: %d, %v", answer.StatusCode, err)
	}
	return string(body)
}

// answers reports whether a VM answers many times in a row: while nginx takes over its first servers, a process that has none
// goes on for a moment beside the one that has.
func answers(url, vm string) bool {
	for range 40 {
		if ask(http.MethodGet, url) != vm {
			return false
		}
	}
	return true
}

func (l *load) note(says string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	if strings.HasPrefix(says, "error: ") {
		l.failures = append(l.failures, says)
	}
	l.last = append(l.last, says)
	l.last = l.last[max(0, len(l.last)-60):]
}

// uses reports whether a VM has answered lately.
func (l *load) uses(vm string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.last, vm)
}

// more waits for so many requests more.
func (l *load) more(n int) {
	l.mu.Lock()
	goal := l.n + n
	l.mu.Unlock()
	until(l.t, "the load goes on", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.n >= goal
	})
}

func (l *load) stop() (n int, failures []string) {
	l.cancel()
	l.ended.Wait()
	return l.n, l.failures
}

// TestFollowForTraefik: what is written for Traefik is its format, for each VM that serves, and stays while nobody answers; and
// the example's router sends requests there. The format is that of Traefik's own types, which know all fields of a file.
func TestFollowForTraefik(t *testing.T) {
	t.Parallel()
	answers := make(chan string, 1)
	var now string
	sd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case now = <-answers:
		default:
		}
		if now == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, now)
	}))
	defer sd.Close()
	answers <- `[{"targets": ["192.168.122.7:80"], "labels": {"vm": "web-1"}},` +
		`{"targets": ["[2001:db8::1]:80"], "labels": {"vm": "web-2"}}]`
	file := filepath.Join(t.TempDir(), "web.yaml")
	startCommand(t, follower, "traefik", "--vmscaler", sd.URL, "--group", "web", "--file", file, "--every", "0.1")
	written := func(want ...string) func() bool {
		return func() bool {
			var got dynamic.Configuration
			data, err := os.ReadFile(file)
			if err != nil {
				return false // not yet
			}
			if err := yaml.UnmarshalWithOptions(data, &got, yaml.Strict()); err != nil {
				t.Fatalf("Traefik would not take\n%s\n%v", data, err)
			}
			var urls []string
			for _, s := range got.HTTP.Services["web"].LoadBalancer.Servers {
				urls = append(urls, s.URL)
			}
			return slices.Equal(urls, want)
		}
	}
	both := written("http://192.168.122.7:80", "http://[2001:db8::1]:80")
	until(t, "both are written", both)
	for _, bad := range []string{ // nothing of these is written
		"", `[{"targets": ["x;reboot:80"], "labels": {"vm": "web-1"}}]`,
		`[{"targets": ["192.168.122.7:x"], "labels": {"vm": "web-1"}}]`,
	} {
		answers <- bad
		until(t, "it has asked", func() bool { return len(answers) == 0 })
	}
	if !both() {
		t.Error("a wrong answer has changed the file")
	}
	answers <- "[]"
	until(t, "none is left", written())

	var router dynamic.Configuration
	data, err := os.ReadFile("../../../examples/loadbalancer/traefik-router.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(data, &router, yaml.Strict()); err != nil {
		t.Fatalf("Traefik would not take\n%s\n%v", data, err)
	}
	if r := router.HTTP.Routers["web"]; len(router.HTTP.Routers) != 1 || r.Service != "web" || r.Rule == "" {
		t.Errorf("the example's routers are %s, want one to the service web", data)
	}
}

// report stops the loads, none of whose requests may have failed.
func report(t *testing.T, loads []*load) {
	t.Helper()
	for _, l := range loads {
		if n, failures := l.stop(); len(failures) > 0 {
			t.Errorf("%s: %d of %d requests failed: %s", l.name, len(failures), n, failures[0])
		} else {
			t.Logf("%s: none of %d requests failed", l.name, n)
		}
	}
}
