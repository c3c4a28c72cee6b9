package orphan

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

func TestMain(m *testing.M) {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go runEvents()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/vmscaler/vmscaler/actuator/orphan.runEvents"))
}

func runEvents() {
	for {
		_ = libvirt.EventRunDefaultImpl()
	}
}

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

const someUUID = "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11"

func someMetadata() bus.Metadata {
	return bus.Metadata{
		Group: "web", Template: "demo", UUID: someUUID, Created: t0, Phase: bus.PhaseCreating, Since: t0,
		Pool: "default", Volume: bus.VolumeName("web-1", someUUID),
	}
}
