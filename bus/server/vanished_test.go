package server_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
)

// cable is a TCP proxy that can be cut: from then on it swallows what it is sent, and closes nothing, as a host without power.
type cable struct {
	listener net.Listener
	to       string
	cut      atomic.Bool
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{listener: listener, to: to}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close() })
			far, err := net.Dial("tcp", c.to)
			if err != nil {
				continue
			}
			t.Cleanup(func() { _ = far.Close() })
			go c.carry(near, far)
			go c.carry(far, near)
		}
	}()
	return c
}

// carry takes all that comes from one end to the other; what comes after the cut goes nowhere.
func (c *cable) carry(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if c.cut.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// A peer that vanishes without closing its connection is noticed at both ends, long before NATS's own six minutes.
func TestVanishedPeerIsNoticed(t *testing.T) {
	t.Parallel()
	s := bustest.StartServer(t)
	watcher := bustest.Join(t, s, "watcher")
	c := newCable(t, s.URL()[len("nats://"):])
	conn, err := client.DialNow(client.Remote{URL: "nats://" + c.listener.Addr().String()}, string(bus.RoleTap), bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := s.NS().NumClients()
	c.cut.Store(true)
	bustest.Eventually(t, "the client gives the server up", func() bool { _, connected := conn.Connected(); return !connected })
	bustest.Eventually(t, "the server gives the client up", func() bool { return s.NS().NumClients() < before })
	if _, connected := watcher.Connected(); !connected {
		t.Error("one that is there was given up, too")
	}
}
