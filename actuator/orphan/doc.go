// Package orphan finds what is left where a person removed a domain or a volume by hand, and deletes the volumes that are
// vmscaler's for sure: those of which a record, kept beside libvirt, says which file was made.
package orphan
