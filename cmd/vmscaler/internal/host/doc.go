// Package host is the way to a libvirt host: it chooses the URI, owns libvirt's event loop, explains what is wrong when nothing
// answers, tells hosts apart, holds the lock by which one process acts on each, and prepares what a config names there: network,
// storage pool, templates.
package host
