//go:build profile

package e2e

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// The profile: what is asked of the whole group, in VMs, a while after its begin.
const profileLength = 190 * time.Second

func asked(at time.Duration) float64 {
	switch s := at.Seconds(); {
	case s < 60: // a ramp
		return 0.2 + 0.4*s/60
	case s < 130: // a spike, which two cores can still do
		return 1.7
	default: // off
		return 0
	}
}

// full is the use of a VM up to which it has headroom, as in `vmscaler simulate`.
const full = 0.8

// slot is how long one run of the load in a VM lasts; then it is shared again.
const slot = 5 * time.Second

// TestProfile plays one load profile on real VMs under each policy, one after the other, and prints what they did.
func TestProfile(t *testing.T) {
	fmt.Printf("%-12s %12s %8s %20s %12s %8s\n", "policy", "lost VM-s", "lost %", "lost headroom VM-s", "VM-seconds", "actions")
	for _, policy := range []bus.PolicyType{bus.PolicyThreshold, bus.PolicyPredictive} {
		t.Run(string(policy), func(t *testing.T) { playProfile(t, policy) })
	}
}

func playProfile(t *testing.T, policy bus.PolicyType) {
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 4\npolicy:\n  type: " + string(policy)))
	p.untilReady(1)
	begin := time.Now()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var ready atomic.Pointer[[]bus.VM]
	var driver sync.WaitGroup
	driver.Go(func() { drive(ctx, t, w, begin, &ready) })
	var lost, headroom, total, owned float64
	actions, desired := 0, 0
	last := begin
	watch := func() {
		var serving []bus.VM
		for _, vm := range p.sample.VMs {
			if vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning {
				serving = append(serving, vm)
			}
		}
		ready.Store(&serving)
		now := time.Now()
		seconds, demand := now.Sub(last).Seconds(), asked(now.Sub(begin))
		last = now
		total += demand * seconds
		lost += math.Max(0, demand-float64(len(serving))) * seconds
		headroom += math.Max(0, demand-full*float64(len(serving))) * seconds
		owned += float64(len(p.sample.VMs)) * seconds
		if d := p.decision; d.HasSample && d.Desired != desired {
			if desired > 0 {
				actions += max(d.Desired-desired, desired-d.Desired)
			}
			desired = d.Desired
		}
	}
	for part := profileLength / 10; part <= profileLength; part += profileLength / 10 { // as a wait must not be longer than patience
		p.until("the profile goes on", func() bool { watch(); return last.Sub(begin) >= part })
	}
	stop()
	driver.Wait()
	fmt.Printf("%-12s %12.1f %8.1f %20.1f %12.0f %8d\n", policy, lost, 100*lost/total, headroom, owned, actions)
	p.stop()
}

// drive shares what is asked among the VMs that are ready.
func drive(ctx context.Context, t *testing.T, w *world, begin time.Time, ready *atomic.Pointer[[]bus.VM]) {
	for ctx.Err() == nil {
		demand, serving := asked(time.Since(begin)), ready.Load()
		if serving == nil || len(*serving) == 0 || demand == 0 {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		var vms []vm.VM
		for _, s := range *serving {
			vms = append(vms, vm.VM{Name: s.Name, UUID: s.UUID})
		}
		percent := min(100, max(1, int(100*demand/float64(len(vms)))))
		load := vm.Load{Workers: 1, Percent: percent, Duration: slot}
		if err := vm.Stress(ctx, w.conn, vms, load, func(string) {}); err != nil && ctx.Err() == nil {
			t.Log("load:", err) // as of a VM that was scaled in
		}
	}
}
