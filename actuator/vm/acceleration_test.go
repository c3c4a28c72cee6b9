package vm

import (
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"
)

func TestChooseAcceleration(t *testing.T) {
	host := func(arch string, types ...string) libvirtxml.Caps {
		var c libvirtxml.Caps
		c.Host.CPU = &libvirtxml.CapsHostCPU{Arch: arch}
		g := libvirtxml.CapsGuest{OSType: "hvm"}
		g.Arch.Name = arch
		for _, name := range types {
			g.Arch.Domains = append(g.Arch.Domains, libvirtxml.CapsGuestDomain{Type: name})
		}
		foreign := libvirtxml.CapsGuest{OSType: "hvm"}
		foreign.Arch.Name = "riscv64"
		foreign.Arch.Domains = []libvirtxml.CapsGuestDomain{{Type: "qemu"}}
		c.Guests = []libvirtxml.CapsGuest{foreign, g}
		return c
	}
	const (
		intel = "processor\t: 0\nflags\t\t: fpu vme vmx sse\nprocessor\t: 1\nflags\t\t: fpu vme vmx sse\n"
		amd   = "flags\t\t: fpu svm sse\n"
		none  = "model name\t: vmx svm by name only\nflags\t\t: fpu vme sse svmx\n"
		arm   = "Features\t: fp asimd\n"
	)
	for _, tt := range []struct {
		name          string
		caps          libvirtxml.Caps
		cpuinfo, want string
		virtType      string
		reason, err   string
	}{
		{"Intel", host("x86_64", "qemu", "kvm"), intel, AccelerationAuto, "kvm", "", ""},
		{"AMD", host("x86_64", "qemu", "kvm"), amd, AccelerationAuto, "kvm", "", ""},
		{"KVM is offered, the CPU cannot", host("x86_64", "qemu", "kvm"), none, AccelerationAuto, "qemu", "neither vmx nor svm", ""},
		{"another host's CPU cannot be seen", host("x86_64", "qemu", "kvm"), "", AccelerationAuto, "kvm", "", ""},
		{"aarch64 has no such flags", host("aarch64", "qemu", "kvm"), arm, AccelerationAuto, "kvm", "", ""},
		{"no KVM", host("x86_64", "qemu"), intel, AccelerationAuto, "qemu", "libvirt offers no KVM", ""},
		{"emulation wanted", host("x86_64", "qemu", "kvm"), intel, AccelerationQEMU, "qemu", "configured", ""},
		{"KVM wanted and there", host("x86_64", "qemu", "kvm"), intel, AccelerationKVM, "kvm", "", ""},
		{"KVM wanted in spite of the CPU", host("x86_64", "qemu", "kvm"), none, AccelerationKVM, "kvm", "", ""},
		{"KVM wanted, none there", host("x86_64", "qemu"), intel, AccelerationKVM, "", "", "acceleration kvm: libvirt offers no KVM"},
		{"the test driver's own type", host("i686", "test"), none, AccelerationAuto, "test", "libvirt offers no KVM", ""},
		{"the test driver, emulation wanted", host("i686", "test"), none, AccelerationQEMU, "test", "configured", ""},
		{"no hypervisor", host("x86_64"), intel, AccelerationAuto, "", "", "no hypervisor for x86_64"},
		{"nothing known", libvirtxml.Caps{}, intel, AccelerationAuto, "", "", "no hypervisor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := chooseAcceleration(tt.caps, tt.cpuinfo, tt.want)
			switch {
			case tt.err != "":
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want an error with %q", err, tt.err)
				}
			case err != nil:
				t.Errorf("error %v", err)
			case a.VirtType != tt.virtType || !strings.Contains(a.Reason, tt.reason) || (tt.reason == "") != (a.Reason == ""):
				t.Errorf("got %+v", a)
			case a.Arch != tt.caps.Host.CPU.Arch:
				t.Errorf("architecture %s", a.Arch)
			}
		})
	}
}
