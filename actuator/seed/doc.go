// Package seed makes what cloud-init reads in a new VM, a NoCloud seed, and checks it before any VM is made. It knows nothing of
// libvirt.
package seed
