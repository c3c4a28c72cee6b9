// Package libvirttest has what tests with libvirt share: the event loop of the process, and libvirt's own driver for tests.
package libvirttest

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"libvirt.org/go/libvirt"
)

// URI is libvirt's own driver for tests: its host is shared by the connections of a process.
const URI = "test:///default"

// Main runs a package's tests beside libvirt's event loop, and looks for goroutines that they leave. The loop is one per
// process, comes before the first connection and runs until the process ends.
func Main(m *testing.M) {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go runEvents()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/vmscaler/vmscaler/internal/libvirttest.runEvents"))
}

func runEvents() {
	for {
		_ = libvirt.EventRunDefaultImpl()
	}
}

// NewHost connects to the test driver's host when it is new: with its own domain alone. The event loop frees the connections of
// the test before in its own time, and who was tested may close one after it has returned.
func NewHost(t testing.TB) *libvirt.Connect {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := libvirt.NewConnect(URI)
		if err != nil {
			t.Fatal(err)
		}
		on, err := conn.ListDomains()
		if err != nil {
			t.Fatal(err)
		}
		off, err := conn.ListDefinedDomains()
		if err != nil {
			t.Fatal(err)
		}
		if len(on) == 1 && len(off) == 0 {
			return conn
		}
		_, _ = conn.Close()
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("the host is not new: it has %d domains that run, and %v", len(on), off)
		}
	}
}
