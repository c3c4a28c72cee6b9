package check

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// hostFiles makes a root with these files; a content "-> x" is a symbolic link.
func hostFiles(t *testing.T, contents map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range contents {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if target, ok := strings.CutPrefix(content, "-> "); ok && err == nil {
			err = os.Symlink(target, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// kernel writes an IPv4 address as /proc/net does on this machine.
func kernel(addr string) string {
	b := netip.MustParseAddr(addr).As4()
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], binary.NativeEndian.Uint32(b[:]))
	const digits = "0123456789ABCDEF"
	text := ""
	for _, x := range word {
		text += string(digits[x>>4]) + string(digits[x&15])
	}
	return text
}

func procFiles() map[string]string {
	return map[string]string{
		"etc/passwd":   passwd,
		"etc/group":    group,
		"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu svm hypervisor\n\nprocessor\t: 1\nflags\t\t: fpu\n",
		"proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
			"eth0\t" + kernel("0.0.0.0") + "\t" + kernel("10.0.0.1") + "\t0003\t0\t0\t0\t" + kernel("0.0.0.0") + "\t0\t0\t0\n" +
			"eth0\t" + kernel("192.168.122.0") + "\t00000000\t0001\t0\t0\t0\t" + kernel("255.255.255.0") + "\t0\t0\t0\n",
		"proc/net/udp": "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref " +
			"pointer drops\n" +
			" 1: " + kernel(
			"192.168.122.1",
		) + ":0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 555 2 0 0\n" +
			" 2: " + kernel(
			"0.0.0.0",
		) + ":0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 556 2 0 0\n" +
			" 3: " + kernel(
			"0.0.0.0",
		) + ":1234 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 557 2 0 0\n",
		"proc/net/udp6": "  sl  local_address\n" +
			" 1: " + strings.Repeat("0", 32) + ":0035 " + strings.Repeat("0", 32) +
			":0000 07 00000000:00000000 00:00000000 00000000     0        0 558 2 0 0\n",
		"proc/77/fd/3":         "-> socket:[555]",
		"proc/77/fd/4":         "-> /dev/null",
		"proc/77/comm":         "dnsmasq\n",
		"proc/77/cmdline":      "dnsmasq\x00--conf-file=/x/lan.conf\x00",
		"proc/88/comm":         "libvirtd\n",
		"run/libvirtd.pid":     "88",
		"run/systemd/system/x": "",
		"sys/module/kvm_amd/x": "",
		"usr/sbin/dnsmasq":     "",
		"usr/sbin/virtqemud":   "",
		"usr/sbin/libvirtd":    "",
		"dev/kvm":              "",
	}
}

func TestHost(t *testing.T) {
	disk := newFiles(hostFiles(t, procFiles()))
	h := disk.host(Principal{UID: 1000, GIDs: []int{1000}})
	if h.User.Name != "ann" || !h.Systemd || !h.Dnsmasq || h.Daemon != "libvirtd" || !h.DaemonRuns || h.Module != "kvm_amd" {
		t.Errorf("got %+v", h)
	}
	if want := (CPU{SVM: true, Guest: true}); h.CPU != want {
		t.Errorf("CPU: got %+v, want %+v", h.CPU, want)
	}
	if h.KVM == nil || h.KVM.Mode.Perm() != 0o644 || h.KVM.UID != os.Getuid() {
		t.Errorf("/dev/kvm: got %+v", h.KVM)
	}
	routes := []Route{{"eth0", netip.MustParsePrefix("0.0.0.0/0")}, {"eth0", netip.MustParsePrefix("192.168.122.0/24")}}
	if !slices.Equal(h.Routes, routes) {
		t.Errorf("routes: got %v, want %v", h.Routes, routes)
	}
	sockets := []Socket{
		{
			Addr:    netip.MustParseAddr("192.168.122.1"),
			Port:    53,
			PID:     77,
			Process: "dnsmasq",
			Command: "dnsmasq --conf-file=/x/lan.conf ",
			inode:   "555",
		},
		{Addr: netip.MustParseAddr("0.0.0.0"), Port: 67, inode: "556"},
		{Addr: netip.MustParseAddr("::"), Port: 53, inode: "558"},
	}
	if !slices.Equal(h.Sockets, sockets) {
		t.Errorf("sockets: got %+v, want %+v", h.Sockets, sockets)
	}
	if listed, active := h.member("libvirt"); !listed || active {
		t.Errorf("group libvirt: listed %t, active %t, want true, false", listed, active)
	}
	if listed, active := h.member("nobody-has-it"); listed || active {
		t.Errorf("a group that does not exist: listed %t, active %t", listed, active)
	}
}

// TestEmptyHost is a host that shows nothing, as in a small container.
func TestEmptyHost(t *testing.T) {
	h := newFiles(t.TempDir()).host(Principal{UID: 12, GIDs: []int{12}})
	if h.User.Name != "12" || h.Systemd || h.Dnsmasq || h.Daemon != "" || h.DaemonRuns || h.KVM != nil || h.Module != "" ||
		h.CPU != (CPU{}) || len(h.Routes) != 0 || len(h.Sockets) != 0 {
		t.Errorf("got %+v", h)
	}
}

func TestWalk(t *testing.T) {
	disk := newFiles(hostFiles(t, map[string]string{"a/b/c": ""}))
	paths := func(w Walk) string {
		var p []string
		for _, n := range w.Nodes {
			p = append(p, n.Path)
		}
		return strings.Join(p, " ")
	}
	if w := disk.walk("/a/b/c"); paths(w) != "/ /a /a/b /a/b/c" || w.Missing != "" {
		t.Errorf("got %+v", w)
	}
	if w := disk.walk("/a/x/y"); paths(w) != "/ /a" || w.Missing != "/a/x" {
		t.Errorf("got %+v", w)
	}
}

func TestAllows(t *testing.T) {
	ann := Principal{UID: 1000, GIDs: []int{1000, 107}}
	acl := func(user, userID, grp, mask, other uint32) []ACLEntry {
		return []ACLEntry{
			{aclUserObj, 7, -1},
			{aclUser, user, int(userID)},
			{aclGroupObj, 0, -1},
			{aclGroup, grp, 107},
			{aclMask, mask, -1},
			{aclOther, other, -1},
		}
	}
	for _, tc := range []struct {
		name string
		node Node
		want uint32
		ok   bool
	}{
		{"owner", Node{Mode: 0o700, UID: 1000}, mayEnter, true},
		{"owner without, though others have", Node{Mode: 0o077, UID: 1000}, mayEnter, false},
		{"group", Node{Mode: 0o060, GID: 107}, mayRead | mayWrite, true},
		{"group without, though others have", Node{Mode: 0o707, GID: 107}, mayRead, false},
		{"others", Node{Mode: 0o711}, mayEnter, true},
		{"others, not all of it", Node{Mode: 0o704}, mayRead | mayWrite, false},
		{"list: user", Node{ACL: acl(1, 1000, 0, 7, 0)}, mayEnter, true},
		{"list: user, masked", Node{ACL: acl(1, 1000, 0, 6, 0)}, mayEnter, false},
		{"list: another user", Node{ACL: acl(7, 5, 0, 7, 0)}, mayEnter, false},
		{"list: group", Node{ACL: acl(0, 5, 6, 6, 0)}, mayRead | mayWrite, true},
		{"list: others do not count for the group", Node{ACL: acl(0, 5, 0, 7, 7)}, mayEnter, false},
	} {
		if got := tc.node.allows(ann, tc.want); got != tc.ok {
			t.Errorf("%s: got %t", tc.name, got)
		}
	}
	if !(Node{}).allows(Principal{UID: 0}, mayRead) {
		t.Error("root is refused")
	}
}

func TestParseACL(t *testing.T) {
	data := []byte{2, 0, 0, 0, aclUserObj, 0, 7, 0, 255, 255, 255, 255, aclUser, 0, 1, 0, 0xe8, 3, 0, 0}
	want := []ACLEntry{{aclUserObj, 7, 0xffffffff}, {aclUser, 1, 1000}}
	if got := parseACL(data); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, wrong := range [][]byte{nil, {2, 0, 0}, {1, 0, 0, 0}, data[:len(data)-1]} {
		if got := parseACL(wrong); got != nil {
			t.Errorf("%v: got %v", wrong, got)
		}
	}
}

func TestQEMUUser(t *testing.T) {
	a := parseAccounts(passwd, group)
	dac := func(value string) libvirtxml.Caps {
		return libvirtxml.Caps{Host: libvirtxml.CapsHost{SecModel: []libvirtxml.CapsHostSecModel{
			{Name: "apparmor", Labels: []libvirtxml.CapsHostSecModelLabel{{Value: "+1:+1"}}},
			{Name: "dac", Labels: []libvirtxml.CapsHostSecModelLabel{{Type: "kvm", Value: value}}},
		}}}
	}
	want := &Principal{Name: "libvirt-qemu", UID: 64055, GIDs: []int{64055, 107}}
	if got := qemuUser(dac("+64055:+64055"), a); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, caps := range []libvirtxml.Caps{{}, dac("x")} {
		if got := qemuUser(caps, a); got != nil {
			t.Errorf("got %+v, want nil", got)
		}
	}
}

func TestElsewhere(t *testing.T) {
	for _, tc := range []struct{ uri, want string }{
		{"qemu:///system", ""},
		{"qemu+unix:///session?socket=/x", ""},
		{"qemu+ssh://ann@far/system", "libvirt at qemu+ssh://ann@far/system is elsewhere"},
		{"qemu+tls://far/system", "libvirt at qemu+tls://far/system is elsewhere"},
	} {
		if got := elsewhere(tc.uri); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.uri, got, tc.want)
		}
	}
}

