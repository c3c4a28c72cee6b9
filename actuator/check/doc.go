// Package check runs the health checks of a group's VMs, and decides from the results whether a VM is healthy.
//
// The caller provides a Guest, through which a VM is queried: the package itself does not know libvirt. Guests are not trusted:
// each try has a deadline and reads a bounded number of bytes, no redirect or address from the guest is followed, and the reason
// of a result is one harmless line. Fold and Common are pure functions: from results to a VM's state, and from the states of a
// group's VMs to those that count.
package check
