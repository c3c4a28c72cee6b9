package vm

import (
	"regexp"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// longestError is how long an error's text may be, in bytes: libvirt repeats what a guest's agent says, up to 10 MiB.
const longestError = 2000

// libvirtError is how the bindings print an error of libvirt.
var libvirtError = regexp.MustCompile(`(?s)virError\(Code=\d+, Domain=\d+, Message='(.*?)'\)`)

// ErrorText is an error for people: of libvirt's own errors just the message, all on one line, harmless and not too long,
// as a guest may have written it.
func ErrorText(err error) string {
	text := libvirtError.ReplaceAllString(bus.Clip(err.Error(), 4*longestError), "$1")
	return bus.Clip(bus.Line(strings.Join(strings.Fields(text), " ")), longestError)
}
