package host

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// DefaultNetwork is the network of groups that leave it open, the one that the URI allows: libvirt's "default" on a
// system URI, user-mode networking on a session URI.
func DefaultNetwork(uri string) string {
	if IsSession(uri) {
		return bus.UserNetwork
	}
	return "default"
}

// WithNetworks are the groups with their main network filled in, which is DefaultNetwork where they leave it open. The stages
// have them as they are in the file, since not each of them knows the URI.
func WithNetworks(groups []bus.Group, uri string) []bus.Group {
	groups = slices.Clone(groups)
	for i := range groups {
		groups[i].Network = groups[i].MainNetwork(DefaultNetwork(uri))
	}
	return groups
}

// defaultNetwork is what libvirt's packages install, for hosts where it was removed.
const defaultNetwork = `<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='on' delay='0'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'>
    <dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
  </ip>
</network>`

// DemoTemplate is the template that `vmscaler template build` makes.
const DemoTemplate = "demo"

// CanonicalURI is what libvirt calls the URI of a connection, so that all processes that use the same libvirt say
// the same; a socket that was named is kept, as it stands for a daemon of its own.
func CanonicalURI(conn *libvirt.Connect, dialled string) (string, error) {
	uri, err := conn.GetURI()
	if err != nil {
		return "", fmt.Errorf("read libvirt's URI: %w", err)
	}
	uri = strings.Replace(uri, "+unix://", "://", 1) // the same socket as without
	if _, query, ok := strings.Cut(dialled, "?"); ok && !strings.Contains(uri, "?") {
		uri += "?" + query
	}
	return uri, nil
}
