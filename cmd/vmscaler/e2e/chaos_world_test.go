package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
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
}

// The group of the tiny guests: quick in everything, and never stopped for long by a brake. Four busy guests on two cores
// have half of one each.
const tinyGroup = `template: tiny
min: 2
max: 4
memory: 32MiB
ready_when: uptime
ready_after: 1s
boot_timeout: 20s
shutdown_timeout: 3s
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
	t       *testing.T
	place   place
	rng     *rand.Rand
	l       *privateLibvirt
	binary  string
	address string
	url     string
	file    string   // the config
	login   []string // of stages and commands, on a server that is not embedded
	procs   map[string]*process
	want    int // VMs, when all is well
	max     int
	base    []string // files in the pool's folder that are not of VMs
	foreign func()   // checks that what is not ours is as it was
	sums    map[string]string
	eyes    *lookout
	ears    *listener
	fuzz    *fuzzer
	epoch   time.Time // from when on the history must be complete
	early   map[*process]usage
	oldest  life
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
	c.file = c.config(group)
	quick, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	quick = append(quick, "  sweep_grace: 2s\n"...) // it ends with the section host
	if err := os.WriteFile(c.file, quick, 0o644); err != nil {
		t.Fatal(err)
	}
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
	c.eyes = c.startLookout()
	if where.external {
		c.prepareServer()
	}
	c.startAll()
	c.ears = c.startListener()
	c.fuzz = c.startFuzzer()
	c.settle("the start")
	return c
}

// uploadTiny adds the template of the tiny guest.
func (c *chaos) uploadTiny() {
	c.t.Helper()
	if err := template.Upload(c.t.Context(), c.conn, template.Target{Pool: c.pool, Name: "tiny"}, tinyDisk(c.t, false), nil); err != nil {
		c.t.Fatal(err)
	}
}

// disk is where a template lies.
func (c *chaos) disk(name string) string { return filepath.Join(c.dir, template.VolumeName(name)) }

// tidy brings the world into an order in which it can be taken down, whatever a fault has left.
func (c *chaos) tidy() {
	c.fuzz.stop()
	c.mendLibvirt()
	c.eyes.stop()
	if out, err := c.command("down", c.group, "--yes", "--shutdown-timeout", "1s").CombinedOutput(); err != nil {
		c.t.Errorf("vmscaler down: %s\n%s", err, out)
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
	cmd := exec.Command(c.binary, args...)
	cmd.Env = append(append(os.Environ(), c.env...), env...)
	return c.startProcess("vmscaler "+stage, cmd)
}

// hands is the process with the actuator.
func (c *chaos) hands() string {
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
  {user: tap, password: tap, permissions: {publish: ["vmscaler.ctl.status", "vmscaler.ctl.explain"], subscribe: ["vmscaler.>", "_INBOX.>"]}}
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

func (c *chaos) reconnect() {
	c.t.Helper()
	_, _ = c.conn.Close()
	conn, err := libvirt.NewConnect(c.uri)
	if err != nil {
		c.t.Fatal(err)
	}
	c.conn = conn
}

// daemon is the process id of libvirtd itself.
func (p *privateLibvirt) daemon() (int, error) {
	pid, err := readPID(filepath.Join(p.dir, "runtime/libvirt/libvirtd.pid"))
	if err == nil {
		err = syscall.Kill(pid, 0)
	}
	return pid, err
}

// foreignOff defines a domain that is not ours, and returns a check that it is as it was, over whichever connection
// there is then.
func (c *chaos) foreignOff(name string) func() {
	c.t.Helper()
	dom, err := c.conn.DomainDefineXML(fmt.Sprintf(`<domain type='qemu'><name>%s</name><memory unit='MiB'>64</memory>
		<os><type arch='x86_64'>hvm</type></os></domain>`, name))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = dom.Free() }()
	describe := func(dom *libvirt.Domain) string {
		text, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
		if err != nil {
			c.t.Errorf("the foreign domain %s: %s", name, err)
		}
		return text
	}
	was := describe(dom)
	return func() {
		c.t.Helper()
		now, err := c.conn.LookupDomainByName(name)
		if err != nil {
			c.t.Errorf("the foreign domain %s: %s", name, err)
			return
		}
		defer func() { _ = now.Free() }()
		if is := describe(now); is != was {
			c.t.Errorf("the foreign domain %s was changed from\n%s\nto\n%s", name, was, is)
		}
		if active, err := now.IsActive(); err != nil || active {
			c.t.Errorf("the foreign domain %s was started", name)
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

// settle waits until all is well, and says how long that took.
func (c *chaos) settle(after string) time.Duration {
	c.t.Helper()
	since := time.Now()
	for _, check := range []struct {
		what string
		find func(since time.Time) error
	}{
		{"the bus says that the group has what is desired", c.saidWell},
		{"libvirt has what is desired", c.isWell},
		{"all stages are well", c.stagesWell},
		{"nothing of ours is left over", c.nothingLeft},
		{"the history is complete", c.historyComplete},
		{"nothing grows", c.nothingGrows},
	} {
		c.until(settleBound, check.what+" after "+after, func() error { return check.find(since) })
	}
	took := time.Since(since)
	c.foreign()
	for name, sum := range c.sums {
		if now := fileSum(c.t, c.disk(name)); now != sum {
			c.t.Errorf("the template %s was changed", name)
		}
	}
	if c.t.Failed() { // the lookout's as well
		c.t.FailNow()
	}
	return took
}

// saidWell: the newest sample has the desired number of VMs, all ready, and the decider wants just those.
func (c *chaos) saidWell(since time.Time) error {
	s, d := c.ears.newest()
	switch {
	case !s.Time.After(since):
		return fmt.Errorf("the last sample is of %s", s.Time)
	case !d.Time.After(since):
		return fmt.Errorf("the last decision is of %s", d.Time)
	case len(s.VMs) != c.want:
		return fmt.Errorf("the sample has %d VMs, want %d: %+v; decision: %s", len(s.VMs), c.want, s.VMs, d.Sentence)
	case d.Desired != c.want || !d.Known || d.Inputs.Owned != c.want:
		return fmt.Errorf("decision %+v, want %d desired and owned", d, c.want)
	}
	for _, vm := range s.VMs {
		if vm.Phase != bus.PhaseReady || vm.State != bus.StateRunning || vm.Error != "" {
			return fmt.Errorf("the sample has %+v, want it running, ready and read", vm)
		}
	}
	return nil
}

// isWell is saidWell of libvirt itself.
func (c *chaos) isWell(since time.Time) error {
	vms, at := c.eyes.newest()
	if !at.After(since) {
		return fmt.Errorf("the last look at libvirt was at %s", at)
	}
	if len(vms) != c.want {
		return fmt.Errorf("libvirt has %d VMs, want %d", len(vms), c.want)
	}
	for _, vm := range vms {
		if vm.Meta.Phase != bus.PhaseReady || vm.State != bus.StateRunning {
			return fmt.Errorf("libvirt has %s %s, want it running and ready", vm.Name, vm.State)
		}
	}
	return nil
}

// stagesWell: each stage of each process says so.
func (c *chaos) stagesWell(time.Time) error {
	for name, p := range c.procs {
		stages := []string{name}
		switch name {
		case "nats":
			continue
		case "run":
			stages = []string{"bus", "collector", "decider", "actuator"}
		case "decider2":
			stages = []string{"decider"}
		}
		for _, stage := range stages {
			if h := c.ears.healthOf(stage, p.cmd.Process.Pid); !h.OK || time.Since(h.Time) > 3*bus.HealthInterval {
				return fmt.Errorf("%s of process %d: %+v", stage, p.cmd.Process.Pid, h)
			}
		}
	}
	return nil
}

// nothingLeft: the pool's folder has what it had at first and one volume for each VM, and no VM's record is kept that
// does not exist any more.
func (c *chaos) nothingLeft(time.Time) error {
	want := slices.Clone(c.base)
	for _, vm := range c.vms() {
		want = append(want, vm.Meta.Volume)
	}
	found := append(c.files(), template.VolumeName("demo"))
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		return fmt.Errorf("the pool has the files %v, want %v", found, want)
	}
	return c.recordsMatch()
}

// recordsMatch: the actuator keeps records of the volumes of VMs that exist, and of no others.
func (c *chaos) recordsMatch() error {
	known := map[string]bool{}
	for _, vm := range c.vms() {
		known[vm.UUID] = true
	}
	return filepath.WalkDir(filepath.Join(c.state, "volumes"), func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if uuid := uuidIn.FindString(path); uuid != "" && !known[uuid] {
			return fmt.Errorf("a record is left: %s", path)
		}
		return nil
	})
}

// historyComplete: the history has the beginning of each VM that was seen, and the end of each that is gone.
func (c *chaos) historyComplete(time.Time) error {
	events, err := c.history()
	if err != nil {
		return err
	}
	return c.eyes.explainedBy(events, c.epoch)
}

// history is what `vmscaler events` prints.
func (c *chaos) history() ([]bus.Event, error) {
	cmd := c.command(append([]string{"events", c.group, "-o", "json", "--nats-url", c.url}, c.login...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("vmscaler events: %w", err)
	}
	var events []bus.Event
	for line := range strings.Lines(string(out)) {
		var r bus.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("vmscaler events: %w in %q", err, line)
		}
		if r.Event != nil {
			events = append(events, *r.Event)
		}
	}
	return events, nil
}

// forgetHistory begins the bookkeeping anew: the fault has destroyed the history.
func (c *chaos) forgetHistory() { c.epoch = time.Now() }

// usage is what a process takes.
type usage struct{ goroutines, files, memoryMiB int }

// life is the longest life of a process in a world.
type life struct {
	name        string
	age         time.Duration
	early, late usage
}

// nothingGrows compares what each process takes with what it took when all was well for the first time.
func (c *chaos) nothingGrows(time.Time) error {
	for name, p := range c.procs {
		if name == "nats" {
			continue
		}
		now, err := p.usage()
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		early, known := c.early[p]
		if !known {
			c.early[p] = now
			continue
		}
		if now.goroutines > early.goroutines+15 || now.files > early.files+12 || now.memoryMiB > 2*early.memoryMiB+64 {
			return fmt.Errorf("%s had %+v when all was well for the first time, and has %+v", p.name, early, now)
		}
		if age := time.Since(p.begun()); age > c.oldest.age {
			c.oldest = life{p.name, age, early, now}
		}
	}
	return nil
}

// begun is when a process was started, as far as its folder in /proc tells.
func (p *process) begun() time.Time {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", p.cmd.Process.Pid))
	if err != nil {
		return time.Now()
	}
	return info.ModTime()
}

// usage measures a process that was built with the tag faults.
func (p *process) usage() (usage, error) {
	pid := p.cmd.Process.Pid
	before := len(p.lines("goroutines: "))
	if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		return usage{}, err
	}
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for len(p.lines("goroutines: ")) == before {
		select {
		case <-p.touched:
		case <-deadline.C:
			return usage{}, errors.New("does not say how many goroutines it has")
		}
	}
	said := p.lines("goroutines: ")
	_, number, _ := strings.Cut(said[len(said)-1], "goroutines: ")
	goroutines, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		return usage{}, err
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return usage{}, err
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return usage{}, err
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		return usage{}, err
	}
	return usage{goroutines, len(files), resident * os.Getpagesize() >> 20}, nil
}

// listener keeps the newest messages of the bus, which anybody may hear.
type listener struct {
	mu       sync.Mutex
	sample   bus.Sample
	decision bus.Decision
	health   map[string]bus.Health // by stage and process
	events   []bus.Event
}

func (c *chaos) startListener() *listener {
	c.t.Helper()
	conn, err := bus.Dial(bus.Remote{URL: c.url}, "chaos", zerolog.Nop())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	samples, decisions := make(chan bus.Sample, 64), make(chan bus.Decision, 64)
	health, events := make(chan bus.Health, 64), make(chan bus.Event, 64)
	if err := errors.Join(
		bus.Subscribe(conn, bus.AllSamples, samples), bus.Subscribe(conn, bus.AllDecisions, decisions),
		bus.Subscribe(conn, bus.AllHealth, health), bus.Subscribe(conn, bus.AllEvents, events),
	); err != nil {
		c.t.Fatal(err)
	}
	l := &listener{health: map[string]bus.Health{}}
	done := c.t.Context().Done()
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-samples:
				l.note(func() {
					if s.Group == c.group {
						l.sample = s
					}
				})
			case d := <-decisions:
				l.note(func() {
					if d.Group == c.group {
						l.decision = d
					}
				})
			case h := <-health:
				l.note(func() { l.health[h.Stage+h.Instance[strings.LastIndex(h.Instance, "-"):]] = h })
			case e := <-events:
				l.note(func() { l.events = append(l.events, e) })
			}
		}
	}()
	return l
}

func (l *listener) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *listener) newest() (s bus.Sample, d bus.Decision) {
	l.note(func() { s, d = l.sample, l.decision })
	return s, d
}

func (l *listener) healthOf(stage string, pid int) (h bus.Health) {
	l.note(func() { h = l.health[fmt.Sprintf("%s-%d", stage, pid)] })
	return h
}

// heard are the events since a moment that a filter lets through.
func (l *listener) heard(since time.Time, filter func(bus.Event) bool) (found []bus.Event) {
	l.note(func() {
		for _, e := range l.events {
			if e.Time.After(since) && filter(e) {
				found = append(found, e)
			}
		}
	})
	return found
}

// lookout polls libvirt over a connection of its own, which may be lost, and checks at each moment that no group has more
// VMs than its max. It remembers each VM that it saw.
type lookout struct {
	c    *chaos
	quit chan struct{}
	done chan struct{}

	mu   sync.Mutex
	vms  []actuator.VM
	at   time.Time
	seen map[string]*sighting // by UUID
	most int
}

// sighting is what is known of one VM.
type sighting struct {
	names   map[string]bool // a person may rename it
	created time.Time
	gone    time.Time // zero: it is there
}

func (c *chaos) startLookout() *lookout {
	o := &lookout{c: c, quit: make(chan struct{}), done: make(chan struct{}), seen: map[string]*sighting{}}
	go o.run()
	return o
}

func (o *lookout) stop() {
	close(o.quit)
	<-o.done
}

func (o *lookout) run() {
	defer close(o.done)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	var conn *libvirt.Connect
	defer func() {
		if conn != nil {
			_, _ = conn.Close()
		}
	}()
	for {
		select {
		case <-o.quit:
			return
		case <-poll.C:
		}
		if conn == nil {
			var err error
			if conn, err = libvirt.NewConnect(o.c.uri); err != nil {
				conn = nil
				continue // it is down
			}
		}
		inv, err := actuator.ReadInventory(conn)
		if err != nil {
			_, _ = conn.Close()
			conn = nil
			continue
		}
		o.note(inv.Owned)
	}
}

func (o *lookout) note(owned []actuator.VM) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = time.Now()
	o.vms = owned
	there := map[string]bool{}
	for _, vm := range owned {
		there[vm.UUID] = true
		s := o.seen[vm.UUID]
		if s == nil {
			s = &sighting{names: map[string]bool{}, created: vm.Meta.Created}
			o.seen[vm.UUID] = s
		}
		s.names[vm.Name], s.gone = true, time.Time{}
	}
	for uuid, s := range o.seen {
		if !there[uuid] && s.gone.IsZero() {
			s.gone = o.at
		}
	}
	if len(owned) > o.c.max && len(owned) > o.most {
		o.most = len(owned)
		var names []string
		for _, vm := range owned {
			names = append(names, fmt.Sprintf("%s (%s, %s)", vm.Name, vm.State, vm.Meta.Phase))
		}
		o.c.t.Errorf("%d VMs are owned, more than max %d: %v", len(owned), o.c.max, names)
	}
}

func (o *lookout) newest() ([]actuator.VM, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.vms, o.at
}

// slack is for the moments between what happens and when it is seen or said.
const slack = 3 * time.Second

// explainedBy checks that events have a beginning and an end for each VM that was seen since epoch.
func (o *lookout) explainedBy(events []bus.Event, epoch time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for uuid, s := range o.seen {
		until := time.Now()
		if !s.gone.IsZero() {
			until = s.gone
		}
		if s.created.After(epoch) && !s.has(events, s.created, until, bus.EventCreating, bus.EventAdopted) {
			return fmt.Errorf("no beginning of %s, created at %s, among %d events", s.name(uuid), s.created, len(events))
		}
		if !s.gone.IsZero() && s.gone.After(epoch.Add(slack)) &&
			!s.has(events, s.created, o.nextOf(s), bus.EventRemoved, bus.EventFailed, bus.EventDied) {
			return fmt.Errorf("no end of %s, created at %s and seen to be gone at %s, among %d events", s.name(uuid), s.created, s.gone, len(events))
		}
	}
	return nil
}

// nextOf is when the name of a VM that is gone was used again; or a while later.
func (o *lookout) nextOf(s *sighting) time.Time {
	next := s.gone.Add(time.Minute)
	for _, other := range o.seen {
		for name := range s.names {
			if other.names[name] && other.created.After(s.created) && other.created.Before(next) {
				next = other.created
			}
		}
	}
	return next
}

func (s *sighting) name(uuid string) string {
	for name := range s.names {
		return name + " " + uuid
	}
	return uuid
}

func (s *sighting) has(events []bus.Event, from, to time.Time, kinds ...bus.EventType) bool {
	return slices.ContainsFunc(events, func(e bus.Event) bool {
		return s.names[e.VM] && slices.Contains(kinds, e.Event) && !e.Time.Before(from.Add(-slack)) && !e.Time.After(to.Add(slack))
	})
}
