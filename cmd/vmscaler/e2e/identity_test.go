package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// bakedBoot has the demo template's guest take its host name and machine id from its disk, as most systems do.
const bakedBoot = `hostname "$(cat /etc/hostname)"
`

// keygen stands in for ssh-keygen -A, as the demo template has none.
const keygen = `#!/bin/sh
tr -dc a-f0-9 < /dev/urandom | head -c 32 > /etc/ssh/ssh_host_ed25519_key
`

// withBaked imports the demo template with an identity in it.
func (w *world) withBaked(name, config string) {
	w.t.Helper()
	dir := w.t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	hostTool(w.t, "qemu-img", "convert", "-O", "raw", templateFile, path("disk"))
	boot := hostTool(w.t, "/sbin/debugfs", "-R", "cat /etc/init.d/boot", path("disk")+rootOffset)
	_, boot, _ = strings.Cut(boot, "#!") // what debugfs says of itself comes first
	begin, end := strings.Index(boot, "dmi="), strings.Index(boot, "while read")
	if begin < 0 || end < begin {
		w.t.Fatalf("the guest's boot script is another one:\n%s", boot)
	}
	files := map[string]string{
		"boot": "#!" + boot[:begin] + bakedBoot + boot[end:], "ssh-keygen": keygen, "hostname": "golden\n",
		"hosts": "127.0.0.1 localhost\n127.0.1.1 golden\n", "machine-id": "0123456789abcdef0123456789abcdef\n", "key": "baked\n",
	}
	for file, text := range files {
		if err := os.WriteFile(path(file), []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	commands := "rm /etc/init.d/boot\nrm /etc/machine-id\nrm /etc/hostname\nrm /etc/hosts\nmkdir /etc/ssh\n" +
		"cd /etc/init.d\nwrite " + path("boot") + " boot\nsif boot mode 0100755\n" +
		"cd /usr/bin\nwrite " + path("ssh-keygen") + " ssh-keygen\nsif ssh-keygen mode 0100755\n" +
		"cd /etc/ssh\nwrite " + path("key") + " ssh_host_ed25519_key\nsif ssh_host_ed25519_key mtime 20250101000000\n"
	for _, file := range []string{"hostname", "hosts", "machine-id"} {
		commands += "cd /etc\nwrite " + path(file) + " " + file + "\nsif " + file + " mtime 20250101000000\n"
	}
	if err := os.WriteFile(path("commands"), []byte(commands), 0o644); err != nil {
		w.t.Fatal(err)
	}
	hostTool(w.t, "/sbin/debugfs", "-w", "-f", path("commands"), path("disk")+rootOffset)
	out := w.must("template", "import", name, path("disk"), "-c", config)
	if !containsAll(out, "machine-id is filled", "host keys") {
		w.t.Errorf("import says\n%s", out)
	}
}

// TestOwnIdentity: VMs of an image that has a host name, a machine id and a host key in it, and no cloud-init, have their own of
// each when they are ready, which the event says.
func TestOwnIdentity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("template: baked\nmin: 2\nmax: 2")
	w.dropTemplates("baked")
	w.withBaked("baked", config)
	p := w.start(config)
	p.untilReady(2)
	seen := map[string]bool{}
	for _, vm := range w.vms() {
		if e := p.heard(vm.Name, bus.EventReady); !strings.Contains(e.Sentence, "its own host name, SSH host keys, machine id") {
			t.Errorf("event %+v", e)
		}
		for command, want := range map[string]string{
			"hostname": vm.Name, "cat /etc/hostname": vm.Name, "sed -n 's/^127.0.1.1 //p' /etc/hosts": vm.Name,
			"cat /etc/machine-id": strings.ReplaceAll(vm.UUID, "-", ""),
		} {
			if got := strings.TrimSpace(w.guestPrints(vm.Name, command)); got != want {
				t.Errorf("%s: %s prints %q, want %q", vm.Name, command, got, want)
			}
		}
		key := w.guestPrints(vm.Name, "cat /etc/ssh/ssh_host_ed25519_key")
		if len(key) != 32 || seen[key] {
			t.Errorf("%s has the key %q", vm.Name, key)
		}
		seen[key] = true
	}
	p.stop()
}
