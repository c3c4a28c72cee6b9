package actuator

import (
	"regexp"
	"strings"
)

// libvirtError is how the bindings print an error of libvirt.
var libvirtError = regexp.MustCompile(`(?s)virError\(Code=\d+, Domain=\d+, Message='(.*?)'\)`)

// ErrorText is an error for people: of libvirt's own errors just the message, and all on one line.
func ErrorText(err error) string {
	text := libvirtError.ReplaceAllString(err.Error(), "$1")
	return strings.Join(strings.Fields(text), " ")
}
