package collector

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

// The ways to learn the CPU use of VMs that BenchmarkSample compares, and how often each is taken in one round.
const (
	wayPass     = iota // the collector's tick: clocks, list and metadata in their turn, the host's load, and the message
	waySlow            // what the collector reads beside the tick every few seconds
	wayBulk            // one call for the CPU counters of all domains
	wayFork            // virsh domstats twice for each VM
	wayForkBulk        // virsh domstats of all VMs, twice
	wayStat            // pread of /proc/PID/stat of each VM
	wayGroup           // pread of the file of its cgroup

	passesPerRound = 60
	slowsPerRound  = 5
	bulksPerRound  = 10
	forksPerRound  = 5
	readsPerRound  = 2000
)

// cost is the price of one CPU figure of one VM.
type cost struct {
	client, server, wall time.Duration // server: libvirtd and the VMs' QEMU processes
}

func (c cost) cpu() float64 { return float64(c.client + c.server) }

// costs are the rounds' costs at one number of VMs, by way.
type costs [wayGroup + 1][]cost

// BenchmarkSample compares, side by side in each round, what one CPU figure of one VM costs: by the collector, by
// the bulk call for statistics, and by a shell loop that runs virsh twice for each VM with a second of sleep in
// between. The VMs run and have halted: they take next to no CPU time themselves.
func BenchmarkSample(b *testing.B) {
	r := newRig(b)
	var sizes []int // those that were asked for
	all := map[int]*costs{}
	fleets := []int{1, 3, 5, 20}
	if testing.Short() {
		fleets = fleets[:1]
	}
	for _, n := range fleets {
		r.grow(n)
		all[n] = new(costs)
		b.Run(fmt.Sprintf("VMs=%d", n), func(b *testing.B) {
			r.stats, r.groups = r.kernelFiles(b)
			r.round(b, new(costs)) // the first of anything is slower
			for b.Loop() {
				r.round(b, all[n])
			}
			cpu := func(c cost) float64 { return c.cpu() }
			b.ReportMetric(0, "ns/op") // a round is no unit of interest
			b.ReportMetric(all[n].ratio(wayBulk, cpu), "x-cpu-bulk-call")
			b.ReportMetric(all[n].ratio(wayFork, cpu), "x-cpu-virsh")
			all[n].addFigures(b, fmt.Sprintf("one reading of one of %d VMs", n), n)
		})
		if len(all[n][waySlow]) > 0 {
			sizes = append(sizes, n)
		}
	}
	if len(sizes) > 0 && !b.Failed() {
		r.print(sizes, all)
	}
}

// rig is a libvirt with some owned VMs.
type rig struct {
	b         *testing.B
	uri       string
	conn      *libvirt.Connect
	collector *Collector
	domains   *inventory
	now       time.Time // of the next tick
	id        string
	pool      string
	halts     string   // the firmware of the VMs
	vms       []string // names
	running   []runningVM
	others    int      // domains that are not the benchmark's
	servers   []string // process ids
	stats     []kernelFile
	groups    []kernelFile
}

func newRig(b *testing.B) *rig {
	b.Helper()
	r := &rig{
		b: b, uri: cmp.Or(os.Getenv("LIBVIRT_DEFAULT_URI"), "qemu:///system"),
		id: "bench-" + strings.ToLower(rand.Text()[:6]) + "x", // a group's name does not end in a digit
	}
	var err error
	if r.conn, err = libvirt.NewConnect(r.uri); err != nil {
		b.Fatalf("no libvirt at %s: %s", r.uri, err)
	}
	b.Cleanup(func() { _, _ = r.conn.Close() })
	beside, err := libvirt.NewConnect(r.uri)
	if err != nil {
		b.Fatal(err)
	}
	r.domains, r.now = newInventory(beside, true), time.Now()
	b.Cleanup(r.domains.close)
	others, err := r.conn.ListAllDomains(0)
	if err != nil {
		b.Fatal(err)
	}
	r.others = len(others)
	freeDomains(others)
	if r.uri == "qemu:///system" { // whose daemon, old or modular, is known
		r.serve("/run/libvirtd.pid", "/run/virtqemud.pid")
	}
	r.makePool()
	r.makeFirmware()

	server, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	conn, err := server.Connect("collector", zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		server.Stop()
	})
	group := bus.DefaultGroup()
	group.Name = r.id
	if r.collector, err = New(Config{Groups: []bus.Group{group}, Tick: time.Second, Dial: dialTest, Identify: identify}, conn,
		zerolog.Nop()); err != nil {
		b.Fatal(err)
	}
	return r
}

// makePool makes the storage pool whose free space the collector reads.
func (r *rig) makePool() {
	pool, err := r.conn.StoragePoolCreateXML(fmt.Sprintf(
		`<pool type='dir'><name>%s</name><target><path>%s</path></target></pool>`, r.id, r.b.TempDir()), 0)
	if err != nil {
		r.b.Fatal(err)
	}
	r.pool = r.id
	r.b.Cleanup(func() {
		if err := pool.Destroy(); err != nil {
			r.b.Errorf("drop the pool: %s", err)
		}
		_ = pool.Free()
	})
}

