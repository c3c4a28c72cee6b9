package hosttool

import (
	"strings"
	"testing"
)

// A tool that says a line for each of a million errors takes little memory.
func TestTail(t *testing.T) {
	var out Tail
	for range 1 << 16 {
		if n, err := out.Write([]byte("ERROR cluster\n")); n != 14 || err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := out.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	got := string(out.Bytes())
	if len(got) > 2*tailSize || !strings.HasPrefix(got, "ERROR") || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes, from %q to %q", len(got), got[:20], got[len(got)-20:])
	}
	var long Tail
	if n, err := long.Write(make([]byte, 5*tailSize)); n != 5*tailSize || err != nil || len(long.Bytes()) != 2*tailSize {
		t.Errorf("one long write: %d, %v, %d bytes kept", n, err, len(long.Bytes()))
	}
}
