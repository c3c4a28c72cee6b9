package app

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
)

// cluster is several hosts with a group in virtual time: the decider's own window and rules, and on each host the actuator's.
type cluster struct {
	spec   bus.Group
	now    time.Time
	window decider.Window
	state  decider.State
	hosts  []*simHost
	made   int
	names  map[string]int // how many VMs have each name
	// confused says that identities have changed: what was made under one and not shown yet cannot be known under the other.
	confused bool
}

// simHost is one libvirt with its collector and actuator.
type simHost struct {
	id       bus.HostID
	name     string
	instance string
	silent   bool // its collector
	idle     bool // its actuator
	lies     []bus.VM
	vms      []*vm.VM
}

func newCluster(t *rapid.T) *cluster {
	spec := bus.DefaultGroup()
	spec.Name, spec.Min = "web", rapid.IntRange(0, 3).Draw(t, "min")
	spec.Max = max(1, spec.Min+rapid.IntRange(0, 6).Draw(t, "room"))
	spec.IdleToZero = time.Duration(rapid.IntRange(0, 10).Draw(t, "idle to zero")) * time.Second
	spec.Policy.BreachesIn, spec.Policy.CooldownIn = 1, 0
	c := &cluster{spec: spec, now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), names: map[string]int{}}
	c.window.SpecHash = spec.Hash()
	for i := range rapid.IntRange(1, 3).Draw(t, "hosts") {
		c.hosts = append(
			c.hosts,
			&simHost{id: bus.HostID(fmt.Sprintf("id-%d", i)), name: fmt.Sprintf("kvm%d", i), instance: fmt.Sprintf("c%d", i)},
		)
	}
	return c
}

// happen is something that befalls a host.
func (c *cluster) happen(t *rapid.T) {
	h := c.hosts[rapid.IntRange(0, len(c.hosts)-1).Draw(t, "host")]
	other := c.hosts[rapid.IntRange(0, len(c.hosts)-1).Draw(t, "other")]
	switch what := rapid.SampledFrom([]string{
		"renamed", "another identity", "the identity of another", "silent", "speaks", "idle", "acts", "lies of VMs",
		"lies of another's VMs",
		"truthful", "collector restarted", "suspended", "resumed", "decider",
	}).Draw(t, "what"); what {
	case "renamed":
		h.name += ".example.org"
	case "another identity":
		h.id, c.confused = h.id+"x", true
	case "the identity of another":
		h.id, c.confused = other.id, true
	case "silent":
		h.silent = true
	case "speaks":
		h.silent = false
	case "idle":
		h.idle = true
	case "acts":
		h.idle = false
	case "lies of VMs":
		for i := range rapid.IntRange(1, 5).Draw(t, "lies") {
			h.lies = append(
				h.lies,
				bus.VM{Name: "web-77", UUID: fmt.Sprintf("lie-%d", i), State: bus.StateRunning, Phase: bus.PhaseReady, CPUPercent: new(0.0)},
			)
		}
	case "lies of another's VMs":
		for _, vm := range other.vms {
			h.lies = append(h.lies, c.shown(vm))
		}
	case "truthful":
		h.lies = nil
	case "collector restarted":
		h.instance += "'"
	case "suspended", "resumed":
		if len(h.vms) > 0 {
			vm := h.vms[rapid.IntRange(0, len(h.vms)-1).Draw(t, "vm")]
			vm.State = map[string]bus.State{"suspended": bus.StatePaused, "resumed": bus.StateRunning}[what]
		}
	case "decider": // another one takes over, and knows what this one did
		c.state = decider.State{PreviousDesired: new(c.state.Desired), Hosts: c.state.Hosts, Numbers: c.state.Numbers}
	}
}

func (c *cluster) shown(vm *vm.VM) bus.VM {
	return bus.VM{
		Name: vm.Name, UUID: vm.UUID, State: vm.State, Phase: vm.Meta.Phase, Created: vm.Meta.Created, PhaseSince: vm.Meta.Since,
		CPUPercent: new(1.0),
	}
}

