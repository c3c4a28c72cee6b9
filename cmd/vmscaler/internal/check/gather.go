package check

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/vm"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/collector"
)

// Input is what [Gather] starts from.
type Input struct {
	Config         config.Config
	ConfigErr      error // Config is then what of the file is right, if anything is
	ConfigWarnings []config.Warning
	Program        string       // what this program was called as
	Sources        host.Sources // File is filled in from Config
	Dialer         *host.Dialer
	Root           string // where the host's files are: "/" but in tests
}

// Gather reads libvirt and the host. What cannot be read is a fact like others, so there is no error but that of ctx.
func Gather(ctx context.Context, in Input) (Facts, error) {
	f := Facts{
		Program: in.Program, ConfigPath: in.Config.Path, ConfigErr: in.ConfigErr, ConfigWarnings: in.ConfigWarnings,
		Groups: slices.Clone(in.Config.Groups), Limits: in.Config.Host,
	}
	in.Sources.File = in.Config.LibvirtURI
	disk := newFiles(in.Root)
	me := Principal{UID: os.Getuid(), GIDs: []int{os.Getegid()}}
	if groups, err := os.Getgroups(); err == nil {
		me.GIDs = append(me.GIDs, groups...)
	}

	f.Queries = AskQueries(ctx, f.Groups)
	conn := f.reach(ctx, in)
	if err := ctx.Err(); err != nil {
		return f, fmt.Errorf("check: %w", context.Cause(ctx))
	}
	if conn != nil {
		defer func() { _, _ = conn.Close() }()
	}
	if f.HostUnknown = elsewhere(f.Libvirt.Choice.URI); f.HostUnknown == "" {
		f.Host = disk.host(me)
	}
	if conn == nil {
		return f, nil
	}
	f.readLibvirt(conn, in, disk)
	f.readNetworks(conn)
	f.readLacks(conn)
	f.readPools(ctx, conn, in.Config, disk)
	return f, nil
}

// elsewhere reports why the files of this machine are not those of libvirt's host; "" where they are.
func elsewhere(uri string) string {
	if vm.IsLocal(uri) {
		return ""
	}
	return "libvirt at " + uri + " is elsewhere"
}

// reach chooses the URI and connects; nil where that fails.
func (f *Facts) reach(ctx context.Context, in Input) *libvirt.Connect {
	choice, named := in.Sources.Named()
	l := &f.Libvirt
	if !named {
		var err error
		choice, err = in.Dialer.Choose(ctx, in.Sources)
		if choice.URI == "" {
			l.Choice.Why, l.Err = "no URI could be chosen", err
			return nil
		}
		l.Others.Refused = err
	}
	l.Choice = choice
	l.Holder = holderOf(choice.URI)
	conn, err := in.Dialer.Dial(ctx, choice.URI)
	if err != nil {
		l.Err = err
		return nil
	}
	if named {
		l.Others = others(ctx, in, choice.URI)
	}
	return conn
}

// holderOf is the process that acts on a libvirt, nil where none is found.
func holderOf(uri string) *host.Holder {
	if h, found := host.FindHolder(uri); found {
		return &h
	}
	return nil
}

// others looks for VMs of ours where nobody told us to look. It starts no daemon and asks for no password.
func others(ctx context.Context, in Input, uri string) OtherVMs {
	switch uri {
	case host.SystemURI:
		o := OtherVMs{URI: host.SessionURI, Holder: holderOf(host.SessionURI)}
		dir, err := os.UserConfigDir()
		if err != nil {
			return o
		}
		definitions, err := filepath.Glob(filepath.Join(in.Root, dir, "libvirt", "qemu", "*.xml"))
		if err != nil {
			return o
		}
		for _, path := range definitions {
			if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), bus.MetadataURI) {
				o.Names = append(o.Names, strings.TrimSuffix(filepath.Base(path), ".xml"))
			}
		}
		return o
	case host.SessionURI:
		o := OtherVMs{URI: host.SystemURI, Holder: holderOf(host.SystemURI)}
		conn, err := in.Dialer.Dial(ctx, host.SystemURI)
		if err != nil {
			return o // what cannot be reached is not in use
		}
		defer func() { _, _ = conn.Close() }()
		inv, err := vm.ReadInventory(conn)
		if err != nil {
			return o
		}
		for _, vm := range inv.Owned {
			o.Names = append(o.Names, vm.Name)
		}
		return o
	}
	return OtherVMs{}
}

// unread keeps what libvirt did not report.
func (f *Facts) unread(err error) { f.Unread = append(f.Unread, err.Error()) }

func (f *Facts) readLibvirt(conn *libvirt.Connect, in Input, disk files) {
	l := &f.Libvirt
	l.Version, l.Hypervisor = "of an unknown version", "an unknown hypervisor"
	if v, err := conn.GetLibVersion(); err == nil {
		l.Version = dotted(v)
	}
	if kind, err := conn.GetType(); err == nil {
		l.QEMU = strings.EqualFold(kind, "qemu")
		l.Hypervisor = kind
		if v, err := conn.GetVersion(); err == nil {
			l.Hypervisor += " " + dotted(v)
		}
	}
	meminfo := ""
	if f.Host != nil && l.QEMU {
		meminfo = disk.text("/proc/meminfo")
	}
	l.MemoryMiB, l.MemoryFreeMiB = collector.Memory(conn, meminfo)
	if node, err := conn.GetNodeInfo(); err == nil {
		l.Cores = int(node.Cpus)
	}
	uri, err := host.CanonicalURI(conn, l.Choice.URI)
	if err != nil {
		uri = l.Choice.URI
	}
	f.Groups = host.WithNetworks(f.Groups, uri)

	if l.Wanted = in.Config.Acceleration; l.Wanted == "" {
		l.Wanted = vm.AccelerationAuto
	}
	l.Acceleration, l.AccelerationErr = vm.ReadAcceleration(conn, l.Wanted)
	var caps libvirtxml.Caps
	text, err := conn.GetCapabilities()
	if err == nil {
		err = caps.Unmarshal(text)
	}
	if err != nil {
		f.unread(fmt.Errorf("read the host's capabilities: %w", err))
		return
	}
	for _, m := range caps.Host.SecModel {
		l.AppArmor = l.AppArmor || m.Name == "apparmor"
	}
	switch {
	case f.Host == nil || !l.QEMU:
	case host.IsSession(l.Choice.URI):
		l.QEMUUser = &f.Host.User
	default:
		l.QEMUUser = qemuUser(caps, disk.accounts)
	}
}

// qemuUser is the user that libvirt runs QEMU as, which it reports as "+64055:+107"; nil where it does not.
func qemuUser(caps libvirtxml.Caps, a accounts) *Principal {
	for _, m := range caps.Host.SecModel {
		if m.Name != "dac" {
			continue
		}
		for _, label := range m.Labels {
			user, group, _ := strings.Cut(label.Value, ":")
			uid, err1 := strconv.Atoi(strings.TrimPrefix(user, "+"))
			gid, err2 := strconv.Atoi(strings.TrimPrefix(group, "+"))
			if err1 == nil && err2 == nil {
				p := a.principal(uid, gid)
				return &p
			}
		}
	}
	return nil
}

func dotted(version uint32) string {
	return fmt.Sprintf("%d.%d.%d", version/1_000_000, version/1000%1000, version%1000)
}
