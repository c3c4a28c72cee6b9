// Package check tries the checks of a group's VMs, and tells from their results how a VM is.
//
// A Guest, which is what a VM can be asked through libvirt, is given by the caller: the package itself knows no libvirt. What a
// guest says is hostile: each try has a deadline, reads a bounded number of bytes, follows nothing that the guest names, and its
// reason is one harmless line. Fold and Common are pure: results to verdicts, and the verdicts of a group to those that count.
package check