// step is a second: samples, a decision, and what the actuators do by it.
func (c *cluster) step(t *rapid.T) {
	c.now = c.now.Add(time.Second)
	for _, h := range c.hosts {
		for _, vm := range h.vms {
			if vm.Meta.Phase == bus.PhaseLaunching && c.now.Sub(vm.Meta.Since) > 3*time.Second {
				vm.Meta.Phase, vm.Meta.Since = bus.PhaseReady, c.now
			}
		}
		if h.silent {
			continue
		}
		s := bus.Sample{
			V:        bus.Version,
			Group:    "web",
			HostID:   h.id,
			Host:     h.name,
			Instance: h.instance,
			Time:     c.now,
			SpecHash: c.window.SpecHash,
			VMs:      slices.Clone(h.lies),
		}
		for _, vm := range h.vms {
			s.VMs = append(s.VMs, c.shown(vm))
		}
		_ = c.window.Add(s, c.now) // refused where another speaks for the host
	}
	obs := c.window.Take(c.now, 5*time.Second)
	for i := range obs.Hosts {
		acts := slices.ContainsFunc(c.hosts, func(h *simHost) bool { return h.id == obs.Hosts[i].ID && !h.idle })
		if obs.Hosts[i].Trouble == "" && !acts {
			obs.Hosts[i].Trouble = decider.Unattended
		}
	}
	var d bus.Decision
	d, c.state = decider.Decide(c.spec, c.state, obs, c.now)
	for _, h := range c.hosts {
		if d.Direction != bus.In && d.HasSample && !h.silent && h.lies == nil && c.alone(h) && d.Shares[h.id].VMs < h.kept() &&
			c.believed(obs, h) {
			t.Fatalf("%q: host %s has %d VMs, and its share is %+v of %+v", d.Sentence, h.id, h.kept(), d.Shares[h.id], d)
		}
		if !h.idle && c.alone(h) { // of two with one identity the second does nothing
			c.act(t, h, d)
		}
	}
}

// alone reports whether no other host has the same identity.
func (c *cluster) alone(h *simHost) bool {
	return !slices.ContainsFunc(c.hosts, func(other *simHost) bool { return other != h && other.id == h.id })
}

// believed reports whether all of a host's VMs are its own to the decider.
func (c *cluster) believed(obs decider.Observation, h *simHost) bool {
	return slices.ContainsFunc(obs.Hosts, func(o decider.HostObservation) bool {
		return o.ID == h.id && o.Trouble == "" && len(o.VMs) == len(h.vms)
	})
}

func (h *simHost) kept() (n int) {
	for _, vm := range h.vms {
		if !vm.State.Suspended() {
			n++
		}
	}
	return n
}

func (c *cluster) act(t *rapid.T, h *simHost, d bus.Decision) {
	s := actuator.Situation{
		Spec: c.spec, Work: map[string]actuator.Work{}, Sick: map[string]string{},
		Taken: map[string]bool{}, CPU: map[string]float64{}, BootSlots: 2, Controls: d.Controls,
	}
	s.Follow(d, h.id)
	for _, vm := range h.vms {
		s.Owned = append(s.Owned, *vm)
		s.Taken[vm.Name] = true
		if vm.Meta.Phase == bus.PhaseLaunching {
			s.Work[vm.UUID] = actuator.BringingUp
		}
	}
	plan := actuator.Plan(s)
	for _, r := range slices.Concat(plan.Remove, plan.Cancel) {
		if d.Direction != bus.In {
			t.Fatalf("a decision of direction %s (%q) removes %s", d.Direction, d.Sentence, r.VM.Name)
		}
		if r.VM.State.Suspended() {
			t.Fatalf("%s is suspended, and is removed", r.VM.Name)
		}
		c.names[r.VM.Name]--
		h.vms = slices.DeleteFunc(h.vms, func(vm *vm.VM) bool { return vm.UUID == r.VM.UUID })
	}
	for _, name := range plan.Create {
		c.made++
		uuid := fmt.Sprintf("%08d", c.made)
		if c.names[name]++; c.names[name] > 1 && !c.confused {
			t.Fatalf("two VMs are called %s", name)
		}
		h.vms = append(h.vms, &vm.VM{Name: name, UUID: uuid, State: bus.StateRunning, Meta: bus.Metadata{
			Group: "web", UUID: uuid, Created: c.now, Since: c.now, Phase: bus.PhaseLaunching,
		}})
	}
	if len(h.vms) > c.spec.Max {
		t.Fatalf("%d VMs on %s, max is %d", len(h.vms), h.name, c.spec.Max)
	}
}

// TestAHoldHolds: whatever hosts are called, claim, or leave unsaid, only a decision to scale in removes a VM; a suspended one is
// never removed; no share is below what its host has; and, while identities stay, no two VMs of a group have one name.
func TestAHoldHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCluster(t)
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if rapid.IntRange(0, 5).Draw(t, "happens") == 0 {
				c.happen(t)
			}
			if rapid.IntRange(0, 30).Draw(t, "by hand") == 0 {
				c.state.Controls.Desired = new(rapid.IntRange(c.spec.Min, c.spec.Max).Draw(t, "desired"))
			}
			c.step(t)
		}
	})
}
