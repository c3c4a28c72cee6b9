package fleetload

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
)

// What a fleet may have.
const (
	maxHosts       = 10_000
	maxVMs         = 1_000_000 // of all hosts
	maxConnections = 50        // of each of the two sides: the embedded bus takes few
	maxLength      = time.Hour

	shortest = 200 * time.Millisecond // interval that a group may have
)

// Plan is the fleet that is simulated, and for how long.
type Plan struct {
	Hosts       int
	VMs         int           // of each host
	Groups      int           // into which the hosts are divided; 0 is as few as are allowed
	Connections int           // that the hosts share, as many for the samples as for the decisions
	Interval    time.Duration // between two samples of a host
	Length      time.Duration // for which is measured
}

// Check reports what is wrong with the plan.
func (p Plan) Check() error {
	_, err := p.complete()
	return err
}

// complete is the plan with what it leaves open, or what is wrong with it.
func (p Plan) complete() (Plan, error) {
	if p.Groups == 0 {
		p.Groups = (p.Hosts + bus.MaxHosts - 1) / bus.MaxHosts
	}
	switch {
	case p.Hosts < 1 || p.Hosts > maxHosts:
		return p, fmt.Errorf("hosts: found %d, want 1 to %d", p.Hosts, maxHosts)
	case p.VMs < 1 || p.VMs > bus.MaxVMs:
		return p, fmt.Errorf("vms: found %d, want 1 to %d, which a sample may have", p.VMs, bus.MaxVMs)
	case p.Hosts*p.VMs > maxVMs:
		return p, fmt.Errorf("hosts and vms: found %d VMs in all, want at most %d", p.Hosts*p.VMs, maxVMs)
	case p.Groups < 1 || p.Groups > p.Hosts:
		return p, fmt.Errorf("groups: found %d, want 1 to %d, one for each host", p.Groups, p.Hosts)
	case (p.Hosts+p.Groups-1)/p.Groups > bus.MaxHosts:
		return p, fmt.Errorf("groups: found %d for %d hosts, want %d or more: a group has at most %d hosts", p.Groups, p.Hosts,
			(p.Hosts+bus.MaxHosts-1)/bus.MaxHosts, bus.MaxHosts)
	case p.Connections < 1 || p.Connections > maxConnections:
		return p, fmt.Errorf("connections: found %d, want 1 to %d", p.Connections, maxConnections)
	case p.Interval < shortest || p.Interval > bus.LongestInterval:
		return p, fmt.Errorf("interval: found %s, want %s to %s", p.Interval, shortest, bus.LongestInterval)
	case p.Length < p.Interval || p.Length > maxLength:
		return p, fmt.Errorf("seconds: found %g, want at least an interval of %s, and at most %g", p.Length.Seconds(), p.Interval,
			maxLength.Seconds())
	}
	p.Connections = min(p.Connections, p.Hosts)
	return p, nil
}

// spec is a group of so many VMs, which it is to keep: their load is between the thresholds.
func (p Plan) spec(group int) (bus.Group, error) {
	g := bus.DefaultGroup()
	g.Name = groupName(group)
	g.Min, g.Max = 1, p.hostsOf(group)*p.VMs
	g.Policy.Interval = p.Interval
	return g, decider.Check(g)
}

// hostsOf is how many hosts a group has: host i is of group i modulo Groups.
func (p Plan) hostsOf(group int) int { return (p.Hosts - group + p.Groups - 1) / p.Groups }

func groupName(n int) string { return fmt.Sprintf("fleet%dx", n) } // a group's name does not end in a digit
