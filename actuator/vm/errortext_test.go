package vm

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"
)

func TestErrorText(t *testing.T) {
	for _, tt := range []struct{ name, err, want string }{
		{"plain", "define web-1: no space", "define web-1: no space"},
		{
			"libvirt's", "ping: virError(Code=86, Domain=10, Message='Guest agent is not responding: QEMU guest agent is not connected')",
			"ping: Guest agent is not responding: QEMU guest agent is not connected",
		},
		{"of several lines", "a:\n\tb\r\nc  d", "a: b c d"},
		{
			"an agent's", "virError(Code=38, Domain=10, Message='\x1b]0;GUEST\x07\x1b[1A\x1b[2Kvmscaler: all is well')",
			"␛]0;GUEST␇␛[1A␛[2Kvmscaler: all is well",
		},
		{"8 bit and backwards", "a\u009b2J\u202eb\x9b", "a�2J�b�"},
	} {
		if got := ErrorText(errors.New(tt.err)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := ErrorText(errors.New(strings.Repeat("\x1b", 10<<20))); len(got) > longestError {
		t.Errorf("%d bytes, want at most %d", len(got), longestError)
	}
}

// An agent's error can begin no line of its own wherever it is printed, and is still the error that libvirt said.
func TestAgentErrorIsOneLine(t *testing.T) {
	cause := libvirt.Error{Code: libvirt.ERR_AGENT_UNRESPONSIVE, Message: "no\nvmscaler: all is well\x1b[2J"}
	err := fmt.Errorf("web-1: %w", agentError{cause})
	if text := err.Error(); strings.ContainsAny(text, "\n\x1b") || !strings.Contains(text, "all is well␛[2J") {
		t.Errorf("it says %q", text)
	}
	if !errors.Is(err, libvirt.ERR_AGENT_UNRESPONSIVE) {
		t.Errorf("%v is another error now", err)
	}
}
