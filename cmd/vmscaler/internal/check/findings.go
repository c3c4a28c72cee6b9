package check

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/hypervisor"
)

// Level says how bad a finding is.
type Level string

// With a Problem vmscaler, or its next VM, fails. With a Warning it works, badly or not for long.
const (
	OK      Level = "ok"
	Warning Level = "warning"
	Problem Level = "problem"
)

// Finding is one thing that was looked at.
type Finding struct {
	Level  Level  `json:"level"`
	Area   string `json:"area"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"` // the command, or the change, that mends it
}

// Facts are what [Gather] read.
type Facts struct {
	ConfigPath     string // "" if all are defaults
	ConfigErr      error  // config.Problems where the file was read
	ConfigWarnings []string

	Libvirt   Libvirt
	Groups    []bus.Group // with their networks filled in; nil where the config is wrong
	Networks  []Network   // of the groups, each once
	Pool      Pool
	Templates []Template      // of the groups, each once; nil where the pool cannot be read
	Unused    []template.Info // broken templates that no group names
	Unread    []string        // what libvirt did not tell, and why
	Strangers map[string]int  // VMs of groups that the config does not have

	Host        *Host // nil where it was not looked at
	HostUnknown string
}

// Libvirt is the daemon and what it says of its host.
type Libvirt struct {
	Choice hypervisor.Choice
	Err    error // not reached
	Others OtherVMs

	Version, Hypervisor string // "9.0.0", "QEMU 7.2.9"
	QEMU                bool   // false with libvirt's test driver
	MemoryMiB           int    // 0: unknown
	MemoryFreeMiB       *int   // of the same reading
	ActiveNetworks      int
	NetworkNames        []string

	Wanted          string // the config's acceleration
	Acceleration    actuator.Acceleration
	AccelerationErr error
	AppArmor        bool
	// QEMUUser runs the VMs; nil where the host was not looked at.
	QEMUUser *Principal
}

// OtherVMs are VMs of vmscaler at the URI that is not used.
type OtherVMs struct {
	URI   string
	Names []string
	// Refused is the choice's own error: nobody named a URI, and so nothing starts.
	Refused error
}

// Network is a libvirt network as it is defined.
type Network struct {
	Name              string
	Exists            bool
	Active, Autostart bool
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
	Unfit  string // why no VM starts from it, as far as its file tells; "": nothing was found, or it was not looked at
}

const (
	gib       = 1 << 30
	lowWater  = gib // less free space is a problem now
	imagesDir = "/var/lib/libvirt/images"
)

// Findings are in the order in which a person would mend them: nothing below a problem is worth a look before it.
func (f Facts) Findings() []Finding {
	var all []Finding
	for _, part := range []func() []Finding{f.config, f.libvirt, f.login, f.acceleration, f.network, f.storage, f.templates, f.memory} {
		all = append(all, part()...)
	}
	return all
}

func good(area, format string, args ...any) Finding {
	return Finding{Level: OK, Area: area, Text: fmt.Sprintf(format, args...)}
}

