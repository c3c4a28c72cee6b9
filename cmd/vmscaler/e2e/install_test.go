//go:build long

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"libvirt.org/go/libvirt"
)

// installerInit is the first program of the test's installation medium. It asks as setup-alpine does, and writes the demo
// template's disk.
const installerInit = `#!/bin/busybox sh
bb=/bin/busybox
$bb mount -t devtmpfs dev /dev
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
while read -r module; do $bb insmod "/modules/$module.ko"; done < /modules/order
until [ -b /dev/vda ]; do $bb usleep 100000; done
printf '\033[2J\033[1mWelcome to the test\047s medium\033[0m\n\nlocalhost login: '
read -r user
while printf 'localhost:~# '; do
	read -r line
	case $line in
	setup-alpine*)
		printf 'WARNING: The following disk(s) will be erased:\n  vda\n\nWARNING: Erase the above disk(s) and continue? (y/n) [n] '
		read -r answer
		[ "$answer" = y ] || continue
		printf 'Installing system on /dev/vda:\n 50 %%\r 99 %%\r'
		$bb gunzip -c /disk.gz | $bb dd of=/dev/vda bs=1M 2>/dev/null && $bb sync &&
			printf '\nInstallation is complete. Please reboot.\n'
		;;
	poweroff) $bb poweroff -f ;;
	reboot) $bb reboot -f ;;
	esac
done
`

