package vm

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/vmscaler/vmscaler/bus"
)

// takenForward reports which of the ports that a VM forwards on this machine another program has; "" is none. QEMU says no more
// than that it could not have one.
func takenForward(spec bus.Group, network string, index int) string {
	for i, nic := range spec.NICs(network) {
		for k, f := range nic.Forwards {
			port := f.Host + index - 1
			l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				_ = l.Close()
				continue
			}
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Sprintf("another program has port %d of 127.0.0.1, which nics[%d].forwards[%d] gives the VM with number %d: "+
					"free it (ss -ltnp shows whose it is), or choose another host_port than %d", port, i, k, index, f.Host)
			}
		}
	}
	return ""
}
