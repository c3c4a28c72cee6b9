package vm

import (
	"context"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
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
		if calls.ask(ctx, "addresses", func() { address = addressOf(dom) }) != nil || address != "" {
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

// addressOf is a running VM's first IP address: of its DHCP lease, which the host knows, or else as its agent says, which
// is whatever the guest likes; "" if none is known. It blocks for up to agentTimeout.
func addressOf(dom *libvirt.Domain) string {
	if address := bus.ChooseAddress(seenAddresses(dom, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)); address != "" {
		return address
	}
	texts, err := toldAddresses(dom, nil)
	if err != nil {
		return "" // it has no agent
	}
	return bus.ChooseAddress(texts)
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