// grow starts VMs until there are n. libvirt destroys them also when the benchmark is killed.
func (r *rig) grow(n int) {
	r.b.Helper()
	for len(r.vms) < n {
		var u [16]byte
		_, _ = rand.Read(u[:])
		uuid := fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
		name := fmt.Sprintf("%s-%d", r.id, len(r.vms)+1)
		meta, err := bus.Metadata{
			Group: r.id, Template: "demo", UUID: uuid, Created: time.Now(), Phase: bus.PhaseReady, Since: time.Now(),
			Pool: r.pool, Volume: bus.VolumeName(name, uuid),
		}.DefinitionXML()
		if err != nil {
			r.b.Fatal(err)
		}
		dom, err := r.conn.DomainCreateXML(fmt.Sprintf(`<domain type='qemu'><name>%s</name><uuid>%s</uuid><metadata>%s</metadata>
			<memory unit='MiB'>32</memory><os><type>hvm</type><loader type='rom'>%s</loader></os></domain>`,
			name, uuid, meta, r.halts), libvirt.DOMAIN_START_AUTODESTROY)
		if err != nil {
			r.b.Fatal(err)
		}
		r.b.Cleanup(func() {
			if err := dom.Destroy(); err != nil {
				r.b.Errorf("destroy %s: %s", name, err)
			}
			_ = dom.Free()
		})
		if len(r.servers) > 0 {
			r.serve("/run/libvirt/qemu/" + name + ".pid")
		}
		r.vms, r.running = append(r.vms, name), append(r.running, runningVM{name: name, uuid: uuid})
	}
}

// round takes each way in turn.
func (r *rig) round(b *testing.B, to *costs) {
	b.Helper()
	size, err := readSize(r.conn, identify)
	if err != nil {
		b.Fatal(err)
	}
	to[wayPass] = append(to[wayPass], r.measure(func() (samples int) {
		for range passesPerRound {
			p := r.tick(size)
			if p.err != nil || len(p.readings) < len(r.vms) {
				b.Fatalf("a pass found %d VMs, want %d: %v", len(p.readings), len(r.vms), p.err)
			}
			r.collector.publish(p)
			samples += len(p.readings)
		}
		return samples
	}))
	to[wayFork] = append(to[wayFork], r.measure(func() int {
		for i := range 2 * forksPerRound {
			virsh := exec.Command("virsh", "-c", r.uri, "domstats", r.vms[i/2%len(r.vms)], "--cpu-total")
			if err := virsh.Run(); err != nil {
				b.Fatalf("%s: %s", virsh, err)
			}
		}
		return forksPerRound
	}))
	to[wayBulk] = append(to[wayBulk], r.measure(func() (samples int) {
		for range bulksPerRound {
			stats, err := r.conn.GetAllDomainStats(nil, libvirt.DOMAIN_STATS_CPU_TOTAL, 0)
			if err != nil {
				b.Fatal(err)
			}
			for _, s := range stats {
				_ = s.Domain.Free()
			}
			samples += len(stats)
		}
		return samples
	}))
	to[wayForkBulk] = append(to[wayForkBulk], r.measure(func() int {
		for range 2 {
			virsh := exec.Command("virsh", append([]string{"-c", r.uri, "domstats", "--cpu-total"}, r.vms...)...)
			if err := virsh.Run(); err != nil {
				b.Fatalf("%s: %s", virsh, err)
			}
		}
		return len(r.vms)
	}))
	for way, files := range map[int][]kernelFile{wayStat: r.stats, wayGroup: r.groups} {
		if len(files) < len(r.vms) {
			continue
		}
		to[way] = append(to[way], r.measure(func() int {
			for range readsPerRound {
				for _, k := range files {
					k.read(b)
				}
			}
			return readsPerRound * len(files)
		}))
	}
	to[waySlow] = append(to[waySlow], r.measure(func() int {
		for range slowsPerRound {
			if s := readSlow(r.conn, &slowRound{started: time.Now()}, r.running, r.pool, true); s.err != nil || len(s.vms) != len(r.vms) {
				b.Fatalf("statistics of %d VMs, want %d: %v", len(s.vms), len(r.vms), s.err)
			}
		}
		return slowsPerRound * len(r.vms)
	}))
}

// measure is the cost of one of several samples; do says how many it took.
func (r *rig) measure(do func() int) cost {
	server, client, start := r.usedThere(), usedHere(), time.Now()
	each := time.Duration(do())
	wall := time.Since(start)
	client, server = usedHere()-client, r.usedThere()-server
	return cost{client: client / each, server: server / each, wall: wall / each}
}

