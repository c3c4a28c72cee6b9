// Package template makes the read-only disk images that virtual machines are
// cloned from, and puts them into libvirt storage pools.
//
// Import takes a disk image that the user already has; package demo builds one
// from the distribution's packages. Both end in Upload, which writes the volume
// through libvirt's storage API, so that the pool may be on another host. Seal
// makes one of a volume that is there already.
// Lookup and List tell what a pool holds, and ReadUsage what needs it.
//
// A template is the backing file of every clone made from it: changing one byte
// of it would corrupt them all. Hence a finished one is never opened for
// writing or replaced here, and Remove deletes only what nothing needs; a new
// content is a new name.
//
// The package must not know groups, clone anything, or start a machine.
package template
