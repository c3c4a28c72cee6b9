package app

import (
	"context"
	"errors"
	"testing"

	"libvirt.org/go/libvirt"
)

// Whoever acts claims each connection again, and has none where another process acts on that libvirt.
func TestActuatorClaimsEachConnection(t *testing.T) {
	held := errors.New("another acts there")
	var claimed []*libvirt.Connect
	var refuse error
	dial := claiming(func(context.Context) (*libvirt.Connect, error) { return libvirt.NewConnect("test:///default") },
		func(conn *libvirt.Connect) error {
			claimed = append(claimed, conn)
			return refuse
		})
	for i := range 2 {
		conn, err := dial(t.Context())
		if err != nil || len(claimed) != i+1 || claimed[i] != conn {
			t.Fatalf("connection %d: %v, claimed were %d", i+1, err, len(claimed))
		}
		_, _ = conn.Close()
	}
	refuse = held
	if conn, err := dial(t.Context()); conn != nil || !errors.Is(err, held) {
		t.Errorf("got %v, %v; want none", conn, err)
	}
	if _, err := claimed[2].GetHostname(); err == nil {
		t.Error("the connection that was refused is still open")
	}
}
