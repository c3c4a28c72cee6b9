//go:build image

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// TestCloudInitImage: two VMs of a system with cloud-init, made at once, have the key, the files, the commands and the size of
// disk that the config gives them, and no identity in common. They are ready when cloud-init has finished.
func TestCloudInitImage(t *testing.T) {
	image := os.Getenv("VMSCALER_TEST_IMAGE")
	if image == "" {
		t.Fatal("VMSCALER_TEST_IMAGE names no image; run this by: make test-image")
	}
	w := newWorld(t)
	key := filepath.Join(t.TempDir(), "key.pub")
	const public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000000 ann@example.org"
	if err := os.WriteFile(key, []byte(public+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := w.config(fmt.Sprintf(`template: debian
min: 2
max: 3
memory: 512MiB
disk: 4GiB
boot_timeout: %s
checks:
  - type: cloud-init
    for: ready
cloud_init:
  ssh_keys: ["file:%s"]
  user_data: |
    #cloud-config
    write_files:
      - path: /etc/who
        content: "{{.Name}} {{.Index}} of {{.Group}} from {{.Template}}"
    runcmd:
      - [sh, -c, "echo done > /var/lib/ran"]
`, bootPatience, key))
	w.must("template", "import", "debian", image, "-c", config)
	t.Cleanup(func() {
		_ = os.Remove(filepath.Join(w.dir, template.VolumeName("debian")))
		_ = os.Remove(filepath.Join(w.dir, template.RecordName("debian")))
	})
	begin := time.Now()
	p := w.start(config)
	p.within(bootPatience, "both are ready", func() bool {
		return len(p.sample.VMs) == 2 && p.sample.VMs[0].Phase == bus.PhaseReady && p.sample.VMs[1].Phase == bus.PhaseReady
	})
	t.Logf("both are ready after %s", time.Since(begin).Round(time.Second))
	seen := map[string]string{}
	for _, v := range w.vms() {
		ask := func(command string) string {
			t.Helper()
			return guestRuns(t, w.domain(v.Name), command)
		}
		for command, want := range map[string]string{
			"hostname": v.Name,
			"cat /etc/who": fmt.Sprintf("%s %s of %s from debian", v.Name,
				strings.TrimPrefix(v.Name, w.group+"-"), w.group),
			"cat /var/lib/ran":                      "done",
			"cat /home/debian/.ssh/authorized_keys": public,
			"cat /var/lib/cloud/data/instance-id":   v.UUID,
			"cloud-init status | head -n 1":         "status: done",
		} {
			if got := ask(command); got != want {
				t.Errorf("%s: %s: found %q, want %q", v.Name, command, got, want)
			}
		}
		if got := ask("df --output=size -BM / | tail -n 1 | tr -dc 0-9"); len(got) < 4 || got < "3500" {
			t.Errorf("%s: its root file system has %s MiB", v.Name, got)
		}
		for _, identity := range []string{
			"hostname", "cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub", "cat /var/lib/cloud/data/instance-id",
			"ip -4 -o addr show scope global | awk '{print $4}'",
		} {
			got := ask(identity)
			if other := seen[identity+got]; got == "" || other != "" {
				t.Errorf("%s: %s: found %q, which %q has, too", v.Name, identity, got, other)
			}
			seen[identity+got] = v.Name
		}
	}
	p.stop()
}

// TestCloudInitImagePrebuild: what a real cloud-init does once is in the new template, and nobody's key, neither one of a group
// that has the template nor one that the user data gives, no SSH host key and no machine id. A check looks at the template
// itself, or at what a group makes of it.
func TestCloudInitImagePrebuild(t *testing.T) {
	image := os.Getenv("VMSCALER_TEST_IMAGE")
	if image == "" {
		t.Fatal("VMSCALER_TEST_IMAGE names no image; run this by: make test-image")
	}
	w := newWorld(t)
	w.dropTemplates("debian", "web")
	key := func(of string) string {
		return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + strings.Repeat(of[:1], 43) + " " + of
	}
	group := func(of, userData string) string {
		return w.config(fmt.Sprintf("template: %s\nmax: 1\nmemory: 512MiB\nboot_timeout: %s\nshutdown_timeout: %s\ncloud_init:\n"+
			"  ssh_keys: [%s]\n  user_data: |\n    #cloud-config\n%s", of, bootPatience, bootPatience, key("ann"), userData))
	}
	config := group("debian", "")
	w.must("template", "import", "debian", image, "-c", config)
	userData := filepath.Join(t.TempDir(), "web.yaml")
	text := fmt.Sprintf(`#cloud-config
disable_root: false
ssh_authorized_keys: ["%s"]
users: [default, {name: carol, ssh_authorized_keys: ["%s"]}]
write_files:
  - {path: /etc/ssh/sshd_config.d/keys.conf, content: "AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/keys/%%u\n"}
  - {path: /etc/ssh/keys/carol, content: "%s\n"}
  - {path: /etc/ssh/keys/root, content: "%s\n"}
runcmd:
  - [sh, -c, "cat /root/.ssh/* /home/*/.ssh/* /etc/ssh/keys/* /etc/ssh/ssh_host_*.pub > /etc/prebuilt"]
`, key("bob"), key("carol"), key("dave"), key("erin"))
	if err := os.WriteFile(userData, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	w.must("template", "prebuild", "web", "--from", "debian", "--user-data", userData, "-c", config)
	t.Logf("prebuilt after %s", time.Since(begin).Round(time.Second))

	disk := filepath.Join(t.TempDir(), "disk")
	hostTool(t, "qemu-img", "convert", "-O", "raw", filepath.Join(w.dir, template.VolumeName("web")), disk)
	look := func(command, path string) string {
		t.Helper()
		const root = "?offset=50331648" // where packaging/test-image.sh has it
		return hostTool(t, "/sbin/debugfs", "-R", command+" "+path, disk+root)
	}
	had := look("cat", "/etc/prebuilt")
	if !containsAll(had, key("bob"), key("carol"), key("dave"), key("erin")) || strings.Count(had, "ssh-ed25519") < 6 ||
		strings.Contains(had, key("ann")) {
		t.Errorf("while it was built there were the keys\n%s", had)
	}
	for _, gone := range []string{
		"/root/.ssh/authorized_keys", "/home/debian/.ssh/authorized_keys", "/home/carol/.ssh/authorized_keys",
		"/etc/ssh/keys/root", "/etc/ssh/keys/carol",
		"/var/lib/cloud/instance", "/var/lib/cloud/instances", "/var/log/cloud-init.log", "/var/log/cloud-init-output.log",
	} {
		if got := look("stat", gone); !strings.Contains(got, "File not found") {
			t.Errorf("%s is in the template: %s", gone, got)
		}
	}
	if got := look("ls -p", "/etc/ssh"); !strings.Contains(got, "/sshd_config/") || strings.Contains(got, "ssh_host_") {
		t.Errorf("in /etc/ssh: %s", got)
	}
	if got := look("stat", "/etc/machine-id"); !strings.Contains(got, "Size: 0") {
		t.Errorf("the machine id: %s", got)
	}

	begin = time.Now()
	config = group("web", "    hostname: all-the-same\n")
	check := []string{"template", "check", "web", "-c", config}
	out := w.must(check...)
	t.Logf("checked after %s:\n%s", time.Since(begin).Round(time.Second), out)
	for _, want := range []string{
		"ok       boots ", "ok       agent ", "ok       address ", "ok       shutdown ",
		"ok       host name   each has its VM's name", "ok       machine id ",
		"ok       SSH keys    each has its own", "ok       login keys  it carries none",
		"ok       cloud-init  done",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	said, err := w.command(append(check, "--group", w.group)...).CombinedOutput()
	out = string(said)
	if err == nil || !containsAll(out, "fail     host name   both have the same", "ok       login keys") {
		t.Errorf("as VMs of the group: %v\n%s", err, out)
	}
}

// guestRuns is what a command of a guest's shell prints, without the space around it.
func guestRuns(t *testing.T, dom *libvirt.Domain, command string) string {
	t.Helper()
	call := func(request, answer any) {
		t.Helper()
		text, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := dom.QemuAgentCommand(string(text), libvirt.DOMAIN_QEMU_AGENT_COMMAND_DEFAULT, 0)
		if err != nil {
			t.Fatalf("%s: %s", command, err)
		}
		if err := json.Unmarshal([]byte(reply), &struct{ Return any }{answer}); err != nil {
			t.Fatalf("%s: %s: %s", command, err, reply)
		}
	}
	type object = map[string]any
	var run struct{ PID int }
	call(object{"execute": "guest-exec", "arguments": object{
		"path": "/bin/sh", "arg": []string{"-c", command}, "capture-output": true,
	}}, &run)
	for {
		var status struct {
			Exited bool
			Out    string `json:"out-data"`
		}
		call(object{"execute": "guest-exec-status", "arguments": object{"pid": run.PID}}, &status)
		if status.Exited {
			out, err := base64.StdEncoding.DecodeString(status.Out)
			if err != nil {
				t.Fatalf("%s: %s", command, err)
			}
			return strings.TrimSpace(string(out))
		}
	}
}
