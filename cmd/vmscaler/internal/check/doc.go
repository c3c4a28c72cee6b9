// Package check reports whether a libvirt host is ready for vmscaler, and what to do where it is not.
//
// [Gather] reads libvirt and, where libvirt runs on this machine, the host's files; [Facts.Findings] turns what was
// read into findings and looks at nothing else. Neither changes anything.
package check
