package collector

import "time"

// counter is one reading of a running domain's CPU time.
type counter struct {
	run   uint          // libvirt's id of this run of the domain: another one after each start
	cpu   time.Duration // used since the run's start, by all vCPUs and the emulator
	at    time.Time     // with its monotonic part
	vcpus int
}

// percent is the CPU use between two readings; 100 is all the vCPUs, and emulator threads can take it a little
// higher. It is d(cpu time) / (d(time) * vCPUs), as from `virsh domstats --cpu-total`. There is no result
// (false) when the domain was restarted or its vCPUs changed in between, when the counter went back, or when
// the window is shorter than shortest or longer than longest.
func percent(before, now counter, shortest, longest time.Duration) (float64, bool) {
	window := now.at.Sub(before.at)
	switch {
	case before.at.IsZero(), now.run != before.run, now.vcpus != before.vcpus, now.vcpus < 1:
		return 0, false
	case now.cpu < before.cpu:
		return 0, false
	case window <= 0, window < shortest, window > longest:
		return 0, false
	}
	return 100 * float64(now.cpu-before.cpu) / (float64(window) * float64(now.vcpus)), true
}
