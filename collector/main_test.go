package collector

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// libvirt's event loop is one per process, comes before the first connection and runs until the process ends.
func TestMain(m *testing.M) {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go runEvents()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/vmscaler/vmscaler/collector.runEvents"))
}

func runEvents() {
	for {
		_ = libvirt.EventRunDefaultImpl()
	}
}

// identify is the test driver's identity.
func identify(conn *libvirt.Connect) (bus.HostID, string, error) {
	name, err := conn.GetHostname()
	return "test-driver", name, err
}
