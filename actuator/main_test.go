package actuator

import (
	"context"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/internal/vmtest"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/internal/libvirttest"
)

func TestMain(m *testing.M) { libvirttest.Main(m) }

const someUUID = vmtest.UUID

var t0, webSpec, someMetadata, containsAll = vmtest.Noon(), vmtest.Spec, vmtest.Metadata, vmtest.ContainsAll

// listen is a way to send events, and those that were sent.
func listen(t *testing.T) (*client.Outbox, <-chan bus.Event) {
	t.Helper()
	conn := bustest.Join(t, bustest.StartServer(t), "test")
	events := bustest.Subscribe[bus.Event](t, conn, bus.AllEvents)
	ctx, cancel := context.WithCancel(t.Context())
	outbox, done := client.NewOutbox(conn, bustest.Quiet), make(chan error, 1)
	go func() { done <- outbox.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return outbox, events
}

// here is the identity of every libvirt of these tests.
func here(conn *libvirt.Connect) (bus.HostID, string, error) {
	name, err := conn.GetHostname()
	return "here", name, err
}

// upTo are the numbers from 1 to n.
func upTo(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i+1)
	}
	return numbers
}
