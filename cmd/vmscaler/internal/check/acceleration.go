package check

import (
	"fmt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/shell"
)

func (f Facts) acceleration() []Finding {
	const area = "acceleration"
	l := f.Libvirt
	if l.Err != nil || !l.QEMU {
		return nil
	}
	acc := l.Acceleration
	device, deviceRemedy := f.deviceDenied()
	slow := warning(area, deviceRemedy, "%s; libvirt then examines QEMU again at each call, and making a VM can take a minute",
		device)
	var found []Finding
	switch {
	case acc.Reason == "" && l.AccelerationErr != nil:
		return []Finding{problem(area, f.sudo("apt-get install qemu-system-x86"), "%s", l.AccelerationErr)}
	case acc.Reason == "" && acc.VirtType == "kvm" && f.noExtensions():
		found = append(found, warning(area, `set "acceleration: auto" in the config`,
			"acceleration kvm is configured, but the CPU shows neither vmx nor svm: guests may hang when they start"))
	case acc.Reason == "":
		found = append(found, good(area, "VMs run with KVM"))
	case l.AccelerationErr == nil && l.Wanted == vm.AccelerationQEMU:
		found = append(found, good(area, "VMs are emulated, many times slower than with KVM, as the config says"))
	default:
		cause, remedy := f.noKVM(device, deviceRemedy)
		if cause == device {
			device = "" // said once
		}
		if l.AccelerationErr != nil {
			found = append(found, problem(area, remedy, `acceleration kvm is configured, and there is none: %s`, cause))
		} else {
			found = append(found, warning(area, remedy, "VMs are emulated, many times slower than with KVM: %s", cause))
		}
	}
	if device != "" && !host.IsSession(l.Choice.URI) {
		found = append(found, slow)
	}
	return found
}

// noExtensions reports that this CPU is known to have none.
func (f Facts) noExtensions() bool {
	x86 := f.Libvirt.Acceleration.Arch == "x86_64" || f.Libvirt.Acceleration.Arch == "i686"
	return f.Host != nil && x86 && !f.Host.CPU.VMX && !f.Host.CPU.SVM
}

// deviceDenied reports that QEMU's user may not open /dev/kvm, and what helps.
func (f Facts) deviceDenied() (text, remedy string) {
	q := f.Libvirt.QEMUUser
	if f.Host == nil || f.Host.KVM == nil || q == nil || f.Host.KVM.allows(*q, mayRead|mayWrite) {
		return "", ""
	}
	text = fmt.Sprintf("%s may not open %s", q.Name, f.Host.KVM)
	kvm := f.Host.accounts.groupID("kvm")
	usable := f.Host.KVM.GID == kvm && f.Host.KVM.Mode.Perm()&0o060 == 0o060
	listed, _ := f.Host.member("kvm")
	switch {
	case kvm < 0:
		remedy = f.sudo("chmod 666 /dev/kvm")
	case !usable:
		remedy = f.sudo("chgrp kvm /dev/kvm") + " && " + f.sudo("chmod 660 /dev/kvm")
	case q.UID == f.Host.User.UID && listed:
		remedy = "newgrp kvm (in this shell), or log out and in again"
	case q.UID == f.Host.User.UID:
		remedy = f.sudo("usermod -aG kvm "+f.user()) + ", then log out and in again"
	default:
		remedy = f.sudo("usermod -aG kvm "+shell.Quote(q.Name)) + ", then " + f.startDaemon("restart")
	}
	return text, remedy
}

// noKVM is why there is no KVM, as exactly as the host shows it.
func (f Facts) noKVM(device, deviceRemedy string) (cause, remedy string) {
	h := f.Host
	if h == nil {
		return f.Libvirt.Acceleration.Reason, "on that host: ls -l /dev/kvm; lsmod | grep kvm"
	}
	module := "kvm_intel"
	if h.CPU.SVM {
		module = "kvm_amd"
	}
	switch {
	case f.noExtensions() && h.CPU.Guest:
		return "this host is itself a VM, whose CPU shows neither vmx nor svm",
			"on the machine that it runs on: sudo modprobe kvm_intel nested=1 (or kvm_amd), and give this VM the CPU mode host-passthrough"
	case f.noExtensions():
		return "the CPU shows neither vmx nor svm", "switch VT-x or AMD-V on in the firmware"
	case h.KVM == nil && h.Module == "":
		return "the kernel module " + module + " is not loaded", f.sudo("modprobe " + module)
	case h.KVM == nil:
		return "/dev/kvm is missing, although " + h.Module + " is loaded",
			f.sudo("mknod -m 660 /dev/kvm c 10 232") + " && " + f.sudo("chgrp kvm /dev/kvm") + " (in a container: run it with " +
				"--device /dev/kvm)"
	case device != "":
		return device, deviceRemedy
	}
	return "libvirt offers no KVM, although " + h.KVM.Path + " can be opened: it looked before that was so", f.startDaemon("restart")
}
