package vm

import (
	"testing"
)

func TestQuoted(t *testing.T) {
	for word, want := range map[string]string{
		"qemu:///system": "qemu:///system", "fast": "fast", "": "''", "/a b": "'/a b'", "it's": `'it'\''s'`, "$(reboot)": "'$(reboot)'",
		"qemu+unix:///session?socket=/run/x": "'qemu+unix:///session?socket=/run/x'",
	} {
		if got := quoted(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
}
