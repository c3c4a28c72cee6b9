// Package unpack writes what a packed file has in it to another file, within bounds: some kilobytes can unpack to more than any
// disk has. It must not know images.
package unpack
