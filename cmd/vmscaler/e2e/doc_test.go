// Package e2e tests the vmscaler program as its users run it: the real binary, real libvirt, real QEMU.
//
// Happy paths run on the machine's libvirt with a group, storage pool, network, bus port and lock of their own, so
// that a user's own VMs, and a vmscaler that looks after them, are never touched. What stops, kills or breaks
// libvirt runs against a private session libvirtd that the test starts. Every test ends with the same check:
// nothing of its group is left, and the template is unchanged.
package e2e
