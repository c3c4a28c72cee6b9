// Package libvirttest has what tests with libvirt share: the event loop of the process, and libvirt's own driver for tests.
package libvirttest

import (
	"context"
	"errors"
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

// NewHost connects to the test driver's host when it is new. The event loop frees the connections of the test before in its own
// time, and who was tested may close one after it has returned. Until then there is the old host, and it may be one that sends no
// event any more: libvirt forgets to wake up for those that come while the last listener leaves.
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
		isNew, err := mark(conn)
		if err != nil {
			t.Fatal(err)
		}
		if isNew {
			return conn
		}
		_, _ = conn.Close()
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("the host is still that of an earlier test: a connection to it was not closed")
		}
	}
}

// mark leaves a note at the domain that a new host has, and reports whether there was none.
func mark(conn *libvirt.Connect) (isNew bool, err error) {
	dom, err := conn.LookupDomainByName("test")
	if err != nil {
		return false, err
	}
	defer func() { _ = dom.Free() }()
	if _, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_DESCRIPTION, "", 0); !errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return false, err
	}
	return true, dom.SetMetadata(libvirt.DOMAIN_METADATA_DESCRIPTION, "used", "", "", libvirt.DOMAIN_AFFECT_LIVE)
}
