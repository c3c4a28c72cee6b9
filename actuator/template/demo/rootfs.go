package demo

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

//go:embed guest
var guestFiles embed.FS

// guestFile reads an embedded file; the name is fixed at compile time.
func guestFile(name string) ([]byte, error) {
	return guestFiles.ReadFile("guest/" + name)
}

// guestScripts are where the embedded files go in the guest. All are programs
// but inittab.
var guestScripts = []struct {
	name, path string
	mode       fs.FileMode
}{
	{"inittab", "etc/inittab", 0o644},
	{"boot", "etc/init.d/boot", 0o755},
	{"agent", "etc/init.d/agent", 0o755},
	{"network", "etc/init.d/network", 0o755},
	{"power", "etc/init.d/power", 0o755},
	{"dhcp-event", "etc/dhcp-event", 0o755},
	{"power-button", "etc/acpi/PWRF/00000080", 0o755}, // where busybox acpid looks by default
	{"shutdown", "usr/sbin/shutdown", 0o755},
}

// shutdownNames are other names of the guest's shutdown, in place of busybox's applets.
var shutdownNames = []string{"halt", "poweroff", "reboot"}

// guestText are the small files of /etc.
var guestText = map[string]string{
	"etc/passwd": "root::0:0:root:/root:/bin/sh\n",
	"etc/group":  "root:x:0:\n",
	"etc/shells": "/bin/sh\n",
	"etc/fstab":  "LABEL=" + rootLabel + " / ext4 noatime 0 1\n",
}

// applets are what the guest's scripts call; a busybox without one of them
// makes no working guest.
var applets = []string{
	"acpid", "cat", "findfs", "getty", "halt", "hostname", "init", "insmod", "ip", "killall", "ln", "mkdir",
	"mount", "poweroff", "reboot", "sed", "sh", "sleep", "switch_root", "sync", "tr", "udhcpc", "usleep",
}

// stageRoot lays out the guest's root file system in dir from the unpacked
// packages. Everything lives below /usr with the usual links, as in current
// distributions.
func stageRoot(ctx context.Context, packages, dir string, order []string, module func(string) ([]byte, error)) error {
	for _, d := range []string{
		"dev", "proc", "sys", "run", "tmp", "root", "mnt", "var/log", "etc/init.d", "etc/acpi/PWRF",
		"usr/bin", "usr/sbin", "usr/lib/x86_64-linux-gnu", "usr/lib/modules", "usr/lib64",
	} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "../run", "var/tmp": "../tmp",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	if err := stageBusybox(ctx, packages, dir); err != nil {
		return err
	}
	if err := stagePrograms(packages, dir); err != nil {
		return err
	}
	for _, s := range guestScripts {
		content, err := guestFile(s.name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, s.path), content, s.mode); err != nil {
			return err
		}
	}
	for _, name := range shutdownNames {
		if err := os.Symlink("shutdown", filepath.Join(dir, "usr/sbin", name)); err != nil {
			return err
		}
	}
	for path, text := range guestText {
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	modules := filepath.Join(dir, "usr/lib/modules")
	for _, name := range order {
		ko, err := module(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(modules, name+".ko"), ko, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(modules, "order"), orderFile(order), 0o644)
}

// stageBusybox installs busybox and a link for each of its applets, which it
// lists itself: a static program of this machine's architecture.
func stageBusybox(ctx context.Context, packages, dir string) error {
	busybox, err := unpacked(packages, "bin/busybox")
	if err != nil {
		return err
	}
	if err := copyFile(busybox, filepath.Join(dir, "usr/bin/busybox"), 0o755); err != nil {
		return err
	}
	var list bytes.Buffer
	if err := hosttool.Run(ctx, &list, busybox, "--list-full"); err != nil {
		return err
	}
	have := map[string]bool{}
	for path := range strings.Lines(list.String()) {
		name := filepath.Base(strings.TrimSpace(path))
		have[name] = true
		sub := "usr/bin"
		if strings.Contains(path, "sbin/") {
			sub = "usr/sbin"
		}
		if name == "busybox" || name == "shutdown" || slices.Contains(shutdownNames, name) {
			continue
		}
		if err := os.Symlink("/usr/bin/busybox", filepath.Join(dir, sub, name)); err != nil {
			return err
		}
	}
	for _, name := range applets {
		if !have[name] {
			return fmt.Errorf("the distribution's busybox-static has no %s", name)
		}
	}
	return nil
}

// stagePrograms installs the agent and the load generator with their libraries.
func stagePrograms(packages, dir string) error {
	agent, err := unpacked(packages, "sbin/qemu-ga")
	if err != nil {
		return err
	}
	stress, err := unpacked(packages, "bin/stress-ng")
	if err != nil {
		return err
	}
	libs, err := libraries(packages, agent, stress)
	if err != nil {
		return err
	}
	interpreter, err := unpacked(packages, loader)
	if err != nil {
		return err
	}
	copies := map[string]string{
		agent: "usr/sbin/qemu-ga", stress: "usr/bin/stress-ng", interpreter: "usr/" + loader,
	}
	for soname, path := range libs {
		if soname != filepath.Base(loader) {
			copies[path] = "usr/lib/x86_64-linux-gnu/" + soname
		}
	}
	for from, to := range copies {
		if err := copyFile(from, filepath.Join(dir, to), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// unpacked finds a file of the packages, which may have it in / or in /usr.
func unpacked(root, path string) (string, error) {
	for _, p := range []string{filepath.Join(root, path), filepath.Join(root, "usr", path)} {
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("the packages have no %s", path)
}

func copyFile(from, to string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}