func TestRangeSize(t *testing.T) {
	for _, tc := range []struct {
		start, end string
		want       int
	}{
		{"192.168.122.2", "192.168.122.254", 253},
		{"10.0.0.250", "10.0.1.5", 12},
		{"10.0.0.5", "10.0.0.5", 1},
		{"10.0.0.5", "10.0.0.4", 0},
		{"fd00::1", "fd00::5", 0},
		{"", "", 0},
	} {
		if got := rangeSize(tc.start, tc.end); got != tc.want {
			t.Errorf("%s to %s: got %d, want %d", tc.start, tc.end, got, tc.want)
		}
	}
}

func testInput(t *testing.T) Input {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", "/config")
	return Input{
		Config: config.Default(), Dialer: &host.Dialer{}, Root: hostFiles(t, procFiles()),
		Sources: host.Sources{Flag: "test:///default", Getenv: func(string) string { return "" }},
	}
}

// TestGather reads libvirt's own test driver, which has a network and a pool.
func TestGather(t *testing.T) {
	in := testInput(t)
	in.Config.Pool = "default-pool"
	f, err := Gather(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if f.Libvirt.Err != nil || len(f.Unread) > 0 || f.Libvirt.Version == "" || f.Libvirt.QEMU || f.Libvirt.MemoryMiB != 3072 {
		t.Errorf("libvirt: got %+v, unread %v", f.Libvirt, f.Unread)
	}
	network := Network{
		Name: "default", Exists: true, Active: true, Bridge: "virbr0",
		Subnet: netip.MustParsePrefix("192.168.122.0/24"), Address: netip.MustParseAddr("192.168.122.1"), DHCP: 253,
	}
	if len(f.Networks) != 1 || f.Networks[0] != network {
		t.Errorf("networks: got %+v, want %+v", f.Networks, network)
	}
	if !f.Pool.Exists || !f.Pool.Active || f.Pool.Type != "dir" || f.Pool.Path != "/default-pool" || f.Pool.Free < gib {
		t.Errorf("pool: got %+v", f.Pool)
	}
	if len(f.Templates) != 1 || f.Templates[0].Name != "demo" || f.Templates[0].Exists {
		t.Errorf("templates: got %+v", f.Templates)
	}
	if f.Host == nil {
		t.Errorf("the host was not looked at: %s", f.HostUnknown)
	}
	if in.Config.Groups[0].Network != "" {
		t.Error("the config was changed")
	}
}

func TestGatherWithoutPoolAndNetwork(t *testing.T) {
	in := testInput(t)
	in.Config.Pool, in.Config.Groups[0].Network = "none", "lan"
	f, err := Gather(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if f.Pool.Exists || f.Pool.Name != "none" || len(f.Networks) != 1 || f.Networks[0].Exists || f.Networks[0].Name != "lan" ||
		len(f.Unread) > 0 {
		t.Errorf("got pool %+v, networks %+v, unread %v", f.Pool, f.Networks, f.Unread)
	}
}

func TestGatherWithWrongConfig(t *testing.T) {
	in := testInput(t)
	in.Config, in.ConfigErr = config.Config{}, config.Problems{{Field: "x"}}
	f, err := Gather(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if f.Libvirt.Err != nil || len(f.Networks) > 0 || f.Pool.Name != "" || len(f.Unread) > 0 {
		t.Errorf("got %+v", f)
	}
	if problems, _ := Count(f.Findings()); problems != 1 {
		t.Errorf("got %+v, want the config's problem alone", f.Findings())
	}
}

func TestGatherUnreachable(t *testing.T) {
	in := testInput(t)
	in.Sources.Flag = "qemu+unix:///system?socket=" + in.Root + "/none"
	f, err := Gather(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	if !errors.Is(f.Libvirt.Err, host.ErrDown) || f.Host == nil {
		t.Errorf("got error %v, host %v", f.Libvirt.Err, f.Host)
	}
}

func TestGatherInterrupted(t *testing.T) {
	in := testInput(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Gather(ctx, in); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want context.Canceled", err)
	}
}

// TestOthersInSession finds VMs of ours among the files of the session's daemon, without starting it.
func TestOthersInSession(t *testing.T) {
	in := testInput(t)
	in.Root = hostFiles(t, map[string]string{
		"config/libvirt/qemu/web-1.xml": "<domain><metadata><v:vm xmlns:v='" + bus.MetadataURI + "'/></metadata></domain>",
		"config/libvirt/qemu/mine.xml":  "<domain/>",
	})
	if got := others(context.Background(), in, "test:///default"); len(got.Names) != 0 || got.URI != "" {
		t.Errorf("a URI that has no other: got %+v", got)
	}
	got := others(context.Background(), in, host.SystemURI)
	if got.URI != host.SessionURI || !slices.Equal(got.Names, []string{"web-1"}) {
		t.Errorf("got %+v, want web-1 in the session", got)
	}
}
