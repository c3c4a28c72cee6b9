package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
)

// standIn acts as cloud-init as far as a prebuild asks it: it does what a line of the seed's user data says.
const standIn = `#!/bin/sh
case $1 in
status)
	tr -d '\000' < /dev/vdb | sed -n 's/^# write: //p' > /etc/prebuilt
	tr -d '\000' < /dev/vdb | grep -o '` + groupKey + `' >> /etc/prebuilt
	mkdir -p /var/lib/cloud /root/.ssh
	echo "ssh-ed25519 AAAAofnobody" > /root/.ssh/authorized_keys
	echo "status: done"
	;;
clean)
	rm -rf /var/lib/cloud
	case $* in *--machine-id*) rm -f /etc/machine-id ;; esac
	;;
esac
`

// groupKey is the key of a group that has the template which a prebuild begins with.
const groupKey = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

// rootOffset is where the demo template's root file system begins.
const rootOffset = "?offset=33554432"

// withStandIn imports the demo template with that program in it.
func (w *world) withStandIn(name, config string) {
	w.t.Helper()
	dir := w.t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(path("cloud-init"), []byte(standIn), 0o755); err != nil {
		w.t.Fatal(err)
	}
	commands := "cd /usr/bin\nwrite " + path("cloud-init") + " cloud-init\nsif cloud-init mode 0100755\n"
	if err := os.WriteFile(path("commands"), []byte(commands), 0o644); err != nil {
		w.t.Fatal(err)
	}
	hostTool(w.t, "qemu-img", "convert", "-O", "raw", templateFile, path("disk"))
	hostTool(w.t, "/sbin/debugfs", "-w", "-f", path("commands"), path("disk")+rootOffset)
	w.must("template", "import", name, path("disk"), "-c", config)
}

func hostTool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestTemplatePrebuild: what cloud-init does once is in the new template, which needs no other, and what must be unique is not.
func TestTemplatePrebuild(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("template: base\nmax: 1\ncloud_init: {ssh_keys: [ssh-ed25519 " + groupKey + " ann]}")
	w.dropTemplates("base", "web")
	w.withStandIn("base", config)
	userData := filepath.Join(t.TempDir(), "web.yaml")
	if err := os.WriteFile(userData, []byte("#cloud-config\n# write: by {{.Template}}\nruncmd: [\"true\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	prebuild := []string{"template", "prebuild", "web", "--user-data", userData, "-c", config, "--from"}
	w.refused(append(prebuild, "demo"), "cloud-init is not in the template")
	if left := w.throwAways(); len(left) > 0 {
		t.Errorf("a failed prebuild has left %q", left)
	}
	w.must(append(prebuild, "base")...)
	if left := w.throwAways(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	w.must("template", "rm", "base", "--yes", "-c", config) // nothing needs it

	disk := filepath.Join(t.TempDir(), "disk")
	hostTool(t, "qemu-img", "convert", "-O", "raw", filepath.Join(w.dir, template.VolumeName("web")), disk)
	if got := hostTool(t, "/sbin/debugfs", "-R", "cat /etc/prebuilt", disk+rootOffset); !strings.Contains(got, "by base\n") ||
		strings.Contains(got, groupKey) {
		t.Errorf("what cloud-init wrote: %q", got)
	}
	if got := hostTool(t, "/sbin/debugfs", "-R", "stat /etc/machine-id", disk+rootOffset); !strings.Contains(got, "Size: 0") {
		t.Errorf("the machine id: %s", got)
	}
	if got := hostTool(t, "/sbin/debugfs", "-R", "stat /var/lib/cloud", disk+rootOffset); !strings.Contains(got, "File not found") {
		t.Errorf("cloud-init's state: %s", got)
	}
	keys := hostTool(t, "/sbin/debugfs", "-R", "stat /root/.ssh/authorized_keys", disk+rootOffset)
	if !strings.Contains(keys, "File not found") {
		t.Errorf("the keys that cloud-init wrote: %s", keys)
	}
	if out := w.must("template", "show", "web", "-c", config); !strings.Contains(out, "template base with web.yaml") {
		t.Errorf("show:\n%s", out)
	}
	w.refused(append(prebuild, "demo"), "exists already")
	w.must("template", "rm", "web", "--yes", "-c", config)
}
