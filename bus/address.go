package bus

import "net/netip"

// MaxAddresses is how many of the addresses that are said of a VM are looked at.
const MaxAddresses = 1024

// ChooseAddress is the first address by which others can reach a VM, of IPv4 rather than IPv6, in its canonical form. The
// texts may be a guest's: what is returned is "" or an address and nothing else, of 0-9, a-f, '.' and ':'.
func ChooseAddress(texts []string) string {
	var first string
	for _, text := range texts[:min(len(texts), MaxAddresses)] {
		a, ok := UsableAddress(text)
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

// UsableAddress is the address that a text is, if others can reach a VM by it.
func UsableAddress(text string) (netip.Addr, bool) {
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
