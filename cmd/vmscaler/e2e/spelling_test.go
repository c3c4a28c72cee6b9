package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// TestOneLibvirtInManySpellings: whoever acts on a libvirt keeps all others from it, however they spell its URI.
func TestOneLibvirtInManySpellings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if w.uri != host.SystemURI || os.Geteuid() != 0 {
		t.Skip("the spellings of root's session need root and the system's libvirt")
	}
	config := w.config("")
	p := w.start(config, "--dry-run")
	was := w.uri
	for _, uri := range []string{"qemu:///session", "qemu+unix:///system?socket=/run/libvirt/libvirt-sock", was + "?mode=legacy"} {
		w.uri = uri
		words := []string{fmt.Sprintf("vmscaler run (process %d", p.cmd.Process.Pid), "acts on " + was, "stop it first"}
		w.refused([]string{"down", w.group, "--yes"}, words...)
		w.refused([]string{"sweep"}, words...)
		w.refused([]string{"actuator", "-c", config}, words...)
		w.must("status", "-c", config) // finds it as well
	}
	w.uri = was
	p.stop()
}
