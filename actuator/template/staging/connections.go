package staging

import (
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxOpen is how many connections are open at the same time.
const maxOpen = 64

// connections are those that are open. Where there is one too many, the oldest goes that has asked for nothing yet: who opens
// many, which needs no certificate that is known, keeps no other one out.
type connections struct {
	mu      sync.Mutex
	waiting []net.Conn // have asked for nothing yet; as they came
	asking  map[net.Conn]bool
}

// changed is a [http.Server]'s ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.waiting = append(c.waiting, conn)
	case http.StateActive:
		c.forget(conn)
		c.asking[conn] = true
	case http.StateClosed, http.StateHijacked:
		c.forget(conn)
	case http.StateIdle: // is closed next
	}
	if len(c.waiting)+len(c.asking) > maxOpen && len(c.waiting) > 0 {
		oldest := c.waiting[0]
		c.forget(oldest)
		if secure, is := oldest.(*tls.Conn); is { // which would wait seconds to say goodbye
			oldest = secure.NetConn()
		}
		_ = oldest.Close()
	}
}

func (c *connections) forget(conn net.Conn) {
	delete(c.asking, conn)
	c.waiting = slices.DeleteFunc(c.waiting, func(other net.Conn) bool { return other == conn })
}
