package vm

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Acceleration reports whether VMs run on the CPU itself (KVM) or are emulated, and why.
type Acceleration struct {
	VirtType string // the domain type: "kvm", "qemu", or a test driver's own
	Reason   string // why not KVM; "" with KVM
	Arch     string
	HostUUID string // of the machine that libvirt runs on, by its own word
	CPU      string // a fingerprint of the host's CPU; "": it is not known
}

// The values of the acceleration option.
const (
	AccelerationAuto = "auto"
	AccelerationKVM  = "kvm"
	AccelerationQEMU = "qemu"
)

// ReadAcceleration asks libvirt what the host can do. For a local host it looks at /proc/cpuinfo as well: KVM can
// be offered on a CPU without vmx or svm (a VM that hides them from its guests), and every guest then hangs.
func ReadAcceleration(conn *libvirt.Connect, want string) (Acceleration, error) {
	text, err := conn.GetCapabilities()
	if err != nil {
		return Acceleration{}, fmt.Errorf("read the host's capabilities: %w", err)
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(text); err != nil {
		return Acceleration{}, fmt.Errorf("read the host's capabilities: %w", err)
	}
	cpuinfo := ""
	if uri, err := conn.GetURI(); err == nil && IsLocal(uri) {
		if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
			cpuinfo = string(data)
		}
	}
	return chooseAcceleration(caps, cpuinfo, want)
}

// IsLocal reports whether a URI means a libvirt on this machine. Host names are no evidence: libvirt's is often the
// full one.
func IsLocal(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil {
		return false
	}
	_, transport, _ := strings.Cut(u.Scheme, "+")
	return u.Host == "" && (transport == "" || transport == "unix")
}

// chooseAcceleration is the rule; cpuinfo is "" where it cannot be read.
func chooseAcceleration(caps libvirtxml.Caps, cpuinfo, want string) (Acceleration, error) {
	a := Acceleration{HostUUID: caps.Host.UUID}
	if caps.Host.CPU != nil {
		a.Arch, a.CPU = caps.Host.CPU.Arch, fingerprint(*caps.Host.CPU)
	}
	var types []string
	for _, g := range caps.Guests {
		if g.OSType == "hvm" && (a.Arch == "" || g.Arch.Name == a.Arch) {
			a.Arch = g.Arch.Name
			for _, d := range g.Arch.Domains {
				types = append(types, d.Type)
			}
		}
	}
	if len(types) == 0 {
		return a, fmt.Errorf(
			"libvirt offers no hypervisor for %s guests; is QEMU installed? (sudo apt-get install qemu-system-x86)",
			a.Arch,
		)
	}
	x86 := a.Arch == "x86_64" || a.Arch == "i686"
	switch {
	case want == AccelerationQEMU:
		a.Reason = "emulation is configured"
	case !slices.Contains(types, "kvm"):
		a.Reason = "libvirt offers no KVM: /dev/kvm is absent, or its QEMU may not open it"
	case want != AccelerationKVM && x86 && cpuinfo != "" && !hasVirtualization(cpuinfo):
		a.Reason = "the CPU shows neither vmx nor svm: nested virtualization is off where this host runs, or it is off in the firmware"
	default:
		a.VirtType = "kvm"
		return a, nil
	}
	if want == AccelerationKVM {
		return a, fmt.Errorf("acceleration kvm: %s", a.Reason)
	}
	a.VirtType = "qemu"
	if !slices.Contains(types, "qemu") {
		a.VirtType = types[0]
	}
	return a, nil
}

func hasVirtualization(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		if key, flags, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "flags" {
			f := strings.Fields(flags)
			return slices.Contains(f, "vmx") || slices.Contains(f, "svm")
		}
	}
	return false
}
