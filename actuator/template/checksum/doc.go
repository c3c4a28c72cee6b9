// Package checksum takes the digests of files as they are published, and reads the lists in which their publishers give them.
package checksum
