// Package staging brings templates to hosts that lack them: a host hands out those that its groups need, and gets what it lacks
// from any other one that has it.
//
// What comes is trusted for nothing but its digest: a file with another is deleted. Hosts know each other by certificates that
// each makes for itself at its start, and whose fingerprints their actuators say on the bus, which lets each say so for itself
// alone. So who may read a template here is who is heard there as an actuator.
//
// A file comes into a folder first, where a transfer that was cut off goes on, by any host that has the same file. From there it
// is imported as one of a person's is, which has libvirt write it under a mark until it is whole.
//
// The package must not know which VMs there are, nor make any.
package staging
