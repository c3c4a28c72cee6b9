package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

// lostGroup has guests that are up at once; %s is the file that the fence command writes.
const lostGroup = `template: tiny

min: 4
max: 6
memory: 32MiB
ready_when: uptime
ready_after: 1s
boot_timeout: 2m
shutdown_timeout: 3s
on_host_loss: replace-after-fence
fence: {command: 'echo "$VMSCALER_GROUP $VMSCALER_HOST_ID" >> %s'}
policy: {upper: 95, lower: 1}`

// hostIsLost is as long as it may take on a machine that is busy with other tests until a host is lost, and its VMs are replaced.
const hostIsLost = 5 * time.Minute

// TestLostHost: of two hosts one loses its collector and its actuator at once, as by a power cut. Once the fence command has cut
// it off, the other one has all VMs; when the lost one comes back with VMs that ran on, the surplus goes, and desired never
// changes.
func TestLostHost(t *testing.T) {
	here, there := newPrivateLibvirt(t).world(), newPrivateLibvirt(t).world()
	there.group = here.group
	fence := filepath.Join(t.TempDir(), "fenced")
	group := fmt.Sprintf(lostGroup, fence)
	for _, w := range []*world{here, there} {
		w.uploadTiny()
		t.Cleanup(func() { _ = os.Remove(filepath.Join(w.dir, template.VolumeName("tiny"))) })
	}
	p := here.start(here.config(group))
	b, url := p.watcher, p.url
	file := there.config(group)
	stages := func() (procs []*process) {
		for _, role := range []bus.Role{bus.RoleCollector, bus.RoleActuator} {
			cmd := exec.Command(program, "--uri", there.uri, string(role), "-c", file, "--nats-url", url,
				"--nats-nkey", server.CredentialsFile(here.state, role))
			cmd.Env = append(os.Environ(), there.env...)
			procs = append(procs, there.startProcess("the other host's "+string(role), cmd))
		}
		return procs
	}
	procs := stages()
	b.within(hostIsLost, "both hosts serve", func() bool {
		return len(here.vms()) >= 1 && b.decision.Inputs.Ready >= 4 && len(b.decision.Shares) == 2
	})
	operator := []string{"--nats-url", url, "--nats-nkey", server.CredentialsFile(here.state, bus.RoleOperator)}
	here.must(append([]string{"scale", here.group, "6"}, operator...)...)
	b.within(hostIsLost, "both hosts have some of six", func() bool {
		return len(there.vms()) > 0 && len(here.vms())+len(there.vms()) == 6 && b.decision.Inputs.Ready == 6
	})
	left := len(there.vms())

	for _, p := range procs {
		p.kill()
	}
	began := time.Now()
	var id bus.HostID
	b.within(hostIsLost, "the other host is lost", func() bool {
		for host, h := range b.decision.Hosts {
			if h.State == bus.HostLost {
				id = host
			}
		}
		return id != ""
	})
	t.Logf("lost after %s", time.Since(began).Round(time.Second))
	b.within(hostIsLost, "its VMs are replaced here", func() bool {
		return len(here.vms()) == 6 && b.decision.Inputs.Ready == 6 && b.decision.Inputs.Lost == left
	})
	t.Logf("replaced after %s", time.Since(began).Round(time.Second))
	if said, err := os.ReadFile(fence); err != nil || !strings.HasPrefix(string(said), here.group+" ") {
		t.Errorf("the fence command said %q, %v", said, err)
	}
	if out := here.must("host", "list", "--nats-url", url); !strings.Contains(out, " lost ") {
		t.Errorf("host list says\n%s", out)
	}
	if len(there.vms()) != left || b.decision.Desired != 6 {
		t.Errorf("%d VMs on the lost host, were %d; desired %d", len(there.vms()), left, b.decision.Desired)
	}

	stages()
	b.within(hostIsLost, "the surplus is gone", func() bool {
		return len(b.decision.Hosts) == 0 && len(here.vms())+len(there.vms()) == 6 && b.decision.Inputs.Ready == 6
	})
	if b.decision.Desired != 6 {
		t.Errorf("desired is %d", b.decision.Desired)
	}

	// It is drained, with the group at its max: one VM at a time goes before another one is made here.
	here.must(append([]string{"host", "drain", string(id), "--reason", "new memory"}, operator...)...)
	b.within(hostIsLost, "the other host is drained", func() bool {
		return b.decision.Hosts[id].State == bus.HostDrained && len(there.vms()) == 0 && b.decision.Inputs.Ready == 6
	})
	if len(here.vms()) != 6 || b.decision.Desired != 6 {
		t.Errorf("%d VMs here, desired %d", len(here.vms()), b.decision.Desired)
	}
	here.must(append([]string{"host", "uncordon", string(id)}, operator...)...)
	here.must(append([]string{"scale", here.group, "--release"}, operator...)...)
	p.stop()
}
