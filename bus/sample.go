package bus

import (
	"errors"
	"time"
)

// HostID names a libvirt by what does not change: not by its host's name. It is the host's UUID with the driver, such as
// "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", or "...-session-1000" for that of the user 1000.
type HostID string

// Host is the machine that a Sample was taken on. Nil is unknown.
type Host struct {
	CPUPercent    *float64 `json:"cpu_percent"` // 100 is all its cores
	Cores         int      `json:"cores"`
	MemoryMiB     int      `json:"memory_mib"`
	MemoryFreeMiB *int     `json:"memory_free_mib"` // what new VMs can have: free and reclaimable
	// MemoryPromisedMiB is what all running domains, also foreign ones, were given and have not touched yet.
	MemoryPromisedMiB *int `json:"memory_promised_mib"`
	PoolFreeMiB       *int `json:"pool_free_mib"` // in the storage pool of the VMs' volumes
	// Domain is what the host fails together with, such as its rack or its power supply; "": nobody has said so.
	Domain string `json:"domain,omitempty"`
}

// Sample is one tick's complete, possibly empty, list of a group's VMs on one host. Empty is not unknown: a
// collector that cannot read libvirt publishes nothing.
type Sample struct {
	V         int       `json:"v"`
	Group     string    `json:"group"`
	HostID    HostID    `json:"host_id"`
	Host      string    `json:"host"`     // its name, for people: it may change, and two hosts may have the same
	Instance  string    `json:"instance"` // of the collector
	Time      time.Time `json:"time"`
	VMs       []VM      `json:"vms"`
	HostLoad  Host      `json:"host_load"`
	ElapsedMS float64   `json:"elapsed_ms"` // how long the pass over all domains took
	SpecHash  string    `json:"spec_hash"`
}

func (s *Sample) check() error {
	if s.Group == "" || s.HostID == "" || s.Host == "" || s.Instance == "" || s.Time.IsZero() {
		return errors.New("sample without group, host_id, host, instance or time")
	}
	if s.VMs == nil { // no VMs is [], and another kind of message must not pass for it
		return errors.New("sample without vms")
	}
	if err := checkVersion(s.V); err != nil {
		return err
	}
	return s.bounds()
}
