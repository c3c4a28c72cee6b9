package hypervisor

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// The two URIs of a QEMU on this machine.
const (
	SystemURI  = "qemu:///system"
	SessionURI = "qemu:///session"
)

// Sources are where a URI can be said, in the order in which they count.
type Sources struct {
	Flag, File string
	Getenv     func(string) string
}

// Choice is the URI to use, and why.
type Choice struct {
	URI, Why string
	// Automatic says that nobody named it.
	Automatic bool
}

func (c Choice) String() string { return fmt.Sprintf("%s (%s)", c.URI, c.Why) }

// Named is the URI that the flag, VMSCALER_URI, the file or LIBVIRT_DEFAULT_URI names; false when none does.
func (s Sources) Named() (Choice, bool) {
	for _, c := range []Choice{
		{URI: s.Flag, Why: "from --uri"},
		{URI: s.Getenv("VMSCALER_URI"), Why: "from VMSCALER_URI"},
		{URI: s.File, Why: "from the config file"},
		{URI: s.Getenv("LIBVIRT_DEFAULT_URI"), Why: "from LIBVIRT_DEFAULT_URI"},
	} {
		if c.URI != "" {
			return c, true
		}
	}
	return Choice{}, false
}

// Choose is the named URI, or else qemu:///system for root, for members of group libvirt and where it answers, or
// else qemu:///session. When nobody named one and the other one holds VMs of ours, that is an error: they would
// be forgotten there.
func (d *Dialer) Choose(ctx context.Context, s Sources) (Choice, error) {
	if c, ok := s.Named(); ok {
		return c, nil
	}
	c, err := d.automatic(ctx)
	if err != nil {
		return c, err
	}
	other := SessionURI
	if c.URI == SessionURI {
		other = SystemURI
	} else if !sessionHasDomains() {
		return c, nil // asking would start a daemon for nothing
	}
	conn, err := d.Dial(ctx, other)
	if err != nil {
		return c, nil // what cannot be reached is not in use
	}
	defer func() { _, _ = conn.Close() }()
	names, err := ownedDomains(conn)
	if err != nil {
		return c, fmt.Errorf("look for VMs at %s: %w", other, err)
	}
	if len(names) > 0 {
		return c, fmt.Errorf("%s would be used (%s), but %s has VMs of vmscaler (%s): use `--uri %s` to go on there, or `--uri %s` to have VMs in both",
			c.URI, c.Why, other, strings.Join(names, ", "), other, c.URI)
	}
	return c, nil
}

func (d *Dialer) automatic(ctx context.Context) (Choice, error) {
	if os.Geteuid() == 0 {
		return Choice{URI: SystemURI, Why: "as root", Automatic: true}, nil
	}
	conn, err := d.Dial(ctx, SystemURI)
	if err == nil {
		_, _ = conn.Close()
		return Choice{URI: SystemURI, Why: "it answers this user", Automatic: true}, nil
	}
	if ctx.Err() != nil {
		return Choice{}, err
	}
	if inGroup("libvirt") && systemSocketExists() {
		return Choice{URI: SystemURI, Why: "as a member of group libvirt", Automatic: true}, nil
	}
	return Choice{URI: SessionURI, Why: SystemURI + " does not answer this user", Automatic: true}, nil
}

// inGroup says whether this process, not just its user, is in a group.
func inGroup(name string) bool {
	g, err := user.LookupGroup(name)
	if err != nil {
		return false
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return false
	}
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(groups, gid)
}

func systemSocketExists() bool {
	for _, path := range []string{"/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// sessionHasDomains looks for definitions where the session daemon keeps them.
func sessionHasDomains() bool {
	dir, err := os.UserConfigDir()
	if err != nil {
		return false
	}
	files, err := filepath.Glob(filepath.Join(dir, "libvirt", "qemu", "*.xml"))
	return err == nil && len(files) > 0
}

func ownedDomains(conn *libvirt.Connect) ([]string, error) {
	doms, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	var names []string
	for i := range doms {
		uuid, err1 := doms[i].GetUUIDString()
		element, err2 := doms[i].GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.MetadataURI, 0)
		name, err3 := doms[i].GetName()
		if err1 == nil && err2 == nil && err3 == nil {
			if _, err := bus.ParseMetadata(element, uuid); err == nil {
				names = append(names, name)
			}
		}
		_ = doms[i].Free()
	}
	return names, nil
}

// IsSession says whether a URI names a user's own daemon, which has no libvirt networks.
func IsSession(uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	return strings.HasSuffix(path, "/session")
}
