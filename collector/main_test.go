package collector

import (
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/internal/libvirttest"
)

func TestMain(m *testing.M) { libvirttest.Main(m) }

// identify is the test driver's identity.
func identify(conn *libvirt.Connect) (bus.HostID, string, error) {
	name, err := conn.GetHostname()
	return "test-driver", name, err
}
