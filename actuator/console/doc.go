// Package console reads and writes the serial console of a domain, as a person with virsh console does.
//
// The package must not make or change a domain.
package console
