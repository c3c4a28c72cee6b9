// Package collector reads libvirt's and the kernel's counters of the VMs that vmscaler owns and publishes them as samples,
// one complete list per group and tick.
//
// It decides nothing and changes no VM. No call of a tick touches the QEMU monitor, so one stopped QEMU process
// never delays the samples of the others; the few statistics that need the monitor are read beside the tick.
// What changes rarely is read again after libvirt's events, and from time to time.
package collector
