package check

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/bits"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Host is what the files of this machine say.
type Host struct {
	User    Principal // of this process, as the kernel sees it
	Systemd bool
	Dnsmasq bool
	Daemon  string // the libvirt daemon that is installed: libvirtd, virtqemud or ""
	// DaemonRuns reports that one of them runs for the whole host.
	DaemonRuns bool

	CPU    CPU
	KVM    *Node  // /dev/kvm; nil where it is missing
	Module string // kvm_intel or kvm_amd where one is loaded

	Routes  []Route
	Sockets []Socket // UDP 53 and 67

	accounts accounts
}

// CPU is what the first processor's flags say.
type CPU struct {
	VMX, SVM bool
	Guest    bool // this host is itself a virtual machine
}

// Route is an IPv4 route.
type Route struct {
	Interface string
	To        netip.Prefix
}

// Socket is a UDP socket, and who has it as far as this user may see.
type Socket struct {
	Addr    netip.Addr // unspecified: every address
	Port    int
	PID     int // 0: unknown
	Process string
	Command string
	inode   string
}

// accounts are the users and groups of the host's own files.
type accounts struct {
	users  []account
	groups []account
}

type account struct {
	name    string
	id, gid int      // gid: a user's primary group
	members []string // of a group
}

func parseAccounts(passwd, group string) accounts {
	var a accounts
	for line := range strings.Lines(passwd) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 4 {
			uid, err1 := strconv.Atoi(f[2])
			gid, err2 := strconv.Atoi(f[3])
			if err1 == nil && err2 == nil {
				a.users = append(a.users, account{name: f[0], id: uid, gid: gid})
			}
		}
	}
	for line := range strings.Lines(group) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 4 {
			if gid, err := strconv.Atoi(f[2]); err == nil {
				a.groups = append(a.groups, account{name: f[0], id: gid, members: strings.Split(f[3], ",")})
			}
		}
	}
	return a
}

func name(of []account, id int) string {
	for _, a := range of {
		if a.id == id {
			return a.name
		}
	}
	return strconv.Itoa(id)
}

// principal is a user with the groups that a new login, or libvirt for its QEMU processes, would give it.
func (a accounts) principal(uid int, gids ...int) Principal {
	p := Principal{Name: name(a.users, uid), UID: uid, GIDs: gids}
	for _, u := range a.users {
		if u.id == uid {
			p.GIDs = append(p.GIDs, u.gid)
		}
	}
	for _, g := range a.groups {
		if slices.Contains(g.members, p.Name) {
			p.GIDs = append(p.GIDs, g.id)
		}
	}
	return p
}

// groupID is -1 for a group that does not exist.
func (a accounts) groupID(group string) int {
	for _, g := range a.groups {
		if g.name == group {
			return g.id
		}
	}
	return -1
}

// member reports whether this process's user is in a group by the host's files, and whether the process itself is.
func (h Host) member(group string) (listed, active bool) {
	gid := h.accounts.groupID(group)
	if gid < 0 {
		return false, false
	}
	return slices.Contains(h.accounts.principal(h.User.UID).GIDs, gid), slices.Contains(h.User.GIDs, gid)
}

// files reads a host's files below root, which is "/" but in tests.
type files struct {
	root     string
	accounts accounts
}

func newFiles(root string) files {
	f := files{root: root}
	f.accounts = parseAccounts(f.text("/etc/passwd"), f.text("/etc/group"))
	return f
}

func (f files) path(path string) string { return filepath.Join(f.root, path) }

// text is "" for a file that cannot be read.
func (f files) text(path string) string {
	data, err := os.ReadFile(f.path(path))
	if err != nil {
		return ""
	}
	return string(data)
}

func (f files) exists(path string) bool {
	_, err := os.Stat(f.path(path))
	return err == nil
}

func (f files) program(name string) bool {
	return slices.ContainsFunc([]string{"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"},
		func(dir string) bool { return f.exists(dir + name) })
}

// node reads a file's rights.
func (f files) node(path string) (*Node, error) {
	info, err := os.Stat(f.path(path))
	if err != nil {
		return nil, err // only looked at for its kind
	}
	n := &Node{Path: path, Mode: info.Mode()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		n.UID, n.GID = int(st.Uid), int(st.Gid)
	}
	n.Owner, n.Group = name(f.accounts.users, n.UID), name(f.accounts.groups, n.GID)
	acl := make([]byte, 4096)
	if size, err := unix.Getxattr(f.path(path), "system.posix_acl_access", acl); err == nil {
		n.ACL = parseACL(acl[:size])
	}
	return n, nil
}

// Walk is the folders of a path from the root on, and the path itself.
type Walk struct {
	Nodes   []Node
	Missing string // the first that does not exist
}

