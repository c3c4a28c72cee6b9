// Package decider turns samples into the number of VMs that each group should have, with the reason.
//
// Decide is the whole rule, a pure function; Window gathers the samples between two evaluations; Decider is the
// thin loop that feeds them from the bus. The package does no I/O but the bus, does not know libvirt, and reads
// no clock inside the pure part.
package decider
