package check

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

func (f *Facts) readNetworks(conn *libvirt.Connect) {
	all, err := conn.ListAllNetworks(0)
	if err != nil && !errors.Is(err, libvirt.ERR_NO_SUPPORT) {
		f.unread(fmt.Errorf("list networks: %w", err))
		return
	}
	defined := map[string]Network{}
	for i := range all {
		n, err := readNetwork(&all[i])
		_ = all[i].Free()
		switch {
		case errors.Is(err, libvirt.ERR_NO_NETWORK): // gone in the meantime
		case err != nil:
			f.unread(err)
		default:
			defined[n.Name] = n
			f.Libvirt.NetworkNames = append(f.Libvirt.NetworkNames, n.Name)
			if n.Active {
				f.Libvirt.ActiveNetworks++
			}
		}
	}
	slices.Sort(f.Libvirt.NetworkNames)
	seen := map[string]bool{}
	for _, g := range f.Groups {
		for _, name := range networksOf(g) {
			if seen[name] {
				continue
			}
			seen[name] = true
			n := defined[name]
			n.Name = name
			f.Networks = append(f.Networks, n)
		}
	}
}

// networksOf are the networks of libvirt's that a group's NICs are on, or bus.UserNetwork.
func networksOf(g bus.Group) []string {
	var names []string
	for _, nic := range g.NICs(g.Network) {
		switch nic.Type {
		case bus.NICNetwork:
			names = append(names, nic.Source)
		case bus.NICUser:
			names = append(names, bus.UserNetwork)
		case bus.NICBridge, bus.NICMacvtap: // the host's, and not looked at
		}
	}
	return names
}

func readNetwork(net *libvirt.Network) (Network, error) {
	n := Network{Exists: true}
	var err error
	if n.Name, err = net.GetName(); err != nil {
		return n, fmt.Errorf("read a network's name: %w", err)
	}
	if n.Active, err = net.IsActive(); err != nil {
		return n, fmt.Errorf("read network %q: %w", n.Name, err)
	}
	if n.Autostart, err = net.GetAutostart(); err != nil {
		return n, fmt.Errorf("read network %q: %w", n.Name, err)
	}
	persistent, err := net.IsPersistent()
	if err != nil {
		return n, fmt.Errorf("read network %q: %w", n.Name, err)
	}
	n.Transient = !persistent
	text, err := net.GetXMLDesc(0)
	if err != nil {
		return n, fmt.Errorf("read network %q: %w", n.Name, err)
	}
	var x libvirtxml.Network
	if err := x.Unmarshal(text); err != nil {
		return n, fmt.Errorf("read network %q: %w", n.Name, err)
	}
	if x.Bridge != nil {
		n.Bridge = x.Bridge.Name
	}
	for _, ip := range x.IPs {
		addr, err := netip.ParseAddr(ip.Address)
		if err != nil || !addr.Is4() {
			continue
		}
		prefix := int(ip.Prefix)
		if mask, err := netip.ParseAddr(ip.Netmask); err == nil && mask.Is4() {
			prefix = maskBits(mask)
		}
		if n.Subnet.IsValid() {
			continue // a second address of the bridge
		}
		n.Address, n.Subnet = addr, netip.PrefixFrom(addr, prefix).Masked()
		if ip.DHCP == nil {
			continue
		}
		for _, r := range ip.DHCP.Ranges {
			n.DHCP += rangeSize(r.Start, r.End)
		}
	}
	return n, nil
}

// rangeSize is how many IPv4 addresses there are from start to end, 0 for what is not such a range.
func rangeSize(start, end string) int {
	from, err1 := netip.ParseAddr(start)
	to, err2 := netip.ParseAddr(end)
	if err1 != nil || err2 != nil || !from.Is4() || !to.Is4() || to.Less(from) {
		return 0
	}
	return int(number(to)-number(from)) + 1
}
