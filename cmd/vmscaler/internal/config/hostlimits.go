package config

// HostLimits are what new VMs must leave of a host, as the actuator has them.
type HostLimits struct {
	MemoryReserveMiB int // stays free after the launch
	// MemoryPromisedPercent is how much counts as taken of what all running domains were given and have not touched
	// yet. Below 100 more memory is promised than there is.
	MemoryPromisedPercent float64
	PoolReserveMiB        int // stays free in the storage pool
	VCPUsPerCore          int // of all running domains, also foreign ones; 0 is no limit
}

// DefaultHostLimits leave a host enough to go on working.
func DefaultHostLimits() HostLimits {
	return HostLimits{MemoryReserveMiB: 512, MemoryPromisedPercent: 100, PoolReserveMiB: 1024, VCPUsPerCore: 16}
}
