package check

import (
	"cmp"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/shell"
)

func (f Facts) virsh(verb string, args ...string) string {
	line := "virsh -c " + shell.Quote(f.Libvirt.Choice.URI) + " " + verb
	for _, a := range args {
		line += " " + shell.Quote(a)
	}
	return line
}

// vmscaler is a command of ours for the same config and URI.
func (f Facts) vmscaler(command string) string {
	line := shell.Quote(cmp.Or(f.Program, "vmscaler")) + " " + command
	if f.ConfigPath != "" {
		line += " -c " + shell.Quote(f.ConfigPath)
	}
	if f.Libvirt.Choice.ByFlag {
		line += " --uri " + shell.Quote(f.Libvirt.Choice.URI)
	}
	return line
}

func (f Facts) sudo(command string) string {
	if f.Host != nil && f.Host.User.UID == 0 {
		return command
	}
	return "sudo " + command
}

func (f Facts) user() string {
	if f.Host == nil {
		return "$USER"
	}
	return shell.Quote(f.Host.User.Name)
}

// startDaemon is how libvirt is started, or started again.
func (f Facts) startDaemon(verb string) string {
	switch {
	case f.Host == nil:
		return "start libvirt there: sudo systemctl " + verb + " libvirtd"
	case f.Host.Daemon == "":
		return f.sudo("apt-get install libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base")
	case f.Host.Systemd:
		return f.sudo("systemctl " + verb + " " + f.Host.Daemon)
	case verb == "restart":
		return "stop " + f.Host.Daemon + ", and start it again: " + f.sudo(f.Host.Daemon+" -d")
	}
	return f.sudo("virtlogd -d") + "; " + f.sudo(f.Host.Daemon+" -d")
}
