package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Deadlines of the calls that could hang. A pass normally takes a few milliseconds.
const (
	passDeadline = 5 * time.Second
	slowInterval = 10 * time.Second
	slowDeadline = 10 * time.Second // of a round; normally it takes a few milliseconds for each VM
	slowMaxAge   = 30 * time.Second
)

// The pauses between two tries to reach libvirt, which grow from the first to the last: a libvirtd that has just
// started must not be kept busy by those who wait for it.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Second
)

// Config is what a Collector needs.
type Config struct {
	Groups []bus.Group
	Domain string        // what this host fails together with; "": it is not said
	Pool   string        // of the VMs' volumes, for its free space
	Local  bool          // libvirt is on this machine
	Tick   time.Duration // between two samples
	Dial   func(context.Context) (*libvirt.Connect, error)
	// Identify is which libvirt a connection reaches, and its host's name.
	Identify func(*libvirt.Connect) (bus.HostID, string, error)
	Instance string // this collector's name among all on the bus; "" is made of the host's name and the process's id
	// Ticks are the moments to sample; nil means every Tick.
	Ticks <-chan time.Time
	// Report is called with the stage's health: nil is well, else what it waits for. It may be nil.
	Report func(error)
	// Alive is called in each turn of the loop, and Sampled whenever the samples of a pass are published. Both may be nil.
	Alive, Sampled func()
}

// Collector is the stage that samples.
type Collector struct {
	cfg    Config
	conn   *client.Conn
	log    zerolog.Logger
	hashes map[string]string
	rates  map[string]bool // the groups that follow what their VMs move

	// What the previous pass saw; owned by Run's goroutine.
	before       map[string]counter // by UUID
	stalls       map[string]stall   // the same
	running      []runningVM        // those that before has a counter of
	hostBefore   hostCounter
	slow         map[string]slowReading // by UUID
	promises     promiseReader
	ran          map[string]bool // own VMs that a pass saw, and that ran when the promises were read, by UUID
	poolFree     *int
	poolFreeAt   time.Time
	unconfigured map[string]int // VMs here of groups that are not configured
	sampled      bool           // a pass has succeeded over this connection

	reloads client.Handover

	after func(time.Duration) <-chan time.Time // what tests replace
}

