package check

import (
	"net/netip"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// Facts are what [Gather] read.
type Facts struct {
	Program        string // what this program was called as; "": vmscaler
	ConfigPath     string // "" if all are defaults
	ConfigErr      error  // config.Problems where the file was read
	ConfigWarnings []config.Warning

	Libvirt   Libvirt
	Groups    []bus.Group          // with their networks filled in; nil where the config is wrong
	Networks  []Network            // of the groups, each once
	Pool      Pool                 // of the templates, and of the disks unless they have one of their own
	DiskPool  *Pool                // nil: they have not
	Templates []Template           // of the groups, each once; nil where the pool cannot be read
	Unused    []template.Info      // broken templates that no group names
	Lacks     map[string][]vm.Lack // what the VMs of a group are to have and the host cannot give them
	Unread    []string             // what libvirt did not report, and why
	Owned     map[string]int       // VMs that each group has
	Limits    config.HostLimits    // of launches
	Strangers map[string]int       // VMs of groups that the config does not have
	Queries   []Query              // of Prometheus, that groups follow

	Host        *Host // nil where it was not looked at
	HostUnknown string
}

// Libvirt is the daemon and what it says of its host.
type Libvirt struct {
	Choice host.Choice
	Err    error // not reached
	Others OtherVMs
	Holder *host.Holder // the process that acts there; nil: none, or not known

	Version, Hypervisor string // "9.0.0", "QEMU 7.2.9"
	QEMU                bool   // false with libvirt's test driver
	MemoryMiB           int    // 0: unknown
	MemoryFreeMiB       *int   // of the same reading
	Cores               int    // 0: unknown
	ActiveNetworks      int
	NetworkNames        []string

	Wanted          string // the config's acceleration
	Acceleration    vm.Acceleration
	AccelerationErr error
	AppArmor        bool
	// QEMUUser runs the VMs; nil where the host was not looked at.
	QEMUUser *Principal
}

// OtherVMs are VMs of vmscaler at the URI that is not used.
type OtherVMs struct {
	URI    string
	Names  []string
	Holder *host.Holder // the process that acts there; nil: none, or not known
	// Refused is the choice's own error: nobody named a URI, and so nothing starts.
	Refused error
}

// Network is a libvirt network as it is defined.
type Network struct {
	Name              string
	Exists            bool
	Active, Autostart bool
	Transient         bool // gone with the host's shutdown, so that it cannot start by itself
	Bridge            string
	Subnet            netip.Prefix // invalid where libvirt gives it no IPv4 address
	Address           netip.Addr   // of the bridge
	DHCP              int          // addresses that it hands out
}

// Pool is the storage pool.
type Pool struct {
	Name              string
	Exists            bool
	Active, Autostart bool
	Transient         bool // gone with the host's shutdown, so that it cannot start by itself
	Type, Path        string
	Free              uint64            // bytes
	Used              map[string]uint64 // bytes that each group's VMs have already
	Walk              Walk              // empty where the host was not looked at
}

// Template is a template that a group names.
type Template struct {
	Name   string
	Exists bool
	Info   template.Info
	Walk   Walk
	// CloudInit is whether its guests read a seed; unknown where no group gives them one.
	CloudInit template.CloudInit
	Unfit     string // why no VM starts from it, as far as its file shows; "": nothing was found, or it was not looked at
}
