package fleetload

import (
	"slices"
	"time"
)

// Report is what a run has shown.
type Report struct {
	Hosts       int     `json:"hosts"`
	VMsPerHost  int     `json:"vms_per_host"`
	Groups      int     `json:"groups"`
	IntervalS   float64 `json:"interval_s"`
	Seconds     float64 `json:"seconds"`
	Connections int     `json:"connections"`
	Cores       int     `json:"cores"`
	// Samples were sent, and Taken of them by the decider. Of a host that sends again before that the newest is.
	Samples int `json:"samples"`
	Taken   int `json:"taken"`
	// Late were sent more than an interval after their time since the start, as the machine had no time for them.
	Late       int `json:"late"`
	Decisions  int `json:"decisions"`            // received, each by one of the connections
	Unattended int `json:"unattended,omitempty"` // hosts whose signs of life are beyond the most that a decider takes
	// SampleTaken is from before a sample is encoded until the decider has taken it. SampleDecided is from before the last sample
	// that a decision waited for is encoded until a host has decoded the decision. SampleAge is the same from each host's own
	// sample, which waits for those of the other hosts of the group.
	SampleTaken   Quantiles `json:"sample_taken_ms"`
	SampleDecided Quantiles `json:"sample_decided_ms"`
	SampleAge     Quantiles `json:"sample_age_ms"`
	// CPU is of the whole process: the hosts' encoding, the bus, the decider, and the decoding of decisions.
	CPUPercent    float64 `json:"cpu_percent"` // 100 is one core
	CPUPerHostUS  float64 `json:"cpu_us_per_host_and_interval"`
	CPUPerVMUS    float64 `json:"cpu_us_per_vm_and_interval"`
	MemoryMiB     float64 `json:"memory_mib"` // of the Go heap that lives, above what the hosts take
	BytesPerVM    float64 `json:"memory_bytes_per_vm"`
	MessagesPerS  float64 `json:"messages_per_s"` // samples, signs of life and decisions, as often as they are received
	SampleBytes   float64 `json:"sample_bytes"`   // of one, with NATS's lines
	DecisionBytes float64 `json:"decision_bytes"`
	MiBPerS       float64 `json:"mib_per_s"`
	AllocsPerVM   float64 `json:"allocations_per_vm_and_interval"`
}

// Quantiles are of times in ms.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
	N   int     `json:"n"` // how many were measured
}

func quantiles(took []time.Duration) Quantiles {
	if len(took) == 0 {
		return Quantiles{}
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[min(len(took)-1, int(share*float64(len(took))))].Microseconds()) / 1000
	}
	return Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1), N: len(took)}
}
