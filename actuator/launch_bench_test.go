package actuator

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/internal/figures"
)

// BenchmarkLaunch compares, side by side in each round, the time from the wish for one more VM until libvirt has it
// running: a decision on the bus to the actuator's event, qemu-img with virt-install as scripts do it, and qemu-img
// with virsh define and start, which is the least that a script can do. The guests' disk is empty: what is compared
// ends where the guest's boot begins.
func BenchmarkLaunch(b *testing.B) {
	r := newLaunchRig(b, 1)
	r.makeOriginal()
	ways := []struct {
		name   string
		unit   string
		launch func() time.Duration // and take it away again, which is not counted
		took   []time.Duration
	}{
		{name: "vmscaler: decision to running", launch: r.decision},
		{name: "qemu-img, virsh define, virsh start", unit: "x-virsh", launch: r.virsh},
		{name: "qemu-img, virt-install --import", unit: "x-virt-install", launch: r.virtInstall},
		{name: "virt-clone, virsh start", unit: "x-virt-clone", launch: r.virtClone},
	}
	if _, err := exec.LookPath("virt-install"); err != nil {
		b.Log("virt-install is not installed (package virtinst, as virt-clone): left out")
		ways = ways[:2]
	}
	for i := range ways {
		if !testing.Short() {
			ways[i].launch() // the first of anything is slower
		}
	}
	for b.Loop() {
		for i := range ways {
			ways[i].took = append(ways[i].took, ways[i].launch())
		}
	}

	b.ReportMetric(0, "ns/op") // a round is no unit of interest
	fmt.Printf(
		"\nOne more VM until it runs, in ms: medians of %d rounds; domain type %s, %d cores\n",
		len(ways[0].took),
		r.machine.VirtType,
		runtime.NumCPU(),
	)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "way\tmedian\tleast-most\ttimes vmscaler's (least-most)")
	for _, way := range ways {
		var took, ratios []float64
		for i, d := range way.took {
			took = append(took, float64(d)/1e6)
			ratios = append(ratios, float64(d)/float64(ways[0].took[i]))
		}
		middle, least, most := figures.Spread(took)
		times, low, high := figures.Spread(ratios)
		kind, aim := figures.Rival, 0.
		switch way.unit {
		case "":
			kind = figures.Ours
		case "x-virsh":
			kind, aim = figures.Limit, 1.05
		}
		figures.Add(b, figures.Way{Figure: "decision to running", Way: way.name, Kind: kind, Unit: "ms", Values: took, Aim: aim})
		if way.unit == "" {
			fmt.Fprintf(w, "%s\t%.0f\t%.0f-%.0f\t1\n", way.name, middle, least, most)
			continue
		}
		b.ReportMetric(times, way.unit)
		fmt.Fprintf(w, "%s\t%.0f\t%.0f-%.0f\t%.2f (%.2f-%.2f)\n", way.name, middle, least, most, times, low, high)
	}
	_ = w.Flush()
}

// newMAC is an address that no other VM of a benchmark has.
func newMAC() string {
	var b [3]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("52:54:00:%02x:%02x:%02x", b[0], b[1], b[2])
}

// launchRig is the machine's libvirt with a pool, a template and an actuator of the benchmark's own.
type launchRig struct {
	b       *testing.B
	uri     string
	conn    *libvirt.Connect
	id      string
	dir     string // the pool's folder
	machine vm.Machine
	spec    bus.Group
	host    string
	bus     *client.Conn
	events  chan bus.Event
	reports chan error
}

func newLaunchRig(b *testing.B, most int) *launchRig {
	b.Helper()
	id := strings.Map(func(r rune) rune { // a group's name does not end in a number
		if r >= '2' && r <= '7' {
			return 'a' + r - '2'
		}
		return r
	}, "bench-"+strings.ToLower(rand.Text()[:6]))
	r := &launchRig{
		b: b, uri: cmp.Or(os.Getenv("LIBVIRT_DEFAULT_URI"), "qemu:///system"), id: id,
		events: make(chan bus.Event, 256), reports: make(chan error, 4096),
	}
	r.spec = webSpec(func(g *bus.Group) {
		g.Name, g.Network, g.Min, g.Max, g.ShutdownTimeout = id, bus.UserNetwork, 0, most, 0
		g.Brakes.Removals = 1_000_000
	})
	var err error
	if r.conn, err = libvirt.NewConnect(r.uri); err != nil {
		b.Fatalf("no libvirt at %s: %s", r.uri, err)
	}
	b.Cleanup(func() { _, _ = r.conn.Close() })
	acc, err := vm.ReadAcceleration(r.conn, vm.AccelerationAuto)
	if err != nil {
		b.Fatal(err)
	}
	r.machine = vm.Machine{VirtType: acc.VirtType, Arch: acc.Arch}
	if r.host, err = r.conn.GetHostname(); err != nil {
		b.Fatal(err)
	}
	r.makePool()
	r.startActuator()
	return r
}