func warning(area, remedy, format string, args ...any) Finding {
	return Finding{Level: Warning, Area: area, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

func problem(area, remedy, format string, args ...any) Finding {
	return Finding{Level: Problem, Area: area, Text: fmt.Sprintf(format, args...), Remedy: remedy}
}

// --- remedies ---

// quote makes a word of a command line safe for the shell.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func (f Facts) virsh(verb string, args ...string) string {
	line := "virsh -c " + quote(f.Libvirt.Choice.URI) + " " + verb
	for _, a := range args {
		line += " " + quote(a)
	}
	return line
}

// vmscaler is a command of ours for the same config and URI.
func (f Facts) vmscaler(command string) string {
	line := "vmscaler " + command
	if f.ConfigPath != "" {
		line += " -c " + quote(f.ConfigPath)
	}
	if f.Libvirt.Choice.Why == "from --uri" {
		line += " --uri " + quote(f.Libvirt.Choice.URI)
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
	return quote(f.Host.User.Name)
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

// --- the config ---

func (f Facts) config() []Finding {
	const area = "config"
	var found []Finding
	var problems config.Problems
	switch {
	case errors.As(f.ConfigErr, &problems):
		for _, p := range problems {
			found = append(found, problem(area, "want "+p.Allowed, "%s", strings.TrimSuffix(p.String(), ", want "+p.Allowed)))
		}
		return found
	case f.ConfigErr != nil:
		return []Finding{problem(area, "name a file that can be read with --config, or leave it out", "%s", f.ConfigErr)}
	}
	for _, w := range f.ConfigWarnings {
		text, remedy, _ := strings.Cut(w, "; ")
		found = append(found, warning(area, remedy, "%s", text))
	}
	name := f.ConfigPath
	if name == "" {
		name = "built-in defaults"
	}
	var groups []string
	for _, g := range f.Groups {
		groups = append(groups, fmt.Sprintf("%s (%d to %d VMs)", g.Name, g.Min, g.Max))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Strangers)) {
		found = append(found, warning(area, f.vmscaler("down "+name), "group %s owns %s here but is not configured", name, bus.Count(f.Strangers[name], "VM")))
	}
	return append([]Finding{good(area, "%s: %s", name, strings.Join(groups, ", "))}, found...)
}

// --- libvirt ---

func (f Facts) libvirt() []Finding {
	const area = "libvirt"
	l := f.Libvirt
	if l.Err != nil {
		return []Finding{f.unreachable()}
	}
	var found []Finding
	found = append(found, good(area, "%s answers: libvirt %s, %s", l.Choice, l.Version, l.Hypervisor))
	if text, remedy, ok := strings.Cut(fmt.Sprint(l.Others.Refused), ": use "); l.Others.Refused != nil && ok {
		found = append(found, problem(area, "use "+remedy, "%s", text))
	} else if l.Others.Refused != nil {
		found = append(found, problem(area, "name the one to use with --uri", "%s", l.Others.Refused))
	}
	if len(l.Others.Names) > 0 {
		found = append(found, warning(area, "vmscaler down GROUP --uri "+quote(l.Others.URI)+" (removes them), or go on there with --uri "+quote(l.Others.URI),
			"VMs of vmscaler are also at %s, and do not count here: %s", l.Others.URI, strings.Join(l.Others.Names, ", ")))
	}
	for _, u := range f.Unread {
		found = append(found, problem(area, f.virsh("list")+" shows whether libvirt works", "%s", u))
	}
	if f.Host == nil {
		found = append(found, good(area, "the host's own files were not looked at: %s", f.HostUnknown))
	}
	return found
}

// unreachable says why there is no connection. The dialer's error ends in a remedy of its own, which knows less.
func (f Facts) unreachable() Finding {
	const area = "libvirt"
	const session = "use --uri " + hypervisor.SessionURI + ", which needs no rights"
	l := f.Libvirt
	text := l.Err.Error()
	if errors.Is(l.Err, hypervisor.ErrPermission) || errors.Is(l.Err, hypervisor.ErrDown) {
		if i := strings.LastIndex(text, "; "); i >= 0 {
			text = text[:i]
		}
	}
	text = strings.Replace(text, "at "+l.Choice.URI+":", "at "+l.Choice.String()+":", 1)
	remedy := "name a libvirt that answers: with --uri, or with uri in the config"
	switch {
	case f.Host == nil:
	case l.Choice.URI == hypervisor.SessionURI && f.Host.Daemon != "":
		remedy = "let HOME and XDG_RUNTIME_DIR name folders of this user's own"
	case l.Choice.URI == hypervisor.SessionURI:
		remedy = f.startDaemon("start")
	case errors.Is(l.Err, hypervisor.ErrPermission):
		switch listed, active := f.Host.member("libvirt"); {
		case active:
			remedy = session + ", or ask whoever set up who may use libvirt here"
		case listed:
			text += "; this login is older than the user's membership in group libvirt"
			remedy = "newgrp libvirt (in this shell), or log out and in again"
		default:
			remedy = f.sudo("usermod -aG libvirt "+f.user()) + ", then log out and in again; or " + session
		}
	case !errors.Is(l.Err, hypervisor.ErrDown):
	case l.Choice.URI != hypervisor.SystemURI: // a socket of its own
	case f.Host.DaemonRuns && f.Host.User.UID != 0:
		// polkit, which lets users in, needs the system's D-Bus.
		text += "; the daemon runs, but cannot find out whether it may let this user in"
		remedy = "run vmscaler as root, or " + session
	case f.Host.DaemonRuns:
		remedy = f.startDaemon("restart")
	default:
		remedy = f.startDaemon("start")
	}
	return problem(area, remedy, "%s", text)
}

// login finds groups that the user has and this login does not.
func (f Facts) login() []Finding {
	if f.Host == nil || f.Host.User.UID == 0 {
		return nil
	}
	listed, active := f.Host.member("libvirt")
	if !listed || active || errors.Is(f.Libvirt.Err, hypervisor.ErrPermission) { // said there
		return nil
	}
	return []Finding{warning("libvirt", "newgrp libvirt (in this shell), or log out and in again",
		"user %s is in group libvirt, but this login is older than that", f.Host.User.Name)}
}

// --- acceleration ---

func (f Facts) acceleration() []Finding {
	const area = "acceleration"
	l := f.Libvirt
	if l.Err != nil || !l.QEMU {
		return nil
	}
	acc := l.Acceleration
	device, deviceRemedy := f.deviceDenied()
	slow := warning(area, deviceRemedy, "%s; libvirt then examines QEMU anew at each call, and making a VM can take a minute", device)
	var found []Finding
	switch {
	case acc.Reason == "" && l.AccelerationErr != nil:
		return []Finding{problem(area, f.sudo("apt-get install qemu-system-x86"), "%s", l.AccelerationErr)}
	case acc.Reason == "" && acc.VirtType == "kvm" && f.noExtensions():
		found = append(found, warning(area, `set "acceleration: auto" in the config`,
			"acceleration kvm is configured, but the CPU shows neither vmx nor svm: guests may hang when they start"))
	case acc.Reason == "":
		found = append(found, good(area, "VMs run with KVM"))
	case l.AccelerationErr == nil && l.Wanted == actuator.AccelerationQEMU:
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
	if device != "" && !hypervisor.IsSession(l.Choice.URI) {
		found = append(found, slow)
	}
	return found
}

// noExtensions says that this CPU is known to have none.
func (f Facts) noExtensions() bool {
	x86 := f.Libvirt.Acceleration.Arch == "x86_64" || f.Libvirt.Acceleration.Arch == "i686"
	return f.Host != nil && x86 && !f.Host.CPU.VMX && !f.Host.CPU.SVM
}

// deviceDenied says that QEMU's user may not open /dev/kvm, and what helps.
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
		remedy = f.sudo("usermod -aG kvm "+quote(q.Name)) + ", then " + f.startDaemon("restart")
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
			f.sudo("mknod -m 660 /dev/kvm c 10 232") + " && " + f.sudo("chgrp kvm /dev/kvm") + " (in a container: run it with --device /dev/kvm)"
	case device != "":
		return device, deviceRemedy
	}
	return "libvirt offers no KVM, although " + h.KVM.Path + " can be opened: it looked before that was so", f.startDaemon("restart")
}

// --- networks ---

func (f Facts) network() []Finding {
	var found []Finding
	dnsmasqSaid := false
	for _, n := range f.Networks {
		users, most := f.usersOf(n.Name)
		label := fmt.Sprintf("%s (%s)", n.Name, users)
		if n.Name == bus.UserNetwork {
			found = append(found, good("network", "%s: QEMU's user-mode network, needs nothing", label))
			continue
		}
		if f.Host != nil && !f.Host.Dnsmasq && n.Subnet.IsValid() && !dnsmasqSaid {
			dnsmasqSaid = true
			found = append(found, problem("network", f.sudo("apt-get install dnsmasq-base"), "dnsmasq is not installed; libvirt needs it to start a network with addresses"))
		}
		found = append(found, f.networkState(n, label)...)
		if n.Exists && !n.Subnet.IsValid() {
			found = append(found, f.leasesUnseen(n, label)...)
		}
		if n.Exists && n.Subnet.IsValid() && n.DHCP < most {
			remedy := f.virsh("net-edit", n.Name) + " (a wider <range>)"
			if n.Active {
				remedy += ", then with its VMs down " + f.virsh("net-destroy", n.Name) + " && " + f.virsh("net-start", n.Name)
			}
			if n.DHCP == 0 {
				found = append(found, f.noDHCP(n, label, remedy))
			} else {
				found = append(found, warning("network", remedy, "%s: it hands out %d addresses, the groups may have %d VMs", label, n.DHCP, most))
			}
		}
	}
	return found
}

// leasesUnseen are for the groups that wait for a lease on a network where libvirt hands out none: on a bridge of the host, or
// with macvtap, somebody else does.
func (f Facts) leasesUnseen(n Network, label string) (found []Finding) {
	for _, g := range f.Groups {
		if g.Network == n.Name && g.ReadyWhen == bus.ReadyLease {
			found = append(found, problem("network", "set ready_when: agent (or uptime) for group "+g.Name,
				"%s: libvirt hands out no addresses there, so it sees no lease, and group %s waits for one (ready_when: lease)", label, g.Name))
		}
	}
	return found
}

// noDHCP is bad only for a group that waits for leases.
func (f Facts) noDHCP(n Network, label, remedy string) Finding {
	for _, g := range f.Groups {
		if g.Network == n.Name && g.ReadyWhen == bus.ReadyLease {
			return problem("network", remedy, "%s: it hands out no addresses, and group %s waits for one (ready_when: lease)", label, g.Name)
		}
	}
	return warning("network", remedy, "%s: it hands out no addresses", label)
}

func (f Facts) networkState(n Network, label string) []Finding {
	const area = "network"
	if !n.Exists {
		switch {
		case hypervisor.IsSession(f.Libvirt.Choice.URI):
			return []Finding{problem(area, `set "network: user" in the config, or use --uri `+hypervisor.SystemURI, "%s: does not exist; a session has no networks of its own", label)}
		case n.Name == "default":
			return []Finding{problem(area, f.vmscaler("setup"), "%s: does not exist", label)}
		}
		names := "there is none"
		if len(f.Libvirt.NetworkNames) > 0 {
			names = "there are: " + strings.Join(f.Libvirt.NetworkNames, ", ")
		}
		return []Finding{problem(area, "name another in the config ("+names+"), or define it: "+f.virsh("net-define", "FILE.xml"), "%s: does not exist", label)}
	}
	var found []Finding
	taken, isTaken := f.subnetTaken(n)
	move := f.moveSubnet(n)
	if n.Active {
		detail := "active"
		if n.Subnet.IsValid() {
			detail += fmt.Sprintf(", %s, %d addresses", n.Subnet.Masked(), n.DHCP)
		}
		found = append(found, good(area, "%s: %s", label, detail))
		if isTaken {
			found = append(found, warning(area, f.virsh("net-destroy", n.Name)+" && "+move+" && "+f.virsh("net-start", n.Name),
				"%s: %s is also on %s, so this host does not reach one of the two; is this host itself a VM of such a network?", label, taken.To, taken.Interface))
		}
	} else {
		start := f.virsh("net-start", n.Name)
		holder, isHeld := f.portHeld(n)
		switch {
		case isTaken:
			found = append(found, problem(area, move+" && "+start,
				"%s: not active, and cannot start: %s is already on %s; is this host itself a VM of such a network?", label, taken.To, taken.Interface))
		case isHeld:
			text, remedy := f.holder(holder)
			found = append(found, problem(area, remedy+", then "+start, "%s: not active, and cannot start: %s", label, text))
		default:
			found = append(found, problem(area, start, "%s: not active", label))
		}
	}
	if !n.Autostart {
		found = append(found, warning(area, f.virsh("net-autostart", n.Name), "%s: does not start with the host", label))
	}
	return found
}

// usersOf are the groups of a network and how many VMs they may have together.
func (f Facts) usersOf(network string) (groups string, most int) {
	var names []string
	for _, g := range f.Groups {
		if g.Network == network {
			names = append(names, g.Name)
			most += g.Max
		}
	}
	if len(names) == 1 {
		return "group " + names[0], most
	}
	return "groups " + strings.Join(names, ", "), most
}

// subnetTaken finds a route into the network's subnet that is not its own bridge's. A wider one (a VPN's) does no
// harm: the bridge's is narrower and wins.
func (f Facts) subnetTaken(n Network) (Route, bool) {
	if f.Host == nil || !n.Subnet.IsValid() {
		return Route{}, false
	}
	for _, r := range f.Host.Routes {
		if r.Interface != n.Bridge && r.To.Bits() >= n.Subnet.Bits() && n.Subnet.Overlaps(r.To) {
			return r, true
		}
	}
	return Route{}, false
}

// moveSubnet is the command that gives a network addresses that are free here.
func (f Facts) moveSubnet(n Network) string {
	if f.Host != nil && n.Subnet.Bits() == 24 && n.Subnet.Addr().Is4() {
		old := n.Subnet.Masked().Addr().As4()
		for third := 123; third < 255; third++ {
			to := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, byte(third), 0}), 24)
			if old[0] == 192 && old[1] == 168 && int(old[2]) == third || slices.ContainsFunc(f.Host.Routes, func(r Route) bool { return r.To.Bits() > 0 && r.To.Overlaps(to) }) {
				continue
			}
			return fmt.Sprintf(`%s | sed 's/%d\.%d\.%d\./192.168.%d./g' | %s`, f.virsh("net-dumpxml", "--inactive", n.Name), old[0], old[1], old[2], third,
				f.virsh("net-define", "/dev/stdin"))
		}
	}
	return f.virsh("net-edit", n.Name) + " (choose another subnet)"
}

