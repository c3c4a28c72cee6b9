package actuator

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// TestHostThatShutsDown: while the host stops its VMs one by one, none is made in their place, and none is removed.
func TestHostThatShutsDown(t *testing.T) {
	b := newHost(t)
	var stopping atomic.Bool
	s := startStage(t, b, webSpec(func(g *bus.Group) { g.Min = 2 }), dialTest, func(c *Config) {
		c.stopping = func(context.Context) bool { return stopping.Load() }
	})
	s.want(2, "two VMs", b.ready(2))
	stopping.Store(true)
	before := b.inventory().Owned
	for _, vm := range before {
		dom, err := b.conn.LookupDomainByUUIDString(vm.UUID)
		if err != nil {
			t.Fatal(err)
		}
		if err := dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_DEFAULT); err != nil {
			t.Fatal(err)
		}
		dom.Free()
		for looks := 0; looks < 3; { // at libvirt, with the VM off
			s.want(2, "health says why nothing is done", func() bool {
				for {
					select {
					case err := <-s.reports:
						if err != nil && strings.Contains(err.Error(), "is shutting down") {
							looks++
							return true
						}
					default:
						return false
					}
				}
			})
		}
	}
	for _, vm := range b.inventory().Owned {
		if vm.State != bus.StateShutoff || vm.UUID != before[0].UUID && vm.UUID != before[1].UUID {
			t.Errorf("%+v, want the two that were there, off", vm)
		}
	}
	if n := len(b.inventory().Owned); n != 2 {
		t.Errorf("%d VMs, want two", n)
	}
	stopping.Store(false) // it did not stop after all
	s.want(2, "they are replaced", b.ready(2))
}
