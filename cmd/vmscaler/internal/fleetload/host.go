package fleetload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// host is a simulated one.
type host struct {
	sample bus.Sample
	health bus.Health
	phase  time.Duration // in the interval, when it sends
	loads  []float64     // of its VMs, in percent

	mu          sync.Mutex
	since       time.Time // from when on samples are counted
	sent, taken int
	rounds      int       // samples in all
	last        time.Time // when the newest was sent
	folded      []folding // the newest that were taken
	signed      time.Time // when it has given a sign of life
}

// folding is that the decider took a sample.
type folding struct{ sent, at time.Time }

// maxFoldings is how many samples of a host wait for the decision that they are in. More are of a decider that has fallen behind.
const maxFoldings = 64

func newHost(p Plan, n int, spec bus.Group, start time.Time) *host {
	h := &host{phase: time.Duration(n) * p.Interval / time.Duration(p.Hosts), loads: make([]float64, p.VMs)}
	name := fmt.Sprintf("kvm%d.example.org", n+1)
	id := bus.HostID(fmt.Sprintf("4c4c4544-0035-4e10-8051-%012x-system", n))
	h.sample = bus.Sample{
		V: bus.Version, Group: spec.Name, HostID: id, Host: name, Instance: fmt.Sprintf("%s-%d-ZQ3FJA", name, 4000+n),
		SpecHash: spec.Hash(), ElapsedMS: 4.231, VMs: make([]bus.VM, p.VMs),
		HostLoad: bus.Host{
			CPUPercent: new(41.7), Cores: 64, MemoryMiB: 256_000, MemoryFreeMiB: new(128_000), MemoryPromisedMiB: new(1536),
			PoolFreeMiB: new(512_000),
		},
	}
	machine := spec.MachineHash()
	booted := start.Add(-time.Hour)
	for i := range h.sample.VMs {
		number := n/p.Groups*p.VMs + i
		h.loads[i] = float64(30+(n+i)%30) + 0.5
		h.sample.VMs[i] = bus.VM{
			Name: fmt.Sprintf("%s-%d", spec.Name, number+1), UUID: fmt.Sprintf("5c0d2a9e-7f0b-4e53-%04x-%012x", n, i),
			State: bus.StateRunning, Phase: bus.PhaseReady, CPUPercent: &h.loads[i], VCPUs: 2, MemoryMiB: 1024,
			MemoryUsedMiB: new(512), RunDelayPercent: new(1.5), Created: booted, PhaseSince: booted, BootedAt: &booted,
			Template: "demo", Machine: machine, Address: fmt.Sprintf("10.%d.%d.%d", n/250, n%250, 1+i%250),
		}
	}
	h.health = bus.Health{
		V: bus.Version, Stage: string(bus.RoleActuator), Instance: h.sample.Instance, OK: true, Since: start, Version: "simulated",
		Acts: &bus.Acts{HostID: id, Full: []string{}, Taken: map[string][]int{}},
	}
	return h
}

// send sends the host's next sample. A load moves up and down by a tenth, as no two samples are the same.
func (h *host) send(conn *client.Conn) error {
	for i := range h.loads {
		h.loads[i] += 0.1 - 0.2*float64(h.rounds%2)
	}
	h.mu.Lock()
	h.sample.Time = time.Now().UTC()
	h.sent, h.last = h.sent+1, h.sample.Time
	h.mu.Unlock()
	h.rounds++
	return conn.Publish(&h.sample) //nolint:wrapcheck // it names the subject
}

// fold notes that the decider took a sample of the host at a time.
func (h *host) fold(sent, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !sent.Before(h.since) {
		h.taken++
	}
	if h.folded = append(h.folded, folding{sent, at}); len(h.folded) > maxFoldings {
		h.folded = h.folded[1:]
	}
}

// newest is when the newest sample was sent that a decision of a time goes by; false where it has none.
func (h *host) newest(decided time.Time) (sent time.Time, is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.folded) > 1 && !h.folded[1].at.After(decided.Add(-2*time.Second)) {
		h.folded = h.folded[1:] // others may ask of a decision that is a little older
	}
	for _, f := range h.folded {
		if !f.at.After(decided) {
			sent, is = f.sent, true
		}
	}
	return sent, is
}

// restart counts samples from now on.
func (h *host) restart() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since, h.sent, h.taken = time.Now(), 0, 0
}

// counts are the samples that were sent and taken.
func (h *host) counts() (sent, taken int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sent, h.taken
}

// heard reports whether the decider has taken anything of the host, settled whether that is the last that it has sent.
func (h *host) heard() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.folded) > 0
}

func (h *host) settled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.folded) > 0 && h.folded[len(h.folded)-1].sent.Equal(h.last)
}

// sender sends for some of the hosts, each kind of message as the stage that does on a real one.
type sender struct {
	collector, actuator *client.Conn
	hosts               []*host
	interval            time.Duration
	late                int // samples that were sent more than an interval after their time, as this machine has no time for them
}

// run sends until ctx ends, a sample of each host in each interval.
func (s *sender) run(ctx context.Context) error {
	start, timer := time.Now(), time.NewTimer(0)
	defer timer.Stop()
	for round := 0; ; round++ {
		for _, h := range s.hosts {
			due := start.Add(time.Duration(round)*s.interval + h.phase)
			timer.Reset(time.Until(due))
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
			if time.Since(due) > s.interval {
				s.late++
			}
			if err := h.send(s.collector); err != nil {
				return err
			}
			if err := h.sign(s.actuator); err != nil {
				return err
			}
		}
	}
}

// sign sends a sign of life where one is due, if the host gives any.
func (h *host) sign(conn *client.Conn) error {
	now := time.Now().UTC()
	if h.health.Instance == "" || now.Sub(h.signed) < bus.HealthInterval {
		return nil
	}
	h.signed, h.health.Time = now, now
	return conn.Publish(&h.health) //nolint:wrapcheck // it names the subject
}