// makePool makes a storage pool with an empty template.
func (r *launchRig) makePool() {
	var err error
	// Not below the user's home, which the hypervisor's user may not enter.
	if r.dir, err = os.MkdirTemp("/var/tmp", "vmscaler-bench-"); err != nil {
		r.b.Fatal(err)
	}
	r.b.Cleanup(func() { _ = os.RemoveAll(r.dir) })
	if err := os.Chmod(r.dir, 0o755); err != nil {
		r.b.Fatal(err)
	}
	r.run("qemu-img", "create", "-q", "-f", "qcow2", r.template(), "1G")
	pool, err := r.conn.StoragePoolCreateXML(fmt.Sprintf(
		`<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>`, r.id, r.dir), 0)
	if err != nil {
		r.b.Fatal(err)
	}
	r.b.Cleanup(func() {
		if err := pool.Destroy(); err != nil {
			r.b.Errorf("drop the pool: %s", err)
		}
		_ = pool.Free()
	})
}

func (r *launchRig) template() string { return filepath.Join(r.dir, template.VolumeName("demo")) }

// startActuator starts the stage and waits until it has looked at libvirt.
func (r *launchRig) startActuator() {
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		r.b.Fatal(err)
	}
	r.b.Cleanup(server.Stop)
	connect := func(name string) *client.Conn {
		conn, err := server.Connect(name, zerolog.Nop())
		if err != nil {
			r.b.Fatal(err)
		}
		r.b.Cleanup(conn.Close)
		return conn
	}
	r.bus = connect("decider")
	// A decider may not listen to events: the benchmark's own ears are those of somebody who watches.
	if err := client.Subscribe(connect("dashboard"), bus.AllEvents, r.events); err != nil {
		r.b.Fatal(err)
	}
	a, err := New(Config{
		Groups: []bus.Group{r.spec}, Pools: vm.Pools{Templates: r.id, Disks: r.id}, Acceleration: vm.AccelerationAuto,
		Dial: func(context.Context) (*libvirt.Connect, error) { return libvirt.NewConnect(r.uri) }, Identify: here,
		Report: func(err error) {
			select {
			case r.reports <- err:
			default: // only the first is of interest
			}
		},
	}, connect("actuator"), zerolog.Nop())
	if err != nil {
		r.b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	r.b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.b.Errorf("Run: %s", err)
		}
		r.sweep()
	})
	select {
	case err := <-r.reports:
		if err != nil {
			r.b.Fatal(err)
		}
	case <-time.After(time.Minute):
		r.b.Fatal("the actuator does not look at libvirt")
	}
}

// decision has the actuator launch a VM.
func (r *launchRig) decision() time.Duration {
	r.b.Helper()
	start := time.Now()
	r.want(1, bus.EventStarted, 1)
	took := time.Since(start)
	r.until(bus.EventReady, 1)
	r.want(0, bus.EventRemoved, 1)
	return took
}

// want sends a decision and waits for so many events.
func (r *launchRig) want(desired int, event bus.EventType, n int) {
	r.b.Helper()
	now, numbers := time.Now(), []int{}
	for n := range 2*desired + 8 {
		numbers = append(numbers, n+1)
	}
	if err := r.bus.Publish(&bus.Decision{
		V: bus.Version, Group: r.spec.Name, Direction: bus.In, Desired: desired, HasSample: true,
		Shares: map[bus.HostID]bus.Share{"here": {Host: r.host, VMs: desired, Numbers: numbers}},
		ID:     r.id, Term: 1, Seq: uint64(now.UnixNano()), Time: now, ExpiresAt: now.Add(time.Hour), SpecHash: r.spec.Hash(),
	}); err != nil {
		r.b.Fatal(err)
	}
	r.until(event, n)
}

func (r *launchRig) until(event bus.EventType, n int) {
	r.b.Helper()
	deadline := time.After(5 * time.Minute)
	for {
		select {
		case e := <-r.events:
			switch e.Event {
			case event:
				if n--; n == 0 {
					return
				}
			case bus.EventFailed:
				r.b.Fatalf("%s: %s", e.Sentence, e.Error)
			}
		case <-deadline:
			r.b.Fatalf("no event %s came", event)
		}
	}
}

// virsh launches a VM of the same definition with as few commands as possible.
func (r *launchRig) virsh() time.Duration {
	r.b.Helper()
	name := r.id + "-virsh"
	took, disk := r.byVirsh(name)
	r.discard(name, disk)
	return took
}