// portHeld finds what keeps libvirt from starting the network's dnsmasq. libvirt's own ones for other networks
// hold UDP 67 too, each bound to its bridge, and do no harm.
func (f Facts) portHeld(n Network) (Socket, bool) {
	if f.Host == nil || !n.Address.IsValid() {
		return Socket{}, false
	}
	for _, s := range f.Host.Sockets {
		ours := strings.Contains(s.Command, "/libvirt/dnsmasq/")
		stale := ours && strings.Contains(s.Command, "/"+n.Name+".conf")
		switch {
		case !s.Addr.IsUnspecified() && s.Addr != n.Address,
			s.Port == portDHCP && n.DHCP == 0,
			ours && !stale,
			s.PID == 0 && s.Port == portDHCP && f.Libvirt.ActiveNetworks > 0: // most likely one of those
			continue
		}
		return s, true
	}
	return Socket{}, false
}

func (f Facts) holder(s Socket) (text, remedy string) {
	at := fmt.Sprintf("UDP port %d", s.Port)
	if !s.Addr.IsUnspecified() {
		at += " of " + s.Addr.String()
	}
	if s.PID == 0 {
		return "another process has " + at, fmt.Sprintf("see which with sudo ss -lunp 'sport = :%d' and stop it", s.Port)
	}
	text = fmt.Sprintf("%s (process %d) has %s", s.Process, s.PID, at)
	if s.Process == "dnsmasq" && f.Host.Systemd && !strings.Contains(s.Command, "/libvirt/") {
		return text, f.sudo("systemctl disable --now dnsmasq")
	}
	return text, f.sudo(fmt.Sprintf("kill %d", s.PID))
}

