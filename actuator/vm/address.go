package vm

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
)

// addressWait is for how long a guest that is ready may have no address yet: its agent answers before it has asked for one.
const addressWait = 30 * time.Second

// awaitAddress is addressOf as soon as that is known; "" if it is not in time.
func awaitAddress(ctx context.Context, calls *Calls, dom *libvirt.Domain) string {
	late := time.NewTimer(addressWait)
	defer late.Stop()
	poll := time.NewTicker(250 * time.Millisecond)
	defer poll.Stop()
	for {
		var address string
		if calls.ask(ctx, func() { address = addressOf(dom) }) != nil || address != "" {
			return address
		}
		select {
		case <-ctx.Done():
			return ""
		case <-late.C:
			return ""
		case <-poll.C:
		}
	}
}

// mostAddresses is how many of the addresses that are said of a VM are looked at.
const mostAddresses = 1024

// addressOf is a running VM's first IP address: of its DHCP lease, which the host knows, or else as its agent says, which
// is whatever the guest likes; "" if none is known. It blocks for up to agentTimeout.
func addressOf(dom *libvirt.Domain) string {
	if address := chooseAddress(seenAddresses(dom, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)); address != "" {
		return address
	}
	texts, err := toldAddresses(dom, nil)
	if err != nil {
		return "" // it has no agent
	}
	return chooseAddress(texts)
}

// seenAddresses are a running VM's addresses as its host sees them, by leases or by ARP, without asking the guest; none where
// they cannot be read.
func seenAddresses(dom *libvirt.Domain, source libvirt.DomainInterfaceAddressesSource) (texts []string) {
	interfaces, err := dom.ListAllInterfaceAddresses(source)
	if err != nil {
		return nil
	}
	for _, i := range interfaces {
		for _, a := range i.Addrs {
			texts = append(texts, a.Addr)
		}
	}
	return texts
}

// toldAddresses are a running VM's addresses as its agent says, which is whatever the guest likes: those of interfaces with one
// of the MAC addresses, or of all if there are none. It blocks for up to agentTimeout.
func toldAddresses(dom *libvirt.Domain, macs []string) (texts []string, err error) {
	// Not by libvirt's call for it, which has no time-out of its own.
	var interfaces []struct {
		MAC       string `json:"hardware-address"`
		Addresses []struct {
			Address string `json:"ip-address"`
		} `json:"ip-addresses"`
	}
	if err := agentCommand(dom, agentTimeout, "guest-network-get-interfaces", nil, &interfaces); err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if macs != nil && !slices.ContainsFunc(macs, func(mac string) bool { return strings.EqualFold(mac, i.MAC) }) {
			continue
		}
		for _, a := range i.Addresses {
			texts = append(texts, a.Address)
		}
	}
	return texts, nil
}

// chooseAddress is the first address by which others can reach a VM, of IPv4 rather than IPv6, in its canonical form. The
// texts may be a guest's: what is returned is "" or an address and nothing else, of 0-9, a-f, '.' and ':'.
func chooseAddress(texts []string) string {
	var first string
	for _, text := range texts[:min(len(texts), mostAddresses)] {
		a, ok := usableAddress(text)
		switch {
		case !ok:
		case a.Is4():
			return a.String()
		case first == "":
			first = a.String()
		}
	}
	return first
}

// usableAddress is the address that a text is, if others can reach a VM by it.
func usableAddress(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" { // a zone may be any bytes, and Unmap would hide it
		return netip.Addr{}, false
	}
	a = a.Unmap()
	if !a.IsGlobalUnicast() { // nor loopback, link-local, multicast, unspecified or broadcast
		return netip.Addr{}, false
	}
	if a.Is4() && (a.As4()[0] == 0 || a.As4()[0] >= 240) { // "this network", and what nobody uses
		return netip.Addr{}, false
	}
	return a, true
}