// byVirsh leaves the VM there, with its disk.
func (r *launchRig) byVirsh(name string) (took time.Duration, disk string) {
	r.b.Helper()
	file := r.definition(name)
	disk = filepath.Join(r.dir, name+".qcow2")
	start := time.Now()
	r.clone(disk)
	r.run("virsh", "-q", "-c", r.uri, "define", file)
	r.run("virsh", "-q", "-c", r.uri, "start", name)
	return time.Since(start), disk
}

// definition is a file with the definition that vmscaler would give a VM.
func (r *launchRig) definition(name string) string {
	r.b.Helper()
	disk, uuid := filepath.Join(r.dir, name+".qcow2"), vm.NewUUID()
	text, err := vm.Definition{Spec: r.spec, Machine: r.machine, Name: name, Meta: bus.Metadata{
		Group: "nobody", Template: "demo", UUID: uuid, Created: time.Now(), Phase: bus.PhaseReady, Since: time.Now(), Pool: r.id,
		Volume: name,
	}, DiskPath: disk, MACs: []string{newMAC()}}.XML()
	if err != nil {
		r.b.Fatal(err)
	}
	file := filepath.Join(r.b.TempDir(), "domain.xml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		r.b.Fatal(err)
	}
	return file
}

// makeOriginal makes the VM that virt-clone clones, which is off.
func (r *launchRig) makeOriginal() {
	r.b.Helper()
	name := r.id + "-original"
	file := r.definition(name)
	r.clone(filepath.Join(r.dir, name+".qcow2"))
	r.run("virsh", "-q", "-c", r.uri, "define", file)
}

// virtClone clones a VM with a copy of its disk, which is empty here, and starts it.
func (r *launchRig) virtClone() time.Duration {
	r.b.Helper()
	name := r.id + "-clone"
	disk := filepath.Join(r.dir, name+".qcow2")
	start := time.Now()
	r.run("virt-clone", "-q", "--connect", r.uri, "--original", r.id+"-original", "--name", name, "--file", disk)
	r.run("virsh", "-q", "-c", r.uri, "start", name)
	took := time.Since(start)
	r.discard(name, disk)
	return took
}

// virtInstall launches a VM with the same main devices.
func (r *launchRig) virtInstall() time.Duration {
	r.b.Helper()
	name := r.id + "-install"
	disk := filepath.Join(r.dir, name+".qcow2")
	start := time.Now()
	r.clone(disk)
	r.run(
		"virt-install",
		"--connect",
		r.uri,
		"--import",
		"--name",
		name,
		"--virt-type",
		r.machine.VirtType,
		"--memory",
		fmt.Sprint(r.spec.MemoryMiB),
		"--vcpus",
		fmt.Sprint(r.spec.VCPUs),
		"--osinfo",
		"detect=off,require=off",
		"--disk",
		"path="+disk+",format=qcow2,bus=virtio",
		"--network",
		"user,model=virtio",
		"--graphics",
		"none",
		"--noautoconsole",
		"--quiet",
	)
	took := time.Since(start)
	r.discard(name, disk)
	return took
}

func (r *launchRig) clone(disk string) {
	r.b.Helper()
	r.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", r.template(), "-F", "qcow2", disk)
}

func (r *launchRig) run(name string, args ...string) {
	r.b.Helper()
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.b.Fatalf("%s: %s\n%s", cmd, err, out)
	}
}

// discard removes a VM that a script made.
func (r *launchRig) discard(name, disk string) {
	r.b.Helper()
	dom, err := r.conn.LookupDomainByName(name)
	if err != nil {
		r.b.Fatal(err)
	}
	defer dom.Free()
	active, err := dom.IsActive()
	if err != nil {
		r.b.Fatal(err)
	}
	if !active {
		r.b.Errorf("%s does not run", name)
	} else if err := dom.Destroy(); err != nil {
		r.b.Fatal(err)
	}
	if err := dom.UndefineFlags(libvirt.DOMAIN_UNDEFINE_NVRAM); err != nil {
		r.b.Fatal(err)
	}
	if err := os.Remove(disk); err != nil {
		r.b.Fatal(err)
	}
}

// sweep removes what a failure left.
func (r *launchRig) sweep() {
	doms, err := r.conn.ListAllDomains(0)
	if err != nil {
		r.b.Error(err)
	}
	for i := range doms {
		if name, err := doms[i].GetName(); err == nil && strings.HasPrefix(name, r.id+"-") {
			_ = doms[i].Destroy()
			if err := doms[i].UndefineFlags(libvirt.DOMAIN_UNDEFINE_NVRAM); err != nil {
				r.b.Errorf("remove %s: %s", name, err)
			}
		}
		doms[i].Free()
	}
}
