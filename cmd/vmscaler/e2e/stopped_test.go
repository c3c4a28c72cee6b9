//go:build long

package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// TestStoppedQEMU: a QEMU process that does not answer stops neither the samples of the others nor its own, which
// come from the host; the collector says which one it is, and soon takes its CPU for unknown and not for idle.
func TestStoppedQEMU(t *testing.T) {
	t.Parallel()
	l := newPrivateLibvirt(t)
	w := l.world()
	p := w.start(w.config("min: 2"))
	p.untilReady(2)
	stopped, other := w.group+"-1", w.group+"-2"
	pid := l.qemu(stopped)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })

	// More samples than fit into the deadline of the calls that do wait for it.
	samples, unknown := 0, false
	last := p.sample.Time
	p.until("samples of both go on", func() bool {
		if !p.sample.Time.After(last) {
			return false
		}
		last = p.sample.Time
		for _, vm := range p.sample.VMs {
			switch {
			case vm.Name == other && vm.CPUPercent != nil:
				samples++
			case vm.Name == stopped && vm.CPUPercent == nil:
				unknown = unknown || strings.Contains(vm.Error, "CPU counter has not moved")
			}
		}
		return samples >= 8 && unknown && strings.Contains(p.stages["collector"].Message, stopped)
	})
	p.stop()
	// It can be removed as well, although it answers nobody: that it is asked to shut down must not wait for it.
	w.must("down", w.group, "--yes", "--shutdown-timeout", "3s")
	if vms := w.vms(); len(vms) > 0 {
		t.Errorf("left by down: %+v", vms)
	}
}
