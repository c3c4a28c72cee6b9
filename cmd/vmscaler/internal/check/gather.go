package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/vm"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
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
	Sources        host.Sources // File is filled in from Config
	Dialer         *host.Dialer
	Root           string // where the host's files are: "/" but in tests
}

// Gather reads libvirt and the host. What cannot be read is a fact like others, so there is no error but that of ctx.
func Gather(ctx context.Context, in Input) (Facts, error) {
	f := Facts{
		ConfigPath: in.Config.Path, ConfigErr: in.ConfigErr, ConfigWarnings: in.ConfigWarnings,
		Groups: slices.Clone(in.Config.Groups),
	}
	in.Sources.File = in.Config.LibvirtURI
	disk := newFiles(in.Root)
	me := Principal{UID: os.Getuid(), GIDs: []int{os.Getegid()}}
	if groups, err := os.Getgroups(); err == nil {
		me.GIDs = append(me.GIDs, groups...)
	}

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
	f.readPools(ctx, conn, in.Config, disk)
	return f, nil
}

// elsewhere says why the files of this machine are not those of libvirt's host; "" where they are.
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

// others looks for VMs of ours where nobody told us to look. It starts no daemon and asks for no password.
func others(ctx context.Context, in Input, uri string) OtherVMs {
	switch uri {
	case host.SystemURI:
		o := OtherVMs{URI: host.SessionURI}
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
		o := OtherVMs{URI: host.SystemURI}
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

// unread keeps what libvirt did not tell.
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

// qemuUser is whom libvirt runs QEMU as, which it tells as "+64055:+107"; nil where it does not.
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
		if seen[g.Network] {
			continue
		}
		seen[g.Network] = true
		n := defined[g.Network]
		n.Name = g.Network
		f.Networks = append(f.Networks, n)
	}
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

// readPools reads the pool of the templates, and that of the disks where it is another.
func (f *Facts) readPools(ctx context.Context, conn *libvirt.Connect, cfg config.Config, disk files) {
	if cfg.Pool == "" {
		return // the config is wrong
	}
	var pool *libvirt.StoragePool
	if f.Pool, pool = f.readPool(conn, cfg.Pool, disk); pool != nil {
		defer func() { _ = pool.Free() }()
		if f.Pool.Active {
			f.readTemplates(ctx, conn, disk)
		}
	}
	disks, disksPool := &f.Pool, pool
	if cfg.Disks() != cfg.Pool {
		p, pool := f.readPool(conn, cfg.Disks(), disk)
		if pool != nil {
			defer func() { _ = pool.Free() }()
		}
		f.DiskPool, disks, disksPool = &p, &p, pool
	}
	if disks.Active {
		f.readUsed(conn, disksPool, disks)
	}
}

// readPool reads a pool; the second is nil where there is none or it cannot be read. The caller frees it.
func (f *Facts) readPool(conn *libvirt.Connect, name string, disk files) (Pool, *libvirt.StoragePool) {
	pool, err := conn.LookupStoragePoolByName(name)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) {
		return Pool{Name: name}, nil
	}
	var p Pool
	if err == nil {
		if p, err = readPool(pool, name); err != nil {
			_ = pool.Free()
		}
	}
	if err != nil {
		f.unread(fmt.Errorf("read storage pool %q: %w", name, err))
		return Pool{}, nil
	}
	if f.Host != nil && f.Libvirt.QEMU && p.Path != "" {
		p.Walk = disk.walk(p.Path)
		// libvirt's figure is as old as its last look at the folder.
		if free, ok := disk.free(p.Path); ok && p.Active {
			p.Free = free
		}
	}
	return p, pool
}

func readPool(pool *libvirt.StoragePool, name string) (Pool, error) {
	p := Pool{Name: name, Exists: true}
	var err error
	if p.Active, err = pool.IsActive(); err != nil {
		return p, err
	}
	if p.Autostart, err = pool.GetAutostart(); err != nil {
		return p, err
	}
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return p, err
	}
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(text); err != nil {
		return p, err
	}
	p.Type = x.Type
	if x.Target != nil {
		p.Path = x.Target.Path
	}
	info, err := pool.GetInfo()
	if err != nil {
		return p, err
	}
	p.Free = info.Available
	return p, nil
}

func (f *Facts) readTemplates(ctx context.Context, conn *libvirt.Connect, disk files) {
	infos, err := template.List(conn, f.Pool.Name)
	if err != nil {
		f.unread(err)
		return
	}
	seen := map[string]bool{}
	for _, g := range f.Groups {
		if seen[g.Template] {
			continue
		}
		seen[g.Template] = true
		t := Template{Name: g.Template}
		for _, info := range infos {
			if info.Name == g.Template {
				t.Exists, t.Info = true, info
			}
		}
		if t.Exists && t.Info.Broken == nil && f.Host != nil && f.Libvirt.QEMU {
			t.Walk = disk.walk(t.Info.Path)
			if t.Info.Complete {
				// What this user may not read, or no qemu-img is there for, stays unknown.
				if reason, err := template.Examine(ctx, disk.path(t.Info.Path)); err == nil {
					t.Unfit = reason
				}
			}
		}
		f.Templates = append(f.Templates, t)
	}
	for _, info := range infos {
		if info.Broken != nil && !seen[info.Name] {
			f.Unused = append(f.Unused, info)
		}
	}
}

// readUsed sums what the groups' VMs have in a pool.
func (f *Facts) readUsed(conn *libvirt.Connect, pool *libvirt.StoragePool, p *Pool) {
	inv, err := vm.ReadInventory(conn)
	if err != nil {
		f.unread(err)
		return
	}
	p.Used, f.Strangers = map[string]uint64{}, map[string]int{}
	for _, vm := range inv.Owned {
		if !slices.ContainsFunc(f.Groups, func(g bus.Group) bool { return g.Name == vm.Meta.Group }) {
			f.Strangers[vm.Meta.Group]++
		}
		if vm.Meta.Pool != p.Name {
			continue
		}
		vol, err := pool.LookupStorageVolByName(vm.Meta.Volume)
		if err != nil {
			continue // not made yet, or gone
		}
		if info, err := vol.GetInfo(); err == nil {
			p.Used[vm.Meta.Group] += info.Allocation
		}
		_ = vol.Free()
	}
}
