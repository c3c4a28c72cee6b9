package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/vm"
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
	ByFlag   bool // --uri names it
	// Unasked is why the system's libvirt, which comes first where nobody names one, could not be asked; nil if it was, or
	// is not there.
	Unasked error
}

func (c Choice) String() string { return fmt.Sprintf("%s (%s)", c.URI, c.Why) }

// Named is the URI that the flag, VMSCALER_URI, the file or LIBVIRT_DEFAULT_URI names; false when none does.
func (s Sources) Named() (Choice, bool) {
	for _, c := range []Choice{
		{URI: s.Flag, Why: "from --uri", ByFlag: true},
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
	inv, err := vm.ReadInventory(conn)
	if err != nil {
		return c, fmt.Errorf("look for VMs at %s: %w", other, err)
	}
	if groups := inv.Groups(); len(groups) > 0 {
		return c, &SecondSetError{Choice: c, Other: other, Groups: groups}
	}
	return c, nil
}

// SecondSetError is that nobody has named a URI, and that the one which would be used is not the one where there are VMs of
// ours.
type SecondSetError struct {
	Choice Choice
	Other  string   // the URI of the VMs
	Groups []string // whose they are
}

func (e *SecondSetError) Error() string { return e.Reason() + ": " + e.Remedy() }

// Reason is what is wrong.
func (e *SecondSetError) Reason() string {
	return fmt.Sprintf("%s would be used (%s), but %s has VMs of vmscaler (groups: %s)",
		e.Choice.URI, e.Choice.Why, e.Other, strings.Join(e.Groups, ", "))
}

// Remedy is how to name the one that is meant.
func (e *SecondSetError) Remedy() string {
	return fmt.Sprintf("`--uri %s` goes on there, and `--uri %s` begins a second set of VMs, which counts its min and max by itself",
		e.Other, e.Choice.URI)
}

func (d *Dialer) automatic(ctx context.Context) (Choice, error) {
	if os.Geteuid() == 0 {
		return Choice{URI: SystemURI, Why: "as root"}, nil
	}
	conn, err := d.Dial(ctx, SystemURI)
	if err == nil {
		_, _ = conn.Close()
		return Choice{URI: SystemURI, Why: "it answers this user"}, nil
	}
	if ctx.Err() != nil {
		return Choice{}, err
	}
	switch member, has := inGroup("libvirt"); {
	case has: // a daemon that is down now must not make a second set of VMs elsewhere
		return Choice{URI: SystemURI, Why: "as a member of group libvirt"}, nil
	case member:
		return Choice{}, errors.New(
			"this user is in group libvirt, but this login does not know it yet: log in again, or use `sg libvirt -c 'vmscaler ...'`, " +
				"or `--uri " + SessionURI + "`",
		)
	}
	c := Choice{URI: SessionURI, Why: SystemURI + " does not answer this user"}
	if errors.Is(err, ErrPermission) || hasSocket() {
		c.Unasked = err
	}
	return c, nil
}

// hasSocket reports whether there is a libvirt of the system, which may be down.
func hasSocket() bool {
	for _, name := range []string{"libvirt-sock", "virtqemud-sock"} {
		if _, err := os.Stat(filepath.Join("/run/libvirt", name)); err == nil {
			return true
		}
	}
	return false
}

// inGroup reports whether this user is a member of a group, and whether this process has the group already.
func inGroup(name string) (member, has bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return false, false
	}
	if u, err := user.Current(); err == nil {
		ids, err := u.GroupIds()
		member = err == nil && slices.Contains(ids, g.Gid)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return member, false
	}
	groups, err := os.Getgroups()
	return member, err == nil && slices.Contains(groups, gid)
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

// IsSession reports whether a URI names a user's own daemon, which has no libvirt networks.
func IsSession(uri string) bool {
	path, _, _ := strings.Cut(uri, "?")
	return strings.HasSuffix(path, "/session")
}
