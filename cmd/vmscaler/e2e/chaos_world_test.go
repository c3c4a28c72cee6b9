package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
)

// uuidIn finds a UUID.
var uuidIn = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// settleBound is how long a group may take until all is well again after a fault. The longest wait in the program is the
// back-off after launches that failed, up to a minute.
const settleBound = 100 * time.Second

// place is where a fault happens: which processes there are, and what the VMs are.
type place struct {
	name      string
	split     bool // a process for each stage
	external  bool // NATS's own server
	smallPool bool // the storage pool has 64 MiB
	guest     bool // a guest with an agent, in place of the tiny one
	brakes    bool // early deaths count, shutdowns have more time, and there may be eight VMs
}

// The group of the tiny guests: quick in everything, and never stopped for long by a brake. Four busy guests on two cores
// have half of one each.
const tinyGroup = `template: tiny

min: 2
max: 4
memory: 32MiB
disks: [{size: 1MiB}]
cloud_init: {user_data: "#!/bin/sh"}
ready_when: uptime
ready_after: 1s
boot_timeout: 20s
shutdown_timeout: 3s
wake_for: 2s
blind_after: 5s
repair: {health_grace: 5s}
brakes: {launch_failures: 3, launch_pause: 5s, early_death: 0s, removals: 1000}
policy: {upper: 20, lower: 8, interval: 500ms, breaches_out: 3, breaches_in: 4, cooldown_out: 1s, cooldown_in: 1s, warmup: 1s}`

// The group of guests with an agent: one VM, as emulation is slow.
const agentGroup = `min: 1

max: 2
boot_timeout: 30s
shutdown_timeout: 5s
repair: {health_grace: 5s}
brakes: {launch_failures: 3, launch_pause: 5s, early_death: 0s, removals: 1000}
policy: {upper: 99, breaches_out: 1000}`

// buildFaulty builds the program with the steps at which it can be told to die.
var buildFaulty = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(program), "vmscaler-faults")
	if out, err := exec.Command("go", "build", "-tags", "faults", "-o", path, "..").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build -tags faults: %w\n%s", err, out)
	}
	return path, nil
})

// chaos is a world that faults happen to, and what is known of it.
type chaos struct {
	*world
	t        *testing.T
	place    place
	rng      *rand.Rand
	l        *privateLibvirt
	binary   string
	address  string
	url      string
	file     string   // the config
	wrap     []string // a command that runs the stages, if any
	login    []string // of stages and commands, on a server that is not embedded
	procs    map[string]*process
	want     int // VMs, when all is well
	max      int
	base     []string // files in the pool's folder that are not of VMs
	foreign  func()   // checks that what is not ours is as it was
	sums     map[string]string
	domains  *lookout
	messages *listener
	fuzz     *fuzzer
	epoch    time.Time // from when on the history must be complete
	early    map[*process]usage
	oldest   life
}

// newChaos makes a world, starts everything in it, and waits until all is well.
func newChaos(t *testing.T, where place, rng *rand.Rand) *chaos {
	t.Helper()
	binary, err := buildFaulty()
	if err != nil {
		t.Fatal(err)
	}
	l := newPrivateLibvirt(t)
	if where.smallPool {
		l.mkdir("pool")
		mountSmall(t, filepath.Join(l.dir, "pool"))
	}
	c := &chaos{
		world: l.world(), t: t, place: where, rng: rng, l: l, binary: binary, address: freeAddress(t), procs: map[string]*process{},
		want: 2, max: 4, epoch: time.Now(), early: map[*process]usage{}, sums: map[string]string{},
	}
	c.url = "nats://" + c.address
	group := tinyGroup
	if where.guest {
		group, c.want, c.max = agentGroup, 1, 2
	}
	if where.brakes {
		group, c.max = strings.NewReplacer("max: 4", "max: 8", "shutdown_timeout: 3s", "shutdown_timeout: 15s", "early_death: 0s",
			"early_death: 5s").
			Replace(group),
			8
	}
	c.file = c.quickConfig(group)
	c.uploadTiny()
	fileIsWhole, domainIsWhole := c.foreignFile("someone.qcow2"), c.foreignOff("someone")
	c.foreign = func() {
		c.t.Helper()
		fileIsWhole()
		domainIsWhole()
	}
	c.base = append(c.files(), template.VolumeName("demo"))
	for _, name := range []string{"demo", "tiny"} {
		c.sums[name] = fileSum(t, c.disk(name))
	}
	t.Cleanup(c.tidy)
	c.domains = c.startLookout()
	if where.external {
		c.prepareServer()
	}
	c.startAll()
	c.messages = c.startListener()
	c.fuzz = c.startFuzzer()
	c.settle("the start")
	return c
}

// quickConfig is config with a sweep that does not wait for long.
func (w *world) quickConfig(group string) string {
	w.t.Helper()
	path := w.config(group)
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "  sweep_grace: 2s\n"...), 0o644); err != nil { // it ends with the section host
		w.t.Fatal(err)
	}
	return path
}

// disk is where a template lies.
func (c *chaos) disk(name string) string { return filepath.Join(c.dir, template.VolumeName(name)) }

// tidy brings the world into an order in which it can be taken down, whatever a fault has left.
func (c *chaos) tidy() {
	c.fuzz.stop()
	c.mendLibvirt()
	c.domains.stop()
	if len(c.vms()) > 0 {
		if out, err := c.command("down", c.group, "--yes", "--shutdown-timeout", "1s").CombinedOutput(); err != nil {
			c.t.Errorf("vmscaler down: %s\n%s", err, out)
		}
	}
	if dom, err := c.conn.LookupDomainByName("someone"); err == nil {
		_ = dom.Undefine()
		_ = dom.Free()
	}
	_ = os.Remove(filepath.Join(c.dir, "someone.qcow2"))
	_ = os.Remove(c.disk("tiny"))
}

