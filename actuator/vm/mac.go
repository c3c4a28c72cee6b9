package vm

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/url"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// macTries bounds the search for a free MAC address; each try is free but for one in four thousand million.
const macTries = 100

// MACAddress is a VM's: the same for each VM of a name in its group on a libvirt, so that one which replaces another gets
// its address from the DHCP server again, instead of one more. It is in QEMU's part of the locally administered addresses,
// and not among those taken.
func MACAddress(libvirtID, group, name string, taken map[string]bool) (string, error) {
	for try := range macTries {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d", libvirtID, group, name, try))
		mac := net.HardwareAddr{0x52, 0x54, sum[0], sum[1], sum[2], sum[3]}.String()
		if !taken[mac] {
			return mac, nil
		}
	}
	return "", fmt.Errorf("MAC address of %s: found %d taken ones, want a free one", name, macTries)
}

// macAddresses are those of a VM's NICs. The first is the same whether there are others.
func macAddresses(libvirtID, group, name string, nics int, taken map[string]bool) ([]string, error) {
	var all []string
	for i := range nics {
		of := name
		if i > 0 {
			of = fmt.Sprintf("%s#%d", name, i+1)
		}
		mac, err := MACAddress(libvirtID, group, of, taken)
		if err != nil {
			return nil, err
		}
		taken[mac] = true
		all = append(all, mac)
	}
	return all, nil
}

// LibvirtPath distinguishes a machine's session from its system, however the URI is spelled.
func LibvirtPath(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Path
}

// TakenMACs are the MAC addresses of all domains, also foreign ones, but of the one with the UUID but; "" is none.
func TakenMACs(conn *libvirt.Connect, but string) (map[string]bool, error) {
	doms, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	taken := map[string]bool{}
	for i := range doms {
		uuid, err := doms[i].GetUUIDString()
		if err != nil || uuid == but {
			_ = doms[i].Free()
			continue
		}
		if text, err := doms[i].GetXMLDesc(0); err == nil { // else it has gone since
			addMACs(text, taken)
		}
		_ = doms[i].Free()
	}
	return taken, nil
}

// addMACs adds those of a domain's definition. One that cannot be read has none that could be compared.
func addMACs(definition string, taken map[string]bool) {
	var d libvirtxml.Domain
	if err := d.Unmarshal(definition); err != nil || d.Devices == nil {
		return
	}
	for _, i := range d.Devices.Interfaces {
		if i.MAC != nil {
			taken[strings.ToLower(i.MAC.Address)] = true
		}
	}
}
