package fleetload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/decider"
)

const (
	settleWithin = 30 * time.Second // until each group has its first decision, and at the end each sample is taken
	lookEvery    = 20 * time.Millisecond
)

// fleet is a run.
type fleet struct {
	plan      Plan
	specs     []bus.Group
	hosts     []*host
	byID      map[bus.HostID]*host // nothing changes it
	members   map[string][]*host   // of each group
	senders   []*client.Conn
	receivers []*client.Conn

	mu        sync.Mutex
	measuring bool
	taken     []time.Duration // as in the report
	decided   []time.Duration
	age       []time.Duration
	known     map[string]bool // groups of which a decision with data has come
}

// Hooks are called when the measuring begins, as the fleet is complete, and when it is over, while the decider still has all that
// it knows.
type Hooks struct{ Begins, Ends func() }

// Run runs a plan. Where ctx ends, the report is of the time until then; before the measuring has begun that is ctx's error.
func Run(ctx context.Context, plan Plan, hooks Hooks, log zerolog.Logger) (_ Report, err error) {
	if plan, err = plan.complete(); err != nil {
		return Report{}, err
	}
	f := &fleet{plan: plan, byID: map[bus.HostID]*host{}, members: map[string][]*host{}, known: map[string]bool{}}
	if err := f.people(); err != nil {
		return Report{}, err
	}
	empty := liveHeap()
	dir, err := os.MkdirTemp("", "vmscaler-fleet-")
	if err != nil {
		return Report{}, fmt.Errorf("fleet: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, log) //nolint:contextcheck // it runs until Stop
	if err != nil {
		return Report{}, err //nolint:wrapcheck // it says what of the bus is wrong
	}
	defer s.Stop()
	connect := func(role bus.Role) (*client.Conn, error) {
		return client.DialNow(client.Remote{URL: s.URL(), Nkey: server.CredentialsFile(dir, role)}, string(role), log)
	}
	own, err := connect(bus.RoleDecider)
	if err != nil {
		return Report{}, err //nolint:wrapcheck // the same
	}
	defer own.Close()
	defer func() {
		for _, c := range append(f.senders, f.receivers...) {
			c.Close()
		}
	}()
	if err := f.connect(connect); err != nil {
		return Report{}, err
	}
	return f.run(ctx, own, hooks, empty, log)
}

// people makes the hosts.
func (f *fleet) people() error {
	start := time.Now().UTC()
	for n := range f.plan.Groups {
		spec, err := f.plan.spec(n)
		if err != nil {
			return fmt.Errorf("fleet: group %s: %w", spec.Name, err)
		}
		f.specs = append(f.specs, spec)
	}
	for n := range f.plan.Hosts {
		spec := f.specs[n%f.plan.Groups]
		h := newHost(f.plan, n, spec, start)
		f.hosts, f.byID[h.sample.HostID] = append(f.hosts, h), h
		f.members[spec.Name] = append(f.members[spec.Name], h)
	}
	return nil
}

func (f *fleet) connect(connect func(bus.Role) (*client.Conn, error)) error {
	for n := range f.plan.Connections {
		sender, err := connect(bus.RoleCollector)
		if err != nil {
			return err
		}
		f.senders = append(f.senders, sender)
		receiver, err := connect(bus.RoleActuator)
		if err != nil {
			return err
		}
		f.receivers = append(f.receivers, receiver)
		decisions := make(chan bus.Decision, 256)
		for i := range f.specs {
			if i%f.plan.Connections != n {
				continue // each group's decisions are decoded once: on real hosts each decodes those of its groups
			}
			if err := client.Subscribe(receiver, bus.DecisionsOf(f.specs[i].Name), decisions); err != nil {
				return err //nolint:wrapcheck // it says what could not be subscribed to
			}
		}
		go f.receive(receiver, decisions)
	}
	return nil
}

// receive takes decisions until the connection is closed.
func (f *fleet) receive(conn *client.Conn, decisions <-chan bus.Decision) {
	for {
		select {
		case d := <-decisions:
			f.hear(d, time.Now())
		case <-conn.Closed():
			return
		}
	}
}

// hear takes a decision that a host has decoded now.
func (f *fleet) hear(d bus.Decision, now time.Time) {
	var last time.Time
	var ages []time.Duration
	for _, h := range f.members[d.Group] {
		if sent, is := h.newest(d.Time); is {
			ages = append(ages, now.Sub(sent))
			if sent.After(last) {
				last = sent
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.HasSample {
		f.known[d.Group] = true
	}
	if !f.measuring || last.IsZero() {
		return
	}
	f.age, f.decided = append(f.age, ages...), append(f.decided, now.Sub(last))
}

// took is called by the decider with each sample that it has taken.
func (f *fleet) took(s bus.Sample, at time.Time) {
	f.byID[s.HostID].fold(s.Time, at)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.measuring {
		f.taken = append(f.taken, at.Sub(s.Time))
	}
}

// run runs the decider and the hosts, and measures.
func (f *fleet) run(
	ctx context.Context, own *client.Conn, hooks Hooks, empty uint64, log zerolog.Logger,
) (r Report, err error) {
	d, err := decider.New(decider.Config{Groups: f.specs, Tick: f.plan.Interval, Taken: f.took}, own, log)
	if err != nil {
		return Report{}, err //nolint:wrapcheck // it names the decider
	}
	beyond := context.WithoutCancel(ctx) // an end of the measuring is none of the decider: what was sent is to be taken
	deciding, stopDecider := context.WithCancel(beyond)
	done := make(chan error, 1)
	go func() { done <- d.Run(deciding) }()
	defer func() {
		stopDecider()
		err = errors.Join(err, <-done)
	}()
	sending, stopSending := context.WithCancelCause(beyond)
	var all sync.WaitGroup
	defer all.Wait()
	defer stopSending(nil)
	senders := f.divide()
	for i := range senders {
		all.Go(func() {
			if err := senders[i].run(sending); err != nil {
				stopSending(err)
			}
		})
	}
	if err := until(ctx, sending, f.complete); err != nil {
		return Report{}, fmt.Errorf("fleet: wait for the first decision of each group: %w", err)
	}
	hooks.Begins()
	before := f.begin()
	select {
	case <-time.After(f.plan.Length):
	case <-ctx.Done():
	case <-sending.Done():
		return Report{}, fmt.Errorf("fleet: %w", context.Cause(sending))
	}
	r = f.end(before)
	stopSending(nil)
	all.Wait()
	_ = until(beyond, beyond, f.settled) // a decider that has fallen behind is what Taken says
	for i := range senders {
		r.Late += senders[i].late
	}
	for _, h := range f.hosts {
		sent, taken := h.counts()
		r.Samples, r.Taken = r.Samples+sent, r.Taken+taken
		if h.health.Instance == "" {
			r.Unattended++
		}
	}
	hooks.Ends()
	grown := float64(max(liveHeap(), empty) - empty)
	r.MemoryMiB, r.BytesPerVM = grown/(1<<20), grown/float64(f.plan.Hosts*f.plan.VMs)
	return r, nil
}

// divide gives each connection its hosts.
func (f *fleet) divide() []sender {
	senders := make([]sender, len(f.senders))
	for n := range senders {
		senders[n] = sender{collector: f.senders[n], actuator: f.receivers[n], interval: f.plan.Interval}
	}
	for i, h := range f.hosts {
		s := &senders[i%len(senders)]
		s.hosts = append(s.hosts, h)
		if i >= bus.MaxStages-1 { // the decider takes no more signs of life, but for its own
			h.health.Instance = ""
		}
	}
	return senders
}

// until waits until done says so, a context ends, or it has taken too long.
func until(ctx, sending context.Context, done func() bool) error {
	deadline, tick := time.After(settleWithin), time.NewTicker(lookEvery)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-sending.Done():
			return context.Cause(sending)
		case <-deadline:
			return fmt.Errorf("not in %s", settleWithin)
		case <-tick.C:
		}
	}
	return nil
}

// complete reports whether each group has a decision that goes by samples, and each host was heard.
func (f *fleet) complete() bool {
	for _, h := range f.hosts {
		if !h.heard() {
			return false
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.known) == len(f.specs)
}

func (f *fleet) settled() bool {
	for _, h := range f.hosts {
		if !h.settled() {
			return false
		}
	}
	return true
}

// counters are what a run has used so far.
type counters struct {
	at       time.Time
	cpu      time.Duration
	mallocs  uint64
	sent     nats.Statistics
	received nats.Statistics
}

func (f *fleet) count() counters {
	c := counters{at: time.Now()}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err == nil {
		c.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c.mallocs = m.Mallocs
	for i := range f.senders {
		s, r := f.senders[i].NATS().Stats(), f.receivers[i].NATS().Stats()
		c.sent.OutMsgs, c.sent.OutBytes = c.sent.OutMsgs+s.OutMsgs, c.sent.OutBytes+s.OutBytes
		c.received.InMsgs, c.received.InBytes = c.received.InMsgs+r.InMsgs, c.received.InBytes+r.InBytes
		c.received.OutMsgs, c.received.OutBytes = c.received.OutMsgs+r.OutMsgs, c.received.OutBytes+r.OutBytes
	}
	return c
}

// begin begins the measuring.
func (f *fleet) begin() counters {
	f.mu.Lock()
	f.measuring = true
	f.mu.Unlock()
	for _, h := range f.hosts {
		h.restart()
	}
	return f.count()
}

// end ends it.
func (f *fleet) end(before counters) Report {
	now := f.count()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.measuring = false
	took := now.at.Sub(before.at)
	intervals := float64(took) / float64(f.plan.Interval)
	r := Report{
		Hosts: f.plan.Hosts, VMsPerHost: f.plan.VMs, Groups: f.plan.Groups, IntervalS: f.plan.Interval.Seconds(),
		Seconds: took.Seconds(), Connections: 2 * f.plan.Connections, Cores: runtime.NumCPU(),
		Decisions:   len(f.decided),
		SampleTaken: quantiles(f.taken), SampleDecided: quantiles(f.decided), SampleAge: quantiles(f.age),
	}
	cpu := now.cpu - before.cpu
	r.CPUPercent = 100 * float64(cpu) / float64(took)
	r.CPUPerHostUS = float64(cpu.Microseconds()) / intervals / float64(f.plan.Hosts)
	r.CPUPerVMUS = r.CPUPerHostUS / float64(f.plan.VMs)
	r.AllocsPerVM = float64(now.mallocs-before.mallocs) / intervals / float64(f.plan.Hosts*f.plan.VMs)
	samples, decisions := now.sent.OutMsgs-before.sent.OutMsgs, now.received.InMsgs-before.received.InMsgs
	signs := now.received.OutMsgs - before.received.OutMsgs
	r.MessagesPerS = float64(samples+decisions+signs) / took.Seconds()
	sampleBytes, decisionBytes := now.sent.OutBytes-before.sent.OutBytes, now.received.InBytes-before.received.InBytes
	r.SampleBytes = float64(sampleBytes) / float64(max(samples, 1))
	r.DecisionBytes = float64(decisionBytes) / float64(max(decisions, 1))
	r.MiBPerS = float64(sampleBytes+decisionBytes+now.received.OutBytes-before.received.OutBytes) / took.Seconds() / (1 << 20)
	return r
}

// liveHeap is what lives of the heap, in bytes.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers have let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