// --- storage ---

func (f Facts) storage() []Finding {
	const area = "storage"
	p := f.Pool
	if f.Libvirt.Err != nil || len(f.Groups) == 0 || p.Name == "" {
		return nil
	}
	switch {
	case !p.Exists:
		return []Finding{problem(area, f.vmscaler("setup"), "pool %s: does not exist", p.Name)}
	case p.Type != "dir" && p.Type != "fs" && p.Type != "netfs":
		return []Finding{problem(area, `name a pool of type dir in the config ("pool:"), or a new name and then `+f.vmscaler("setup"),
			"pool %s: its type is %s; VMs' disks are qcow2 files, which need a folder", p.Name, p.Type)}
	}
	var found []Finding
	makeFolder := f.virsh("pool-build", p.Name) + " && " + f.virsh("pool-start", p.Name)
	switch {
	case !p.Active && p.Walk.Missing != "":
		found = append(found, problem(area, makeFolder, "pool %s: not active, and %s does not exist", p.Name, p.Walk.Missing))
	case !p.Active:
		found = append(found, problem(area, f.virsh("pool-start", p.Name), "pool %s: not active", p.Name))
	case p.Walk.Missing != "":
		found = append(found, problem(area, f.virsh("pool-destroy", p.Name)+" && "+makeFolder, "pool %s: active, but %s does not exist", p.Name, p.Walk.Missing))
	default:
		found = append(found, good(area, "pool %s: active, %s, %s free", p.Name, p.Path, size(p.Free)))
	}
	if n, blocked := f.blocked(p.Walk, len(p.Walk.Nodes)); blocked {
		found = append(found, f.blockedFinding(area, "pool "+p.Name, n))
	}
	if !p.Autostart {
		found = append(found, warning(area, f.virsh("pool-autostart", p.Name), "pool %s: does not start with the host", p.Name))
	}
	if !p.Active || p.Walk.Missing != "" {
		return found // its figures mean nothing
	}
	more := f.growth()
	space := "free some there (" + f.virsh("vol-list", p.Name) + " shows what is in it), or use a pool elsewhere"
	switch {
	case p.Free < lowWater:
		found = append(found, problem(area, space, "pool %s: only %s free", p.Name, size(p.Free)))
	case p.Free < more:
		found = append(found, warning(area, space+`; or lower "max"`,
			"pool %s: %s free, and the disks of the groups at max may grow by %s", p.Name, size(p.Free), size(more)))
	}
	if f.Libvirt.AppArmor && p.Path != "" && !within(p.Path, imagesDir) {
		found = append(found, good(area, "pool %s is outside %s, and AppArmor confines VMs; should one fail to start with \"Permission denied\", add the line %q to %s",
			p.Name, imagesDir, p.Path+"/** rwk,", "/etc/apparmor.d/local/abstractions/libvirt-qemu"))
	}
	return found
}

