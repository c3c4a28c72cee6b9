// Package seed creates the NoCloud seed image that cloud-init reads in a new VM, and checks its data before any VM is created. It
// knows nothing of libvirt.
package seed
