//go:build fleet

package e2e

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// hostFleet is three hosts on one machine: each has a network, a name, a machine-id, a libvirtd and a NATS server of its own,
// which form a cluster over a switch whose links can be cut, and the stages as processes.
type hostFleet struct {
	t        *testing.T
	net      string // the first three numbers of the hosts' addresses
	fabric   *namespaces
	nkey     string // the file with the stages' seed
	user     string // its public name
	group    string
	spec     string // of the group
	max      int
	hosts    []*fleetHost
	deciders []*fleetHost // that have one
	skewed   string       // see skewable
	*fleetWatch
}

// fleetHost is one of them.
type fleetHost struct {
	*namespaces
	f       *hostFleet
	name    string
	address string
	port    string // of the switch
	l       *privateLibvirt
	w       *world
	id      bus.HostID
	file    string // the config
	procs   map[string]*process
	ahead   time.Duration // its agent's clock is
	foreign func()        // checks what is not ours

	dead    bool // it has no power
	excused bool // its VMs do not count toward max, as it is lost, or returns
}

// namespaces is a process that keeps the namespaces of a host.
type namespaces struct {
	t   *testing.T
	pid int
}

// newPlace makes namespaces for the network, the host's name and mounts, in which script has run as root.
func newPlace(t *testing.T, script string) *namespaces {
	t.Helper()
	cmd := exec.Command("sh", "-ec", "mount --make-rprivate /; ip link set lo up\n"+script+"\necho made; exec cat >/dev/null")
	own := uintptr(syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWNS)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: own, Setsid: true}
	stdin, err := cmd.StdinPipe() // it ends with the test, however that ends
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("make namespaces (this test needs root): %s", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "made\n" {
		t.Fatalf("make namespaces: it says %q, %v", line, err)
	}
	return &namespaces{t, cmd.Process.Pid}
}

// enter is a command that runs another one there.
func (p *namespaces) enter(more ...string) []string {
	return append([]string{"nsenter", "-t", strconv.Itoa(p.pid), "-n", "-u", "-m"}, more...)
}

// do runs a command there to its end.
func (p *namespaces) do(args ...string) {
	p.t.Helper()
	asRoot(p.t, append(p.enter("--"), args...)...)
}

// killAll ends all processes there at once, as a power cut does.
func (p *namespaces) killAll() {
	p.t.Helper()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", p.pid))
	if err != nil {
		p.t.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		p.t.Fatal(err)
	}
	for _, path := range all {
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		if net, err := os.Readlink(path); err == nil && net == own && pid != p.pid {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	}
}

// collectorGroup and actuatorGroup are the group IDs of those processes, by which a firewall knows them. libvirt wants them to
// have names; these are everywhere, and nobody is in them.
const (
	collectorGroup = 37 // operator
	actuatorGroup  = 60 // games
)

// newHostFleet starts three hosts with collectors and actuators, the first so many of them with deciders.
func newHostFleet(t *testing.T, deciders int) *hostFleet {
	t.Helper()
	return newHostFleetBy(t, deciders, func(*fleetHost) {})
}

// newHostFleetBy is newHostFleet with what is to be done on each host before its server starts.
func newHostFleetBy(t *testing.T, deciders int, before func(*fleetHost)) *hostFleet {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("three hosts on one machine need root")
	}
	b := make([]byte, 2)
	_, _ = rand.Read(b)
	f := &hostFleet{t: t, net: fmt.Sprintf("198.%d.%d", 18+b[0]%2, b[1]), spec: fleetGroup, max: fleetVMs}
	f.nkey, f.user = newUser(t)
	f.fabric = newPlace(t, "ip link add br0 type bridge; ip link set br0 up")
	observers := f.plug("test", 254, nil)
	asRoot(t, "ip", "addr", "add", f.net+".254/24", "dev", observers)
	asRoot(t, "ip", "link", "set", observers, "up")
	for i := range 3 {
		f.hosts = append(f.hosts, f.newHost(i))
	}
	f.deciders = f.hosts[:deciders]
	for _, h := range f.hosts {
		h.prepare()
	}
	for _, h := range f.hosts {
		before(h)
		h.startNATS()
	}
	f.fleetWatch = f.watchAll()
	for _, h := range f.hosts {
		h.startStages()
	}
	return f
}

// plug connects a place, or with nil the test's own, to the switch, and returns the name of its end there.
func (f *hostFleet) plug(name string, number int, p *namespaces) (inside string) {
	f.t.Helper()
	port := "port" + strconv.Itoa(number)
	inside = "eth0"
	if p == nil {
		inside = "vmsfleet" + f.net[strings.LastIndex(f.net, ".")+1:]
		asRoot(f.t, "ip", "link", "add", inside, "type", "veth", "peer", "name", port, "netns", strconv.Itoa(f.fabric.pid))
	} else {
		asRoot(f.t, "ip", "link", "add", port, "netns", strconv.Itoa(f.fabric.pid), "type", "veth", "peer", "name", inside,
			"netns", strconv.Itoa(p.pid))
	}
	f.fabric.do("ip", "link", "set", port, "master", "br0", "up")
	return inside
}

