package e2e

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

// fuzzer publishes, all the time, what must change nothing: garbage under the credentials of each role, and forgeries
// without any.
type fuzzer struct {
	c    *chaos
	rng  *rand.Rand
	once sync.Once
	quit chan struct{}
	done chan struct{}
	sent int
}

const (
	burstEvery = 500 * time.Millisecond
	burst      = 6
)

func (c *chaos) startFuzzer() *fuzzer {
	f := &fuzzer{
		c:    c,
		rng:  rand.New(rand.NewPCG(c.rng.Uint64(), c.rng.Uint64())),
		quit: make(chan struct{}),
		done: make(chan struct{}),
	}
	go f.run()
	return f
}

// stop ends it; it may not have been started.
func (f *fuzzer) stop() {
	if f == nil {
		return
	}
	f.once.Do(func() { close(f.quit) })
	<-f.done
}

func (f *fuzzer) run() {
	defer close(f.done)
	next := time.NewTicker(burstEvery)
	defer next.Stop()
	for {
		select {
		case <-f.quit:
			return
		case <-next.C:
			f.attack()
		}
	}
}

// attack is one connection with some messages. The bus may be down, or its credentials gone.
func (f *fuzzer) attack() {
	role := bus.Roles()[f.rng.IntN(len(bus.Roles()))]
	options := []nats.Option{
		nats.NoReconnect(),
		nats.Timeout(time.Second),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	if role != bus.RoleTap {
		seed := server.CredentialsFile(f.c.state, role)
		if f.c.place.external {
			seed = f.c.login[1]
		}
		login, err := nats.NkeyOptionFromSeed(seed)
		if err != nil {
			return
		}
		options = append(options, login)
	}
	nc, err := nats.Connect(f.c.url, options...)
	if err != nil {
		return
	}
	defer nc.Close()
	for range burst {
		if nc.PublishMsg(f.message(role)) == nil {
			f.sent++
		}
	}
	_ = nc.FlushTimeout(time.Second) // a message that is too large ends the connection
}

// message is one that must change nothing. Only those without credentials forge what a stage would believe.
func (f *fuzzer) message(role bus.Role) *nats.Msg {
	sample, decision := f.c.messages.newest()
	if role == bus.RoleTap && f.rng.IntN(2) == 0 {
		return f.forgery(decision)
	}
	pick := []func(bus.Sample, bus.Decision) *nats.Msg{f.garbage, f.oversized, f.stale, f.replayed, f.future}
	return pick[f.rng.IntN(len(pick))](sample, decision)
}

// subject is any that somebody listens to.
func (f *fuzzer) subject() string {
	group := bus.Token(f.c.group)
	all := []string{
		"vmscaler.sample." + group + ".somewhere", "vmscaler.sample.>", "vmscaler.decision." + group + ".out", "vmscaler.decision.x.in",
		"vmscaler.lifecycle." + group + "._.control", "vmscaler.lifecycle." + group + "." + group + "-1.ready",
		"vmscaler.health.actuator.x-1",
		"vmscaler.ctl.status", "vmscaler.ctl.explain", "vmscaler.ctl.pause", "vmscaler.ctl.resume", "vmscaler.ctl.dry-run",
		"vmscaler.ctl.scale", "vmscaler.ctl.hook", "vmscaler.wake.x", "vmscaler.wake.>",
		"vmscaler", "vmscaler..x", "$SRV.PING", "_INBOX.x",
	}
	return all[f.rng.IntN(len(all))]
}

func (f *fuzzer) garbage(bus.Sample, bus.Decision) *nats.Msg {
	bodies := []string{
		"", "null", "[]", "{}", "0", `"x"`, "{", `{"v":1}`, `{"v":"1"}`,
		`{"v":1,"group":"` + f.c.group + `","host":"h","time":"yesterday","vms":[]}`,
		`{"v":1,"group":"` + f.c.group + `","host":"h","time":"2026-01-01T00:00:00Z","vms":null}`,
		`{"v":1,"group":"` + f.c.group + `","id":"x","desired":-1,"expires_at":"2126-01-01T00:00:00Z"}`,
		strings.Repeat(
			"[",
			20000,
		), "\x00\xff\xfe", `{"group": 7, "scopes": "in", "on": "perhaps"}`, `{"group": "no-such-group", "scopes": ["in"]}`,
	}
	msg := nats.NewMsg(f.subject())
	msg.Data = []byte(bodies[f.rng.IntN(len(bodies))])
	return msg
}

// oversized is below what a server takes by default, or above.
func (f *fuzzer) oversized(bus.Sample, bus.Decision) *nats.Msg {
	msg := nats.NewMsg(f.subject())
	msg.Data = []byte(`{"v":1,"group":"` + strings.Repeat("x", 200_000+f.rng.IntN(1_000_000)) + `"}`)
	return msg
}

// stale is a decision for no VMs at all, of a later term, which has expired, or a sample of long ago without VMs.
func (f *fuzzer) stale(s bus.Sample, d bus.Decision) *nats.Msg {
	if f.rng.IntN(2) == 0 {
		s.Time, s.VMs = time.Now().Add(-time.Hour), []bus.VM{}
		return asMessage(s.Subject(), s)
	}
	d.Term, d.Seq, d.Desired, d.Direction, d.ExpiresAt = d.Term+1000, 1, 0, bus.In, time.Now().Add(-time.Second)
	d.Shares = map[bus.HostID]bus.Share{s.HostID: {Host: s.Host}}
	return asMessage(d.Subject(), d)
}

// replayed is what was said just now, word by word.
func (f *fuzzer) replayed(s bus.Sample, d bus.Decision) *nats.Msg {
	if f.rng.IntN(2) == 0 {
		return asMessage(s.Subject(), s)
	}
	return asMessage(d.Subject(), d)
}

// future is a message of a version that nobody knows.
func (f *fuzzer) future(s bus.Sample, d bus.Decision) *nats.Msg {
	if f.rng.IntN(2) == 0 {
		s.V, s.VMs, s.Time = 2, []bus.VM{}, time.Now()
		return asMessage(s.Subject(), s)
	}
	d.V, d.Desired, d.Seq = 2, 0, d.Seq+1000
	return asMessage(d.Subject(), d)
}

// forgery is a decision that the actuator would obey.
func (f *fuzzer) forgery(d bus.Decision) *nats.Msg {
	shares := map[bus.HostID]bus.Share{}
	for id, share := range d.Shares {
		share.VMs = f.c.max
		shares[id] = share
	}
	d.Desired, d.Shares, d.Seq, d.ExpiresAt = f.c.max, shares, d.Seq+1, time.Now().Add(time.Minute)
	return asMessage(d.Subject(), d)
}

func asMessage(subject string, body any) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Data, _ = json.Marshal(body) // plain fields
	return msg
}
