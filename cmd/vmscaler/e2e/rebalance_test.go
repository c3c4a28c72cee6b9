//go:build long

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

// TestHostsAreRebalanced: a second host joins a group that has all of its VMs on the first one. Two of them move, one after the
// other and the new one first, and then none.
func TestHostsAreRebalanced(t *testing.T) {
	const group = `template: tiny

min: 4
max: 6
memory: 32MiB
ready_when: uptime
ready_after: 1s
boot_timeout: 2m
shutdown_timeout: 3s
on_host_loss: hold
lost_after: 4s
rebalance: on
policy: {upper: 95, lower: 1}`
	here, there := newPrivateLibvirt(t).world(), newPrivateLibvirt(t).world()
	there.group = here.group
	for _, w := range []*world{here, there} {
		w.uploadTiny()
		t.Cleanup(func() { _ = os.Remove(filepath.Join(w.dir, template.VolumeName("tiny"))) })
	}
	p := here.start(here.config(group))
	b, file := p.watcher, there.config(group)
	b.within(hostIsLost, "the first host has them all", func() bool {
		return b.decision.Inputs.Ready == 4 && len(here.vms()) == 4
	})
	for _, role := range []bus.Role{bus.RoleCollector, bus.RoleActuator} {
		cmd := exec.Command(program, "--uri", there.uri, string(role), "-c", file, "--nats-url", p.url,
			"--nats-nkey", server.CredentialsFile(here.state, role))
		cmd.Env = append(os.Environ(), there.env...)
		there.startProcess("the other host's "+string(role), cmd)
	}
	least, most := 4, 4
	seen := func(condition func(balance bus.Balance) bool) func() bool {
		return func() bool {
			in := b.decision.Inputs
			least, most = min(least, in.Ready+in.Warming), max(most, in.Owned)
			return b.decision.Balance != nil && condition(*b.decision.Balance)
		}
	}
	for _, state := range []bus.BalanceState{bus.BalanceWaiting, bus.BalanceMoving} {
		b.within(hostIsLost, "its balance is "+string(state), seen(func(balance bus.Balance) bool {
			return balance.State == state
		}))
	}
	if out := here.must("status", here.group, "--nats-url", p.url); !strings.Contains(out, "rebalance moving: ") {
		t.Errorf("status says\n%s", out)
	}
	b.within(2*hostIsLost, "both hosts have two", seen(func(balance bus.Balance) bool {
		return balance.State == bus.BalanceEven && len(here.vms()) == 2 && len(there.vms()) == 2 && b.decision.Inputs.Ready == 4
	}))
	if least < 4 || most > 5 || b.decision.Desired != 4 {
		t.Errorf("%d served at the least, %d were owned at the most, desired %d", least, most, b.decision.Desired)
	}
	out := here.must("explain", here.group, "--nats-url", p.url)
	if !strings.Contains(out, "rebalance") || !strings.Contains(out, "no host has two VMs more than another") {
		t.Errorf("explain says\n%s", out)
	}
	p.stop()
}
