package actuator

import (
	"context"
	"os/exec"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// hostStops reports whether systemd is shutting this machine down. Then VMs go off one after the other, and none is to be
// made in their place. A machine without systemd does not say it.
func hostStops(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, "systemctl", "is-system-running").Output() // it fails unless the answer is "running"
	return strings.TrimSpace(string(out)) == "stopping"
}

// disturbed reports whether a look shows something that the end of the host could be the reason for.
func (l snapshot) disturbed() bool {
	for _, vm := range l.inventory.Owned {
		if vm.Meta.Phase.Serves() && (vm.State == bus.StateShutoff || vm.State == bus.StateCrashed) {
			return true
		}
	}
	return l.measured // a launch is wanted
}
