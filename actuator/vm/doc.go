// Package vm is the life of one VM on one libvirt: its domain and volume, launch, readiness, hooks and removal, and the inventory
// of those that vmscaler owns. It decides nothing, and touches no domain that does not carry vmscaler's metadata with its own
// UUID.
package vm
