package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

// stagedGroup has guests that are up at once.
const stagedGroup = `template: tiny
min: 2
max: 4
memory: 32MiB
ready_when: uptime
ready_after: 1s
boot_timeout: 2m
shutdown_timeout: 3s
policy: {upper: 95, lower: 1}`

// TestTemplateComesToHost: of two hosts one has no template. It has it from the other one, the same file, and then VMs that run;
// no launch has failed, as none was tried before.
func TestTemplateComesToHost(t *testing.T) {
	here, there := newPrivateLibvirt(t).world(), newPrivateLibvirt(t).world()
	there.group = here.group
	if _, err := template.Import(t.Context(), here.conn, template.Target{Pool: here.pool, Name: "tiny"},
		template.Image{File: guestDisk(t, tinyGuest)}, template.Report{}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*world{here, there} {
		t.Cleanup(func() { _ = os.Remove(filepath.Join(w.dir, template.VolumeName("tiny"))) })
		t.Cleanup(func() { _ = os.Remove(filepath.Join(w.dir, template.RecordName("tiny"))) })
	}
	files := map[*world]string{}
	for _, w := range []*world{here, there} {
		files[w] = w.config(stagedGroup)
		text, err := os.ReadFile(files[w])
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte("\nhost:\n"), []byte("\nhost:\n  template_listen: 127.0.0.1:0\n"), 1)
		if err := os.WriteFile(files[w], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := here.start(files[here])
	b, url := p.watcher, p.url
	for _, role := range []bus.Role{bus.RoleCollector, bus.RoleActuator} {
		cmd := exec.Command(program, "--uri", there.uri, string(role), "-c", files[there], "--nats-url", url,
			"--nats-nkey", server.CredentialsFile(here.state, role))
		cmd.Env = append(os.Environ(), there.env...)
		there.startProcess("the other host's "+string(role), cmd)
	}
	b.within(hostIsLost, "both hosts are there", func() bool {
		return len(b.decision.Shares) == 2 && b.decision.Inputs.Ready >= 2
	})
	came := func() (n int) {
		for _, e := range b.all {
			if e.Event == bus.EventTemplate && strings.Contains(e.Sentence, "it came from") {
				n++
			}
		}
		return n
	}
	b.within(hostIsLost, "the other one has the template", func() bool { return came() > 0 })
	operator := []string{"--nats-url", url, "--nats-nkey", server.CredentialsFile(here.state, bus.RoleOperator)}
	here.must(append([]string{"scale", here.group, "4"}, operator...)...)
	b.within(hostIsLost, "both have VMs", func() bool {
		return len(here.vms()) == 2 && len(there.vms()) == 2 && b.decision.Inputs.Ready == 4
	})
	one, err := os.ReadFile(filepath.Join(here.dir, template.VolumeName("tiny")))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(filepath.Join(there.dir, template.VolumeName("tiny")))
	if err != nil || !bytes.Equal(one, two) {
		t.Errorf("%d bytes became %d, %v", len(one), len(two), err)
	}
	for id := range b.decision.Shares {
		if out := here.must("host", "show", string(id), "--nats-url", url); !strings.Contains(out, "template tiny is there") {
			t.Errorf("host show of %s says\n%s", id, out)
		}
	}
	for _, e := range b.all {
		if e.Event == bus.EventFailed || e.Event == bus.EventTemplate && e.Error != "" {
			t.Errorf("%s of %q: %s %s", e.Event, e.VM, e.Sentence, e.Error)
		}
	}
	if n := came(); n != 1 {
		t.Errorf("%d events say that it came", n)
	}
	p.stop()
}