// usedHere is the CPU time of this process and of the children that have ended.
func usedHere() time.Duration {
	var sum int64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err == nil {
			sum += u.Utime.Nano() + u.Stime.Nano()
		}
	}
	return time.Duration(sum)
}

// serve adds the process that one of the files names, if any does, to those whose CPU time counts.
func (r *rig) serve(files ...string) {
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil {
			r.servers = append(r.servers, strings.TrimSpace(string(text)))
			return
		}
	}
}

// usedThere is the CPU time of libvirtd's and the VMs' threads; 0 where it cannot be read. The threads' sum is finer
// than the 10 ms steps in which a process's own figure comes.
func (r *rig) usedThere() time.Duration {
	var sum time.Duration
	for _, pid := range r.servers {
		files, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
		for _, f := range files {
			var ns time.Duration
			if text, err := os.ReadFile(f); err == nil {
				_, _ = fmt.Sscan(string(text), &ns)
			}
			sum += ns
		}
	}
	return sum
}

// values are one figure of all rounds of a way, ascending.
func (c *costs) values(way int, figure func(cost) float64) []float64 {
	var all []float64
	for _, round := range c[way] {
		all = append(all, figure(round))
	}
	slices.Sort(all)
	return all
}

// median is one of a way's figures.
func (c *costs) median(way int, figure func(cost) float64) float64 {
	all := c.values(way, figure)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

// ratio is how many times the collector's figure a way's is: the median of the rounds' ratios.
func (c *costs) ratio(way int, figure func(cost) float64) float64 {
	var all []float64
	for i, round := range c[way] {
		all = append(all, figure(round)/figure(c[wayPass][i]))
	}
	slices.Sort(all)
	return (all[(len(all)-1)/2] + all[len(all)/2]) / 2
}

func (r *rig) print(sizes []int, all map[int]*costs) {
	ms := func(v float64) string { return fmt.Sprintf("%.2f", v/1e6) }
	client := func(c cost) float64 { return float64(c.client) }
	server := func(c cost) float64 { return float64(c.server) }
	wall := func(c cost) float64 { return float64(c.wall) }
	cpu := func(c cost) float64 { return c.cpu() }

	fmt.Printf(
		"\nOne CPU figure of one VM, in ms: medians of %d rounds (least-most); ratios of both CPU times, and of elapsed, to "+
			"vmscaler's; %d cores\n",
		len(all[sizes[0]][wayPass]),
		runtime.NumCPU(),
	)
	if r.others > 0 {
		fmt.Printf("other domains on this host, which the collector and the bulk call read too: %d\n", r.others)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VMs\tway\tCPU time\tof libvirtd and QEMU\tratio\telapsed\tratio\twith the sleep\tratio")
	for _, n := range sizes {
		for _, way := range []struct {
			id   int
			name string
		}{{wayPass, "vmscaler"}, {wayBulk, "bulk call"}, {wayFork, "virsh twice"}} {
			c := all[n]
			used := c.values(way.id, client)
			theirs := "?"
			if len(r.servers) > 0 {
				theirs = ms(c.median(way.id, server))
			}
			fmt.Fprintf(w, "%d\t%s\t%s (%s-%s)\t%s\t%.1f\t%s\t%.1f", n, way.name, ms(c.median(way.id, client)),
				ms(used[0]), ms(used[len(used)-1]), theirs, c.ratio(way.id, cpu), ms(c.median(way.id, wall)), c.ratio(way.id, wall))
			if way.id == wayFork {
				slept := func(c cost) float64 { return wall(c) + float64(time.Second) }
				fmt.Fprintf(w, "\t%s\t%.0f", ms(c.median(way.id, slept)), c.median(way.id, slept)/c.median(wayPass, wall))
			}
			fmt.Fprintln(w)
		}
	}
	_ = w.Flush()

	fmt.Println("\nSeconds of CPU time in a minute, libvirtd's and QEMU's included, calculated from the above:")
	w = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VMs\tvmscaler (60 ticks, 6 slow readings)\tshell loop, one VM after the other\tshell loop for each VM")
	for _, n := range sizes {
		c := all[n]
		ours := float64(n) * (60*c.median(wayPass, cpu) + 60/slowInterval.Seconds()*c.median(waySlow, cpu)) / 1e9
		period := 1 + c.median(wayFork, wall)/1e9 // of one VM's turn, in seconds
		loop := 60 / period * c.median(wayFork, cpu) / 1e9
		fmt.Fprintf(
			w,
			"%d\t%.2f, each VM every 1 s\t%.2f, each VM every %.1f s\t%.2f, each VM every %.1f s\n",
			n,
			ours,
			loop,
			float64(n)*period,
			float64(n)*loop,
			period,
		)
	}
	_ = w.Flush()
	fmt.Println(
		"The shell loop is virsh's two calls and the second between them; what else a script forks (grep, awk, bc) comes on top.",
	)
}