// growth is how many bytes the groups' VMs may still take: each disk as large as its template's, less what they have.
func (f Facts) growth() uint64 {
	var sum uint64
	for _, g := range f.Groups {
		for _, t := range f.Templates {
			if t.Name != g.Template {
				continue
			}
			if full := uint64(g.Max) * t.Info.Capacity; full > f.Pool.Used[g.Name] {
				sum += full - f.Pool.Used[g.Name]
			}
		}
	}
	return sum
}

// blocked finds the first of the walk's first folders that QEMU's user may not pass.
func (f Facts) blocked(w Walk, folders int) (Node, bool) {
	if f.Libvirt.QEMUUser == nil {
		return Node{}, false
	}
	for _, n := range w.Nodes[:min(folders, len(w.Nodes))] {
		if !n.allows(*f.Libvirt.QEMUUser, mayEnter) {
			return n, true
		}
	}
	return Node{}, false
}

func (f Facts) blockedFinding(area, what string, n Node) Finding {
	return problem(area, f.sudo("chmod o+x "+quote(n.Path))+", or use a pool below "+imagesDir,
		"%s: QEMU runs as %s, which may not pass the folder %s", what, f.Libvirt.QEMUUser.Name, n)
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func size(bytes uint64) string {
	if bytes >= gib {
		return fmt.Sprintf("%.1f GiB", float64(bytes)/gib)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}

// --- templates ---

func (f Facts) templates() []Finding {
	const area = "template"
	var found []Finding
	_, poolBlocked := f.blocked(f.Pool.Walk, len(f.Pool.Walk.Nodes))
	for _, t := range f.Templates {
		build := f.vmscaler("template import " + t.Name + " FILE")
		if t.Name == host.DemoTemplate {
			build = f.vmscaler("template build")
		}
		info := t.Info
		switch {
		case !t.Exists:
			found = append(found, problem(area, build, "%s: does not exist in pool %s", t.Name, f.Pool.Name))
			continue
		case info.Broken != nil:
			found = append(found, problem(area, build, "%s: %s", t.Name, info.Broken))
			continue
		case !info.Complete:
			found = append(found, problem(area, build, "%s: incomplete; it is being uploaded, or an upload was broken off", t.Name))
			continue
		case t.Walk.Missing != "":
			found = append(found, problem(area, f.virsh("pool-refresh", f.Pool.Name)+", then "+build, "%s: libvirt lists it, but its file is gone: %s", t.Name, info.Path))
			continue
		}
		if t.Unfit != "" {
			found = append(found, problem(area, f.vmscaler("template import NAME FILE")+`, and "template: NAME" in the config`, "%s %s", t.Name, t.Unfit))
			continue
		}
		if n, blocked := f.blocked(t.Walk, len(t.Walk.Nodes)-1); blocked && !poolBlocked {
			found = append(found, f.blockedFinding(area, t.Name, n))
			continue
		}
		// On a system URI libvirt gives the file to QEMU's user when a VM starts.
		if last := len(t.Walk.Nodes) - 1; last >= 0 && t.Walk.Nodes[last].Path == info.Path && f.Libvirt.QEMUUser != nil &&
			hypervisor.IsSession(f.Libvirt.Choice.URI) && !t.Walk.Nodes[last].allows(*f.Libvirt.QEMUUser, mayRead) {
			found = append(found, problem(area, "chmod u+r "+quote(info.Path), "%s: %s may not read %s", t.Name, f.Libvirt.QEMUUser.Name, t.Walk.Nodes[last]))
			continue
		}
		found = append(found, good(area, "%s: complete, a disk of %s, %s", t.Name, size(info.Capacity), info.Path))
	}
	for _, info := range f.Unused {
		found = append(found, warning(area, info.Remedy, "%s, which no group uses: %s", info.Name, info.Broken))
	}
	return found
}

// --- memory ---

func (f Facts) memory() []Finding {
	if f.Libvirt.MemoryMiB == 0 || len(f.Groups) == 0 {
		return nil
	}
	sum, vms := 0, 0
	for _, g := range f.Groups {
		sum += g.Max * g.MemoryMiB
		vms += g.Max
	}
	text := fmt.Sprintf("%d VMs at max take %s of the host's %s", vms, size(uint64(sum)<<20), size(uint64(f.Libvirt.MemoryMiB)<<20))
	if free := f.Libvirt.MemoryFreeMiB; free != nil {
		text += ", of which " + size(uint64(*free)<<20) + " are available now"
	}
	if sum > f.Libvirt.MemoryMiB {
		return []Finding{warning("memory", `lower "max" or "memory" in the config`, "%s", text)}
	}
	return []Finding{good("memory", "%s", text)}
}
