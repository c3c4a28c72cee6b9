// Package console reads and writes the serial console of a domain, as a person with virsh console does, and keeps what VMs
// printed while they booted.
//
// The package must not make or change a domain.
package console
