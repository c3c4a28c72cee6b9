// Package fetch gets image files from servers into a cache folder, and compares them with the digests that their publishers give.
//
// A server is trusted with nothing: not with the size it tells, not with ending, nor with the content where a digest is known.
// What is cut off is kept and resumed, by this process or a later one.
//
// The package must not know what is in the files, nor libvirt.
package fetch
