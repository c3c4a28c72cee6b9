package collector

import "time"

// counter is one reading of a running domain's CPU time.
type counter struct {
	run   uint          // libvirt's id of this run of the domain: another one after each start
	cpu   time.Duration // used since the run's start, by all vCPUs and the emulator
	at    time.Time     // with its monotonic part
	vcpus int
	exact bool // the kernel's figure, in nanoseconds, and not libvirt's, in steps of 10 ms
}

// percent is the CPU use between two readings; 100 is all the vCPUs, and emulator threads can take it a little
// higher. It is d(cpu time) / (d(time) * vCPUs), as from `virsh domstats --cpu-total`. There is no result
// (false) when the domain was restarted, its vCPUs changed or the counter is another one, when that went back, or when
// the window is shorter than shortest or longer than longest.
func percent(before, now counter, shortest, longest time.Duration) (float64, bool) {
	window := now.at.Sub(before.at)
	switch {
	case before.at.IsZero(), now.run != before.run, now.vcpus != before.vcpus, now.vcpus < 1, now.exact != before.exact:
		return 0, false
	case now.cpu < before.cpu:
		return 0, false
	case window <= 0, window < shortest, window > longest:
		return 0, false
	}
	return 100 * float64(now.cpu-before.cpu) / (float64(window) * float64(now.vcpus)), true
}

// When a counter that does not move is too good to be true. libvirt's has steps of 10 ms, so an idle guest leaves it
// unmoved for a tick or two.
const (
	stillFor   = 5 * time.Second
	stillTicks = 3
	// A guest that uses less than a step in that time shows it by moving a step or two when it moves at last. Then
	// it is given stillTimes as long as it took, within stillMost, or its group would never shrink.
	stillSteps = 20 * time.Millisecond
	stillTimes = 3
	stillMost  = time.Minute
)

// stall follows how long a running VM's counter has not moved. A source of statistics that is stuck, or a QEMU process
// that is stopped, looks like an idle VM, and a group would shrink under load.
type stall struct {
	since counter       // the first reading of the value that the counter has now
	quiet time.Duration // the longest that it did not move although the guest was just idle
}

// next is the state after one more reading.
func (s stall) next(now counter) stall {
	switch {
	case s.since.at.IsZero(), now.run != s.since.run, now.exact != s.since.exact, now.cpu < s.since.cpu:
		return stall{since: now}
	case now.cpu == s.since.cpu:
		return s
	case now.cpu-s.since.cpu <= stillSteps:
		s.quiet = max(s.quiet, now.at.Sub(s.since.at))
	}
	s.since = now
	return s
}

// stuck says for how long the counter has not moved, and whether that is too long to be believed.
func (s stall) stuck(now time.Time, tick time.Duration) (time.Duration, bool) {
	age := now.Sub(s.since.at)
	return age, age >= max(stillFor, stillTicks*tick, min(stillTimes*s.quiet, stillMost))
}
