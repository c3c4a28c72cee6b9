// Package fleetload measures what so many hosts would cost a decider: simulated hosts send real samples through the embedded bus,
// over TCP as from other machines, to the real decider, and receive its decisions. It starts no VM and asks no libvirt.
package fleetload
