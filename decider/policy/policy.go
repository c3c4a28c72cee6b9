// Package policy says how many VMs a load wants. A policy sees only what a host can observe of a group, reads no clock and
// draws no random number: the same readings give the same recommendations, in a running group, in a replay and in a simulation.
package policy

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/expression"
)

// Reading is a group at one moment.
type Reading struct {
	Now time.Time
	// CPUPercent is the mean use of the ready VMs since the last reading, 0 to 100; nil is unknown. At 100 the load is
	// hidden: it may be any number of times as much.
	CPUPercent *float64
	// Load is the mean work of the ready VMs since the last reading, in VMs: their mean use times their number, moment by moment.
	// It differs from CPUPercent x Ready where that number has changed. nil is unknown.
	Load *float64
	// Full is the mean share of the ready VMs that were at FullPercent or more, 0 to 1; 0 without a CPUPercent.
	Full float64
	// MemoryPercent is the mean that the guests of the ready VMs use of their memory; nil is unknown of one of them.
	MemoryPercent *float64
	// LoadPercent is the mean load average of the ready VMs in percent of their vCPUs; nil is unknown of one of them.
	LoadPercent *float64
	Rates       bus.Rates                    // means of what the ready VMs move; nil is unknown of one of them
	Metrics     map[string]expression.Number // numbers of the whole group, by name
	Ready       int                          // VMs that serve, whose CPU is in the mean
	Coming      int                          // VMs on their way to ready
	Boot        time.Duration                // how long that takes, as measured; 0 is not known yet
	// Handover is how long a VM of the warm pool takes to serve, as measured or else expected; 0: the group has no such pool.
	// Warm is how many wait there that can be handed over now, beside those of Coming.
	Handover time.Duration
	Warm     int
	Desired  int // what was wanted last
	Min, Max int
}

// FullPercent is the use from which on a VM counts as full: its load is only known to be at least as much, and noise takes a full
// one's reading of a second this low.
const FullPercent = 95.

// Recommendation is what a policy wants, before any limit.
type Recommendation struct {
	Desired int    // VMs, min to max
	Reason  string // why, in one sentence
}

// Policy turns readings into recommendations, one after the other. Its parameters and all that it remembers are exported fields
// of bounded size, so that it can be kept as JSON and go on after a restart.
type Policy interface {
	Recommend(Reading) Recommendation
	// Interval is the time between two readings that the policy is made for.
	Interval() time.Duration
}

// Alarmer is a Policy that is shown each evaluation as well, about a second apart, whose CPU is the only mean in the reading. It
// reports whether its recommendation cannot wait for the next interval.
type Alarmer interface {
	Policy
	Alarm(Reading) (r Recommendation, now bool)
}