// stages are the processes of a place, in the order of their start.
func (c *chaos) stages() []string {
	switch {
	case c.place.external:
		return []string{"nats", "collector", "decider", "actuator"}
	case c.place.split:
		return []string{"bus", "collector", "decider", "actuator"}
	}
	return []string{"run"}
}

func (c *chaos) startAll() {
	c.t.Helper()
	for _, stage := range c.stages() {
		c.startStage(stage)
	}
}

// stopAll is Ctrl-C for all, the bus last.
func (c *chaos) stopAll() {
	c.t.Helper()
	stages := c.stages()
	slices.Reverse(stages)
	for _, stage := range stages {
		if stage == "nats" {
			c.procs[stage].kill()
			continue
		}
		c.procs[stage].stop()
	}
}

// startStage starts one process and does not wait for anything.
func (c *chaos) startStage(stage string, env ...string) *process {
	c.t.Helper()
	p := c.spawnStage(stage, env...)
	c.procs[stage] = p
	return p
}

// spawnStage is startStage for one that is beside the others.
func (c *chaos) spawnStage(stage string, env ...string) *process {
	c.t.Helper()
	if stage == "nats" {
		server, err := buildServer()
		if err != nil {
			c.t.Fatal(err)
		}
		return c.startProcess("nats-server", exec.Command(server, "-c", c.serverConfig()))
	}
	args := []string{"--uri", c.uri, stage, "-c", c.file}
	switch stage {
	case "run":
		args = append(args, "--no-dashboard", "--bus-listen", c.address)
	case "bus":
		args = append(args, "--bus-listen", c.address)
	case "decider2":
		args[2] = "decider"
		args = append(append(args, "--nats-url", c.url), c.login...)
	default:
		args = append(append(args, "--nats-url", c.url), c.login...)
	}
	if stage == "dashboard" {
		args = append(args, "--no-dashboard")
	}
	args = append(append(slices.Clone(c.wrap), c.binary), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), c.env...), env...)
	return c.startProcess("vmscaler "+stage, cmd)
}

// actuatorProcess is the process with the actuator.
func (c *chaos) actuatorProcess() string {
	if c.place.split {
		return "actuator"
	}
	return "run"
}

func (c *chaos) serverConfig() string { return filepath.Join(c.state, "nats.conf") }

// prepareServer writes the config of a NATS server where the stages may do everything and others may only watch.
func (c *chaos) prepareServer() {
	c.t.Helper()
	seed, user := newUser(c.t)
	c.login = []string{"--nats-nkey", seed}
	text := fmt.Sprintf(`listen: %s
%sauthorization {users: [
  {nkey: %s},
  {user: tap, password: tap,
	permissions: {publish: ["vmscaler.ctl.status", "vmscaler.ctl.explain"], subscribe: ["vmscaler.>", "_INBOX.>"]}}
]}
no_auth_user: tap
`, c.address, c.jetStream(), user)
	if err := os.WriteFile(c.serverConfig(), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// mendLibvirt makes the private libvirtd answer, and connects to it again.
func (c *chaos) mendLibvirt() {
	c.t.Helper()
	if pid, err := c.l.daemon(); err == nil {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	if alive, err := c.conn.IsAlive(); err == nil && alive {
		if _, err := c.conn.ListAllDomains(0); err == nil {
			return
		}
	}
	if c.l.cmd.ProcessState != nil {
		c.l.start()
	}
	c.reconnect()
}

// reconnect replaces a connection that its daemon's end has broken.
func (w *world) reconnect() {
	w.t.Helper()
	_, _ = w.conn.Close()
	conn, err := libvirt.NewConnect(w.uri)
	if err != nil {
		w.t.Fatal(err)
	}
	w.conn = conn
}

// daemon is the process id of libvirtd itself.
func (p *privateLibvirt) daemon() (int, error) {
	return readPID(filepath.Join(p.dir, "runtime/libvirt/libvirtd.pid"), "libvirtd")
}

// foreignOff defines a domain that is not ours, and returns a check that it is as it was, over whichever connection
// there is then.
func (w *world) foreignOff(name string) func() {
	w.t.Helper()
	dom, err := w.conn.DomainDefineXML(fmt.Sprintf(`<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory>
		<os><type arch='x86_64'>hvm</type></os></domain>`, name))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = dom.Free() }()
	describe := func(dom *libvirt.Domain) string {
		text, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
		if err != nil {
			w.t.Errorf("the foreign domain %s: %s", name, err)
		}
		return text
	}
	was := describe(dom)
	return func() {
		w.t.Helper()
		now, err := w.conn.LookupDomainByName(name)
		if err != nil {
			w.t.Errorf("the foreign domain %s: %s", name, err)
			return
		}
		defer func() { _ = now.Free() }()
		if is := describe(now); is != was {
			w.t.Errorf("the foreign domain %s was changed from\n%s\nto\n%s", name, was, is)
		}
		if active, err := now.IsActive(); err != nil || active {
			w.t.Errorf("the foreign domain %s was started", name)
		}
	}
}

// until waits until a check finds nothing wrong.
func (c *chaos) until(bound time.Duration, what string, check func() error) {
	c.t.Helper()
	deadline := time.NewTimer(bound)
	defer deadline.Stop()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case p := <-c.ended:
			c.t.Fatalf("%s ended by itself (%v) before %s", p.name, p.err, what)
		case <-deadline.C:
			c.t.Fatalf("not within %s: %s: %s", bound, what, err)
		case <-poll.C:
		}
	}
}
