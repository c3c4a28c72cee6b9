package actuator

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// libvirt's event loop is one per process, comes before the first connection and runs until the process ends.
func TestMain(m *testing.M) {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go runEvents()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/vmscaler/vmscaler/actuator.runEvents"))
}

func runEvents() {
	for {
		_ = libvirt.EventRunDefaultImpl()
	}
}

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// webSpec is a group whose VMs are ready as soon as they run.
func webSpec(changes ...func(*bus.Group)) bus.Group {
	g := bus.DefaultGroup()
	g.Name, g.Network, g.ReadyWhen, g.ReadyAfter = "web", "default", bus.ReadyUptime, 0
	for _, change := range changes {
		change(&g)
	}
	return g
}

// listen is a way to send events, and those that were sent.
func listen(t *testing.T) (*client.Outbox, <-chan bus.Event) {
	t.Helper()
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := server.Connect("test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	events := make(chan bus.Event, 64)
	if err := client.Subscribe(conn, bus.AllEvents, events); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	outbox, done := client.NewOutbox(conn, zerolog.Nop()), make(chan error, 1)
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

const someUUID = "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11"

func someMetadata() bus.Metadata {
	return bus.Metadata{
		Group: "web", Template: "demo", UUID: someUUID, Created: t0, Phase: bus.PhaseCreating, Since: t0,
		Pool: "default", Volume: bus.VolumeName("web-1", someUUID),
	}
}

func containsAll(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}
