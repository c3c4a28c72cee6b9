package vm

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// A port that another program has is named, with the field that asks for it.
func TestTakenForward(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	spec := bus.DefaultGroup()
	spec.Hardware.NICs = []bus.NIC{{Type: bus.NICUser, Forwards: []bus.Forward{{Host: port - 2, Guest: 80}}}}
	want := fmt.Sprintf("has port %d of 127.0.0.1, which nics[0].forwards[0] gives the VM with number 3", port)
	if got := takenForward(spec, "", 3); !strings.Contains(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := takenForward(spec, "", 3); got != "" {
		t.Errorf("a port that nobody has: %q", got)
	}
}
