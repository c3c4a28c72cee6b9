package check

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"github.com/vmscaler/vmscaler/bus"
)

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
			found = append(found, problem("network", f.sudo("apt-get install dnsmasq-base"), "dnsmasq is not installed; "+
				"libvirt needs it to start a network with addresses"))
		}
		found = append(found, f.networkState(n, label)...)
		if n.Exists && !n.Subnet.IsValid() {
			found = append(found, f.leasesUnseen(n, label)...)
		}
		if n.Exists && n.Subnet.IsValid() && n.DHCP < most {
			remedy := f.virsh("net-edit", n.Name) + " (a wider <range>)"
			if n.Active {
				remedy += ", then with all VMs on it down, anybody's, " + f.virsh(
					"net-destroy",
					n.Name,
				) + " && " + f.virsh(
					"net-start",
					n.Name,
				)
			}
			if n.DHCP == 0 {
				found = append(found, f.noDHCP(n, label, remedy))
			} else {
				found = append(found, warning("network", remedy, "%s: it hands out %d addresses, the groups may have %d VMs", label, n.DHCP,
					most))
			}
		}
	}
	return found
}

// leasesUnseen are for the groups that wait for a lease on a network where libvirt hands out none: on a bridge of the host, or
// with macvtap, libvirt does not.
func (f Facts) leasesUnseen(n Network, label string) (found []Finding) {
	for _, g := range f.Groups {
		if slices.Contains(networksOf(g), n.Name) && g.ReadyWhen == bus.ReadyLease {
			found = append(found, problem("network", "set ready_when: agent (or uptime) for group "+g.Name,
				"%s: libvirt hands out no addresses there, so it sees no lease, and group %s waits for one (ready_when: lease)", label,
				g.Name))
		}
	}
	return found
}

// noDHCP is bad only for a group that waits for leases.
func (f Facts) noDHCP(n Network, label, remedy string) Finding {
	for _, g := range f.Groups {
		if slices.Contains(networksOf(g), n.Name) && g.ReadyWhen == bus.ReadyLease {
			return problem("network", remedy, "%s: it hands out no addresses, and group %s waits for one (ready_when: lease)", label,
				g.Name)
		}
	}
	return warning("network", remedy, "%s: it hands out no addresses", label)
}

func (f Facts) networkState(n Network, label string) []Finding {
	const area = "network"
	if !n.Exists {
		switch {
		case host.IsSession(f.Libvirt.Choice.URI):
			return []Finding{problem(area, `set "network: user" in the config, or use --uri `+host.SystemURI, "%s: does not exist; "+
				"a session has no networks of its own", label)}
		case n.Name == "default":
			return []Finding{problem(area, f.vmscaler("setup"), "%s: does not exist", label)}
		}
		names := "there is none"
		if len(f.Libvirt.NetworkNames) > 0 {
			names = "there are: " + strings.Join(f.Libvirt.NetworkNames, ", ")
		}
		return []Finding{problem(area, "name another in the config ("+names+"), or define it: "+f.virsh("net-define", "FILE.xml"),
			"%s: does not exist", label)}
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
			found = append(
				found,
				warning(
					area,
					"with all VMs on it down, anybody's, "+f.virsh("net-destroy", n.Name)+" && "+move+" && "+f.virsh("net-start", n.Name),
					"%s: %s is also on %s, so this host does not reach one of the two; is this host itself a VM of such a network?",
					label,
					taken.To,
					taken.Interface,
				),
			)
		}
	} else {
		start := f.virsh("net-start", n.Name)
		holder, isHeld := f.portHeld(n)
		switch {
		case isTaken:
			found = append(found, problem(area, move+" && "+start,
				"%s: not active, and cannot start: %s is already on %s; is this host itself a VM of such a network?", label, taken.To,
				taken.Interface))
		case isHeld:
			text, remedy := f.holder(holder)
			found = append(found, problem(area, remedy+", then "+start, "%s: not active, and cannot start: %s", label, text))
		default:
			found = append(found, problem(area, start, "%s: not active", label))
		}
	}
	switch {
	case n.Transient:
		found = append(
			found,
			warning(area, f.defined("net", n.Name), "%s: transient, so that it is gone when the host restarts", label),
		)
	case !n.Autostart:
		found = append(found, warning(area, f.virsh("net-autostart", n.Name), "%s: does not start with the host", label))
	}
	return found
}

// defined is how a transient pool or network becomes one that stays, and starts with the host.
func (f Facts) defined(kind, name string) string {
	return f.virsh(kind+"-dumpxml", name) + " >" + name + ".xml && " + f.virsh(kind+"-define", name+".xml") + " && " +
		f.virsh(kind+"-autostart", name)
}

// usersOf are the groups of a network and how many VMs they may have together.
func (f Facts) usersOf(network string) (groups string, most int) {
	var names []string
	for _, g := range f.Groups {
		if slices.Contains(networksOf(g), network) {
			names = append(names, g.Name)
			most += g.Max
		}
	}
	if len(names) == 1 {
		return "group " + names[0], most
	}
	return "groups " + bus.List(names), most
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
			if old[0] == 192 && old[1] == 168 && int(old[2]) == third || slices.ContainsFunc(f.Host.Routes,
				func(r Route) bool { return r.To.Bits() > 0 && r.To.Overlaps(to) }) {
				continue
			}
			return fmt.Sprintf(`%s | sed 's/%d\.%d\.%d\./192.168.%d./g' | %s`, f.virsh("net-dumpxml", "--inactive", n.Name), old[0],
				old[1], old[2], third,
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