// New makes a collector. It returns an error when there is no group, no tick or no way to dial.
func New(cfg Config, conn *client.Conn, log zerolog.Logger) (*Collector, error) {
	switch {
	case len(cfg.Groups) == 0:
		return nil, errors.New("collector: no groups")
	case cfg.Tick <= 0:
		return nil, fmt.Errorf("collector: tick %s, want more than 0", cfg.Tick)
	case cfg.Dial == nil:
		return nil, errors.New("collector: no way to reach libvirt")
	case cfg.Identify == nil:
		return nil, errors.New("collector: no way to tell which libvirt it is")
	}
	if cfg.Instance == "" {
		cfg.Instance = bus.NewInstance()
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	for _, call := range []*func(){&cfg.Alive, &cfg.Sampled} {
		if *call == nil {
			*call = func() {}
		}
	}
	c := &Collector{
		cfg: cfg, conn: conn, log: log.With().Str("stage", "collector").Logger(), hashes: map[string]string{},
		rates:  map[string]bool{},
		before: map[string]counter{}, slow: map[string]slowReading{}, unconfigured: map[string]int{}, ran: map[string]bool{},
		after: time.After, reloads: client.NewHandover(),
	}
	c.setGroups(cfg.Groups)
	return c, nil
}

// Run samples at every tick until ctx ends. While libvirt cannot be reached it publishes nothing, reports why, and
// tries again after pauses that grow.
func (c *Collector) Run(ctx context.Context) error {
	ticks := c.cfg.Ticks
	if ticks == nil {
		t := time.NewTicker(c.cfg.Tick)
		defer t.Stop()
		ticks = t.C
	}
	var pause time.Duration
	for ctx.Err() == nil {
		c.sampled = false
		err := c.sampleUntilLost(ctx, ticks)
		if ctx.Err() != nil {
			return nil
		}
		c.cfg.Report(err)
		if c.sampled {
			pause = 0
		}
		pause = nextPause(pause)
		for over := c.after(pause); over != nil; {
			c.cfg.Alive()
			select {
			case <-ctx.Done():
				return nil
			case <-over:
				over = nil
			case r := <-c.reloads:
				c.reload(r)
			case <-ticks:
			}
		}
	}
	return nil
}

// nextPause is how long to wait after a try that failed; last is the pause before that try, 0 where there was none.
func nextPause(last time.Duration) time.Duration {
	return min(max(2*last, firstPause), lastPause)
}

// pass is what one pass over libvirt returns.
type pass struct {
	size     hostSize
	readings []reading
	host     bus.Host
	counter  hostCounter
	elapsed  time.Duration
	err      error
}

// session is the reading of one libvirt, until its connection is lost. Passes and slow rounds have a connection each with one
// call in flight: libvirt's client library before 10.4 can crash where keepalive gives up a connection with several. A call that
// hangs keeps its connection, which is closed once it returns.
type session struct {
	domains  *inventory
	size     hostSize // empty before the first pass
	passes   chan pass
	passRuns bool
	deadline *time.Timer // of the pass under way

	beside   *slowReader
	slows    chan slowResult
	slow     *slowRound // the one under way
	lastSlow time.Time
}

// end closes the connections, each once no call uses it any more.
func (s *session) end() {
	s.deadline.Stop()
	go func() {
		if s.passRuns {
			<-s.passes
		}
		s.domains.close()
	}()
	go func() {
		if s.slow != nil {
			<-s.slows
		}
		s.beside.close()
	}()
}

// sampleUntilLost samples over one connection until it fails or ctx ends.
func (c *Collector) sampleUntilLost(ctx context.Context, ticks <-chan time.Time) error {
	conn, err := c.cfg.Dial(ctx)
	if err != nil {
		return fmt.Errorf("reach libvirt: %w", err)
	}
	s := &session{
		domains: newInventory(conn, c.cfg.Local), passes: make(chan pass, 1), deadline: time.NewTimer(passDeadline),
		beside: &slowReader{dial: c.cfg.Dial}, slows: make(chan slowResult, 1),
	}
	defer s.end()
	promising, stop := context.WithCancel(ctx)
	defer stop()
	go c.promises.run(promising, c.cfg.Dial)

	for err == nil && ctx.Err() == nil {
		c.read(ctx, s)
		err = c.untilTick(ctx, s, ticks)
	}
	return err
}

// read begins a pass and, when it is time, a slow round, unless the one before still runs.
func (c *Collector) read(ctx context.Context, s *session) {
	if !s.passRuns {
		s.passRuns = true
		go func(known hostSize) {
			end := c.conn.Calls().Begin(bus.APILibvirt, "pass")
			p := s.domains.readAll(known, c.cfg.Identify, time.Now())
			end()
			s.passes <- p
		}(s.size)
		s.deadline.Reset(passDeadline)
	}
	if now := time.Now(); s.slow == nil && now.Sub(s.lastSlow) >= slowInterval {
		round, vms := &slowRound{started: now}, c.running
		s.slow, s.lastSlow = round, now
		go func() {
			end := c.conn.Calls().Begin(bus.APILibvirt, "slow-round")
			r := s.beside.read(ctx, round, vms, c.cfg.Pool, c.cfg.Local)
			end()
			s.slows <- r
		}()
	}
}

// untilTick publishes what is read until the next tick. Its error is the connection's.
func (c *Collector) untilTick(ctx context.Context, s *session, ticks <-chan time.Time) error {
	for {
		c.cfg.Alive()
		select {
		case <-ctx.Done():
			return nil
		case p := <-s.passes:
			s.passRuns = false
			if p.err != nil {
				return p.err
			}
			s.size, c.sampled = p.size, true
			now := time.Now()
			err := errors.Join(c.publish(p), cmp.Or(s.slow.overdue(now), c.promises.overdue(now)))
			if err == nil {
				err = unconfiguredNote(c.unconfigured)
			}
			c.cfg.Report(err)
			c.cfg.Sampled()
		case r := <-c.reloads:
			c.reload(r)
		case r := <-s.slows:
			s.slow = nil
			c.takeSlow(r)
		case <-s.deadline.C:
			c.cfg.Report(fmt.Errorf("libvirt has not answered for %s", passDeadline))
		case <-ticks:
			return nil
		}
	}
}

// readAll makes a pass. The host's size is read once a connection, by its first pass: like every call it may never
// return, and the stage must still be able to say so and to end.
func (v *inventory) readAll(size hostSize, identify func(*libvirt.Connect) (bus.HostID, string, error), now time.Time) pass {
	var p pass
	if size.id == "" {
		if size, p.err = readSize(v.conn, identify); p.err != nil {
			return p
		}
	}
	start := time.Now()
	p.size = size
	p.readings, p.err = v.read(now)
	if p.err != nil {
		return p
	}
	p.host, p.counter = readHost(v.conn, size, v.local)
	p.elapsed = time.Since(start)
	return p
}

func (c *Collector) takeSlow(s slowResult) {
	if s.poolFreeMiB != nil {
		c.poolFree, c.poolFreeAt = s.poolFreeMiB, s.at
	}
	if s.err != nil {
		c.log.Debug().Err(s.err).Msg("free space unknown")
		c.poolFree = nil
	}
	for uuid, now := range s.vms {
		now.delayPercent, now.rates = runDelayPercent(c.slow[uuid], now, c.before[uuid].vcpus), ratesBetween(c.slow[uuid], now)
		c.slow[uuid] = now
	}
	for uuid := range c.slow {
		if _, running := c.before[uuid]; !running {
			delete(c.slow, uuid)
		}
	}
}