// walk ends early at what this user may not see.
func (f files) walk(path string) Walk {
	if target, err := filepath.EvalSymlinks(f.path(path)); err == nil && f.root == "/" {
		path = target
	}
	var steps []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		steps = append(steps, p)
		if p == filepath.Dir(p) {
			break
		}
	}
	slices.Reverse(steps)
	var w Walk
	for _, p := range steps {
		n, err := f.node(p)
		if errors.Is(err, fs.ErrNotExist) {
			w.Missing = p
		}
		if err != nil {
			return w
		}
		w.Nodes = append(w.Nodes, *n)
	}
	return w
}

// free is the bytes that are free where path is; false where that cannot be read.
func (f files) free(path string) (uint64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(f.path(path), &st); err != nil || st.Bsize <= 0 {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}

// host reads all but what depends on libvirt.
func (f files) host(user Principal) *Host {
	h := &Host{User: user, Systemd: f.exists("/run/systemd/system"), accounts: f.accounts, Dnsmasq: f.program("dnsmasq")}
	h.User.Name = name(f.accounts.users, user.UID)
	for _, d := range []string{"virtqemud", "libvirtd"} { // where both are installed, libvirtd is the usual one
		if f.program(d) {
			h.Daemon = d
		}
		pid := strings.TrimSpace(f.text("/run/" + d + ".pid"))
		h.DaemonRuns = h.DaemonRuns || pid != "" && strings.TrimSpace(f.text("/proc/"+pid+"/comm")) == d
	}
	h.CPU = parseCPU(f.text("/proc/cpuinfo"))
	if n, err := f.node("/dev/kvm"); err == nil {
		h.KVM = n
	}
	for _, m := range []string{"kvm_intel", "kvm_amd"} {
		if f.exists("/sys/module/" + m) {
			h.Module = m
		}
	}
	h.Routes = parseRoutes(f.text("/proc/net/route"))
	for _, file := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		for _, s := range parseUDP(f.text(file)) {
			if s.Port == portDNS || s.Port == portDHCP {
				h.Sockets = append(h.Sockets, s)
			}
		}
	}
	f.fillProcesses(h.Sockets)
	return h
}

const (
	portDNS  = 53
	portDHCP = 67
)

// fillProcesses finds who has the sockets. Of other users' processes only root may see that.
func (f files) fillProcesses(sockets []Socket) {
	if len(sockets) == 0 {
		return
	}
	fds, err := filepath.Glob(f.path("/proc/[0-9]*/fd/*"))
	if err != nil {
		return
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil {
			continue // closed in the meantime
		}
		inode, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		for i := range sockets {
			if inode != sockets[i].inode+"]" {
				continue
			}
			dir := filepath.Dir(filepath.Dir(fd))
			sockets[i].PID, _ = strconv.Atoi(filepath.Base(dir))
			comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
			command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
			sockets[i].Process = strings.TrimSpace(string(comm))
			sockets[i].Command = strings.ReplaceAll(string(command), "\x00", " ")
		}
	}
}

func parseCPU(cpuinfo string) CPU {
	for line := range strings.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "flags" {
			flags := strings.Fields(value)
			return CPU{
				VMX: slices.Contains(flags, "vmx"), SVM: slices.Contains(flags, "svm"),
				Guest: slices.Contains(flags, "hypervisor"),
			}
		}
	}
	return CPU{}
}

// kernelAddr reads an address as /proc/net writes it: words of four bytes, each a number of this machine.
func kernelAddr(text string) (netip.Addr, bool) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data)%4 != 0 {
		return netip.Addr{}, false
	}
	for w := data; len(w) > 0; w = w[4:] {
		binary.NativeEndian.PutUint32(w, binary.BigEndian.Uint32(w))
	}
	addr, ok := netip.AddrFromSlice(data)
	return addr.Unmap(), ok
}

// number is an IPv4 address as a number.
func number(addr netip.Addr) uint32 {
	b := addr.As4()
	return binary.BigEndian.Uint32(b[:])
}

func maskBits(mask netip.Addr) int { return bits.OnesCount32(number(mask)) }

// parseRoutes reads /proc/net/route.
func parseRoutes(text string) []Route {
	var routes []Route
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		to, ok1 := kernelAddr(f[1])
		mask, ok2 := kernelAddr(f[7])
		if !ok1 || !ok2 || !to.Is4() || !mask.Is4() {
			continue // the heading
		}
		routes = append(routes, Route{f[0], netip.PrefixFrom(to, maskBits(mask))})
	}
	return routes
}

// parseUDP reads /proc/net/udp or udp6.
func parseUDP(text string) []Socket {
	var sockets []Socket
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		host, port, _ := strings.Cut(f[1], ":")
		addr, ok := kernelAddr(host)
		number, err := strconv.ParseUint(port, 16, 16)
		if !ok || err != nil {
			continue // the heading
		}
		sockets = append(sockets, Socket{Addr: addr, Port: int(number), inode: f[9]})
	}
	return sockets
}