// newHost makes a host's namespaces, and connects it.
func (f *hostFleet) newHost(i int) *fleetHost {
	f.t.Helper()
	h := &fleetHost{
		f: f, name: "host" + string(rune('a'+i)), address: fmt.Sprintf("%s.%d", f.net, i+1), port: fmt.Sprintf("port%d", i+1),
		procs: map[string]*process{},
	}
	h.occupy(i + 1)
	return h
}

// occupy makes the namespaces of a host, with a machine-id of its own.
func (h *fleetHost) occupy(number int) {
	h.f.t.Helper()
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	file := filepath.Join(h.f.t.TempDir(), "machine-id")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%x\n", id), 0o644); err != nil {
		h.f.t.Fatal(err)
	}
	h.namespaces = newPlace(h.f.t, "mount --bind "+file+" /etc/machine-id; hostname "+h.name)
	h.f.plug(h.name, number, h.namespaces)
	h.do("ip", "addr", "add", h.address+"/24", "dev", "eth0")
	h.do("ip", "link", "set", "eth0", "up")
}

// prepare starts the host's libvirtd, with the template, a domain that is not ours, and a config.
func (h *fleetHost) prepare() {
	t := h.f.t
	t.Helper()
	h.l = newPrivateLibvirtWithin(t, h.enter("--", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")...)
	h.w = h.l.world()
	if h.f.group == "" {
		h.f.group = h.w.group
	}
	h.w.group = h.f.group
	h.w.uploadTiny()
	h.foreign = h.w.foreignOff(h.f.group + "-foreign")
	t.Cleanup(func() {
		h.w.forget(h.f.group + "-foreign")
		_ = os.Remove(filepath.Join(h.w.dir, template.VolumeName("tiny")))
	})
	h.file = h.w.config(h.f.spec)
}

// startNATS starts the host's server.
func (h *fleetHost) startNATS() {
	t := h.f.t
	t.Helper()
	program, err := buildServer()
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, other := range h.f.hosts {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+other.address+":6222"))
	}
	store := filepath.Join(h.l.dir, "nats")
	text := fmt.Sprintf(`server_name: %s
listen: "0.0.0.0:4222"
ping_interval: "2s"
ping_max: 2
jetstream {store_dir: %q, max_mem: 64MiB, max_file: 256MiB, sync_interval: always}
accounts {
  APP: {jetstream: enabled, users: [{nkey: %s}]}
  SYS: {users: [{user: sys, password: sys}]}
}
system_account: SYS
cluster {name: fleet, listen: "0.0.0.0:6222", routes: [%s], no_advertise: true, ping_interval: "2s", ping_max: 2}
`, h.name, store, h.f.user, strings.Join(routes, ", "))
	file := filepath.Join(h.l.dir, "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h.run("nats", program, "-c", file)
}

// run starts a process on the host.
func (h *fleetHost) run(what string, args ...string) *process {
	h.f.t.Helper()
	command := h.enter()
	switch what {
	case "collector":
		command = append(command, "-G", strconv.Itoa(collectorGroup))
	case "actuator":
		command = append(command, "-G", strconv.Itoa(actuatorGroup))
	}
	command = append(append(command, "--"), args...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(append(os.Environ(), h.w.env...), fmt.Sprintf("%s=%.0f", clockEnv, h.ahead.Seconds()))
	h.procs[what] = h.w.startProcess(h.name+"'s "+what, cmd)
	return h.procs[what]
}

// servers are the addresses of all servers, the host's own first.
func (h *fleetHost) servers() string {
	urls := []string{"nats://" + h.address + ":4222"}
	for _, other := range h.f.hosts {
		if other != h {
			urls = append(urls, "nats://"+other.address+":4222")
		}
	}
	return strings.Join(urls, ",")
}

// startStage starts one stage.
func (h *fleetHost) startStage(stage string) {
	h.f.t.Helper()
	stages := program
	if h.ahead != 0 {
		stages = h.f.skewable()
	}
	h.run(stage, stages, "--uri", h.w.uri, stage, "-c", h.file, "--nats-url", h.servers(), "--nats-nkey", h.f.nkey)
}

// stages are those that the host has.
func (h *fleetHost) stages() []string {
	for _, other := range h.f.deciders {
		if other == h {
			return []string{"collector", "actuator", "decider"}
		}
	}
	return []string{"collector", "actuator"}
}

func (h *fleetHost) startStages() {
	for _, stage := range h.stages() {
		h.startStage(stage)
	}
}

// identify learns the host's ID, from the stages' own rules, by a sample of its name.
func (f *hostFleet) identify() {
	f.t.Helper()
	f.until(fleetStep, "each host sends samples", func() error {
		for _, h := range f.hosts {
			id, found := f.ids[h.name]
			if !found {
				return fmt.Errorf("none of %s", h.name)
			}
			h.id = id
		}
		return nil
	})
}

// remote is how the test reaches a host's server.
func (h *fleetHost) remote() client.Remote {
	return client.Remote{URL: "nats://" + h.address + ":4222", Nkey: h.f.nkey}
}