// installationMedium makes an ISO image that starts a kernel with that program.
func installationMedium(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	sh := func(line string) {
		t.Helper()
		cmd := exec.Command("sh", "-ec", line)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "MTOOLS_SKIP_CHECK=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	const config = "SERIAL 0 115200\nDEFAULT linux\nPROMPT 0\nLABEL linux\n KERNEL /vmlinuz\n INITRD /initrd\n" +
		" APPEND console=ttyS0 quiet panic=5 mitigations=off nokaslr no_timer_check random.trust_cpu=on\n"
	for _, d := range []string{"tree", "iso/isolinux"} {
		if err := os.MkdirAll(path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path("tree/init"), []byte(installerInit), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("iso/isolinux/isolinux.cfg"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	sh("qemu-img convert -O raw " + templateFile + " disk")
	sh("mcopy -i disk@@1M ::/vmlinuz iso/vmlinuz && mcopy -i disk@@1M ::/initrd.gz initrd.gz")
	sh("gzip -1 < disk > tree/disk.gz && rm disk")
	sh("cd tree && printf 'init\\ndisk.gz\\n' | cpio -o -H newc > ../more 2>/dev/null")
	var initrd bytes.Buffer // a later archive's files take the place of an earlier one's
	for _, name := range []string{"initrd.gz", "more"} {
		content, err := os.ReadFile(path(name))
		if err != nil {
			t.Fatal(err)
		}
		initrd.Write(content)
		initrd.Write(make([]byte, (4-initrd.Len()%4)%4))
	}
	if err := os.WriteFile(path("iso/initrd"), initrd.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	sh("cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 iso/isolinux")
	sh("xorriso -as mkisofs -quiet -o medium.iso -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 " +
		"-boot-info-table iso")
	return path("medium.iso")
}

// scriptFile writes the steps for the test's medium; end is what is typed last.
func scriptFile(t *testing.T, end string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "steps.yaml")
	text := fmt.Sprintf(`
- {name: boot, expect: 'login: $', timeout: 10m, send: root}
- {name: log in, expect: '# $', timeout: 5m, send: 'setup-alpine -e -f {{quote .Hostname}}'}
- name: write the disk
  expect: 'Installation is complete'
  timeout: 10m
  also: [{expect: 'Erase the above disk\(s\) and continue', send: y}]
- {name: end, expect: '# $', timeout: 5m, send: %s}
`, end)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTemplateInstall: a system is installed from a medium over the serial console, and VMs of its template work. A failed
// installation shows the console's end; nothing of it stays, unless that is wanted.
func TestTemplateInstall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("template: web\nmax: 1")
	w.dropTemplates("web")
	iso := installationMedium(t)
	install := func(script string, more ...string) []string {
		args := []string{"template", "install", "web", "--iso", iso, "--disk", "256MiB", "--script", script, "-c", config}
		return append(args, more...)
	}
	good := scriptFile(t, "poweroff")

	bad := filepath.Join(t.TempDir(), "bad.yaml")
	steps := "- {name: boot, expect: 'login: $', timeout: 10m}\n- {name: wait in vain, expect: 'never: $', timeout: 1s}\n"
	if err := os.WriteFile(bad, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	w.refused(install(bad), `step "wait in vain": nothing that matches`, "Welcome to the test's medium", "localhost login:")
	if left := append(w.throwAways(), w.files()...); len(left) > 0 {
		t.Errorf("a failed installation has left %q", left)
	}
	w.refused([]string{"template", "install", "web", "--iso", templateFile, "-c", config}, "want an ISO 9660 image")
	w.refused(install(good, "--network", "nosuch"), `--network: found "nosuch", want one of user`)
	w.refused(install(good, "--disk", "16384GiB"), "no room in storage pool", "a smaller disk")

	p := w.spawn(install(good)...)
	p.says("boot")
	p.willEnd()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	p.says("interrupted")
	if left := append(w.throwAways(), w.files()...); len(left) > 0 {
		t.Errorf("Ctrl-C has left %q", left)
	}
	p = w.spawn(install(good)...)
	p.says("boot")
	p.kill()
	killed := w.throwAways()
	if len(killed) != 1 {
		t.Fatalf("a killed installation has left %q, want its machine", killed)
	}

	if out := w.must("sweep", "--yes", "-c", config); !strings.Contains(out, "removed "+killed[0]) {
		t.Errorf("sweep:\n%s", out)
	}
	if left := append(w.throwAways(), w.files()...); len(left) > 0 {
		t.Errorf("sweep has left %q", left)
	}
	out := w.refused(install(bad, "--keep"), "its machine is kept", "virsh -c "+w.uri+" console ")
	kept := w.throwAways()
	if len(kept) != 1 || !strings.Contains(out, kept[0]) {
		t.Fatalf("kept: %q\n%s", kept, out)
	}
	if state, _, err := w.domain(kept[0]).GetState(); err != nil || state != libvirt.DOMAIN_RUNNING {
		t.Errorf("the machine that was kept: state %d, %v", state, err)
	}

	idle := filepath.Join(t.TempDir(), "idle.yaml") // which installs nothing
	steps = "- {name: boot, expect: 'login: $', timeout: 10m, send: root}\n" +
		"- {name: end, expect: '# $', timeout: 5m, send: poweroff}\n"
	if err := os.WriteFile(idle, []byte(steps), 0o644); err != nil {
		t.Fatal(err)
	}
	w.refused(install(idle, "--keep"), "sealing its disk: ", "localhost login:",
		"is kept, and is off: virsh -c "+w.uri+" start --console ")
	for _, name := range w.throwAways() {
		if name != kept[0] {
			w.must("down", strings.TrimSuffix(name, "-1"), "--yes", "--shutdown-timeout", "0s")
		}
	}

	w.must(install(good)...)
	if now := w.throwAways(); len(now) != 1 || now[0] != kept[0] {
		t.Errorf("after the next installation there are %q, want the one that was kept", now)
	}
	w.must("down", strings.TrimSuffix(kept[0], "-1"), "--yes", "--shutdown-timeout", "0s")
	if out := w.must("template", "show", "web", "-c", config); !strings.Contains(out, "installation medium medium.iso") ||
		!strings.Contains(out, "firmware   bios") {
		t.Errorf("show:\n%s", out)
	}
	if out := w.must("template", "check", "web", "-c", config); !strings.Contains(out, "ok       boots ") {
		t.Errorf("check:\n%s", out)
	}
	w.refused(install(good), "exists already")
	w.must("template", "rm", "web", "--yes", "-c", config)
}
