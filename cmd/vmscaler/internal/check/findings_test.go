package check

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/decider/prometheus"
)

const (
	passwd = "root:x:0:0::/root:/bin/bash\n" +
		"ann:x:1000:1000::/home/ann:/bin/bash\nlibvirt-qemu:x:64055:107::/var/lib/libvirt:/bin/false\n"
	group = "root:x:0:\nann:x:1000:\nkvm:x:107:\nlibvirt:x:106:ann\n"
)

// folders makes a walk of folders that all may pass, with the exceptions named.
func folders(path string, closed map[string]Node) Walk {
	w := Walk{Nodes: []Node{{Path: "/", Mode: 0o755}}}
	at := ""
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/"), "/") {
		at += "/" + part
		n, ok := closed[at]
		if !ok {
			n.Mode = 0o755
		}
		n.Path = at
		w.Nodes = append(w.Nodes, n)
	}
	return w
}

// ready is a host on which all is well, seen by the user ann, who is in group libvirt.
func ready() Facts {
	a := parseAccounts(passwd, group)
	qemu := a.principal(64055, 64055)
	g := bus.DefaultGroup()
	g.Name, g.Network = "web", "default"
	const images = "/var/lib/libvirt/images/vmscaler"
	return Facts{
		ConfigPath: "vmscaler.yaml",
		Groups:     []bus.Group{g},
		Libvirt: Libvirt{
			Choice:  host.Choice{URI: host.SystemURI, Why: "it answers this user"},
			Version: "9.0.0", Hypervisor: "QEMU 7.2.0", QEMU: true, MemoryMiB: 16 << 10,
			NetworkNames: []string{"default"}, ActiveNetworks: 1,
			Wanted: "auto", Acceleration: vm.Acceleration{VirtType: "kvm", Arch: "x86_64"}, QEMUUser: &qemu,
		},
		Networks: []Network{{
			Name: "default", Exists: true, Active: true, Autostart: true, Bridge: "virbr0",
			Subnet: netip.MustParsePrefix("192.168.122.0/24"), Address: netip.MustParseAddr("192.168.122.1"), DHCP: 253,
		}},
		Pool: Pool{
			Name: "vmscaler", Exists: true, Active: true, Autostart: true, Type: "dir", Path: images, Free: 50 * gib,
			Walk: folders(images, nil),
		},
		Templates: []Template{{
			Name: "demo", Exists: true, Walk: folders(images+"/template-demo.qcow2", nil),
			Info: template.Info{Name: "demo", Path: images + "/template-demo.qcow2", Format: "qcow2", Capacity: 256 << 20, Complete: true},
		}},
		Host: &Host{
			User: Principal{Name: "ann", UID: 1000, GIDs: []int{1000, 106}}, Systemd: true, Daemon: "libvirtd", DaemonRuns: true,
			Dnsmasq: true,
			CPU:     CPU{VMX: true}, KVM: &Node{Path: "/dev/kvm", Mode: 0o660, GID: 107, Owner: "root", Group: "kvm"}, Module: "kvm_intel",
			Routes: []Route{
				{"eth0", netip.MustParsePrefix("0.0.0.0/0")},
				{"eth0", netip.MustParsePrefix("10.0.0.0/24")},
				{"virbr0", netip.MustParsePrefix("192.168.122.0/24")},
			},
			accounts: a,
		},
	}
}

func emulated(f *Facts) {
	f.Libvirt.Acceleration = vm.Acceleration{VirtType: "qemu", Arch: "x86_64", Reason: "libvirt offers no KVM"}
}

func TestReady(t *testing.T) {
	var areas []string
	for _, found := range ready().Findings() {
		areas = append(areas, found.Area)
		if found.Level != OK || found.Remedy != "" {
			t.Errorf("on a host that is ready: %+v", found)
		}
	}
	want := []string{"config", "libvirt", "acceleration", "network", "storage", "template", "memory"}
	if !slices.Equal(areas, want) {
		t.Errorf("got findings about %v, want %v", areas, want)
	}
}

// TestFindings changes one thing about a host that is ready and says all that is then not ok, as
// "level area: text -> remedy".
func TestFindings(t *testing.T) {
	virsh := "virsh -c qemu:///system "
	home := map[string]Node{"/home/ann": {Mode: 0o700, UID: 1000, GID: 1000, Owner: "ann", Group: "ann"}}
	openHome := map[string]Node{"/home/ann": {Mode: 0o710, UID: 1000, GID: 1000, ACL: []ACLEntry{
		{aclUserObj, 7, -1}, {aclUser, 1, 64055}, {aclGroupObj, 0, -1}, {aclMask, 1, -1}, {aclOther, 0, -1},
	}}}
	socket := func(addr string, port, pid int, process, command string) Socket {
		return Socket{Addr: netip.MustParseAddr(addr), Port: port, PID: pid, Process: process, Command: command}
	}
	for _, tc := range []struct {
		name   string
		change func(*Facts)
		want   []string
	}{
		{"wrong config", func(f *Facts) {
			f.Groups, f.Networks, f.Templates, f.Pool, f.ConfigPath = nil, nil, nil, Pool{}, ""
			f.ConfigErr = config.Problems{
				{File: "v.yaml", Line: 3, Field: "groups[0].max", Found: "0", Allowed: "1 to 1000"},
				{File: "v.yaml", Found: "nothing", Allowed: "something"},
			}
		}, []string{
			"problem config: v.yaml:3: groups[0].max: found 0 -> want 1 to 1000",
			"problem config: v.yaml: found nothing -> want something",
		}},
		{"queries of Prometheus", func(f *Facts) {
			f.Queries = []Query{
				{Group: "web", Value: 118.5},
				{Group: "api", Err: prometheus.RefusedError{Why: "the query answers several series"}},
				{Group: "ci", Err: errors.New("ask http://127.0.0.1:9090: connection refused")},
			}
		}, []string{
			"problem prometheus: the query of group api says nothing, and the group does not scale on it: the query answers several " +
				"series -> change policy.prometheus.query until it answers one number",
			"warning prometheus: group ci does not scale on its query as long as Prometheus does not answer: ask http://127.0.0.1:9090: " +
				"connection refused -> start Prometheus, or change what is under policy.prometheus",
		}},
		{"no config", func(f *Facts) { f.ConfigErr = errors.New("config file x does not exist") }, []string{
			"problem config: config file x does not exist -> name a file that can be read with --config, or leave it out",
		}},
		{"config warning", func(f *Facts) {
			f.ConfigWarnings = []config.Warning{{File: "v.yaml", Line: 4, Text: "lower must flap", Remedy: "use a lower below 35"}}
		}, []string{
			"warning config: v.yaml:4: lower must flap -> use a lower below 35",
		}},

		{"denied, no member", func(f *Facts) {
			f.Libvirt.Err = &host.DialError{
				Kind: host.ErrPermission, URI: "qemu:///system", Reason: "authentication failed",
				Remedy: "join the group",
			}
			f.Host.accounts = parseAccounts(passwd, "libvirt:x:106:\n")
			f.Host.User.GIDs = []int{1000}
		}, []string{
			"problem libvirt: no permission to use libvirt at qemu:///system (it answers this user): authentication failed -> " +
				"sudo usermod -aG libvirt ann, then log out and in again; or use --uri qemu:///session, which needs no rights",
		}},
		{"denied, login too old", func(f *Facts) {
			f.Libvirt.Err = &host.DialError{
				Kind: host.ErrPermission, URI: "qemu:///system", Reason: "authentication failed",
				Remedy: "join the group",
			}
			f.Host.User.GIDs = []int{1000}
		}, []string{
			"problem libvirt: no permission to use libvirt at qemu:///system (it answers this user): authentication failed; " +
				"this login is older than the user's membership in group libvirt -> newgrp libvirt (in this shell), or log out and in again",
		}},
		{"denied although a member", func(f *Facts) {
			f.Libvirt.Err = &host.DialError{
				Kind: host.ErrPermission, URI: "qemu:///system", Reason: "access denied",
				Remedy: "join the group",
			}
		}, []string{
			"problem libvirt: no permission to use libvirt at qemu:///system (it answers this user): access denied -> " +
				"use --uri qemu:///session, which needs no rights, or ask whoever set up who may use libvirt here",
		}},
		{"session, login too old", func(f *Facts) {
			f.Libvirt.Choice = host.Choice{URI: host.SessionURI, Why: "x"}
			f.Libvirt.QEMUUser = &Principal{Name: "ann", UID: 0}
			f.Host.User.GIDs = []int{1000}
		}, []string{
			"warning libvirt: user ann is in group libvirt, but this login is older than that -> " +
				"newgrp libvirt (in this shell), or log out and in again",
		}},
		{"down", func(f *Facts) {
			f.Libvirt.Err = &host.DialError{Kind: host.ErrDown, URI: "qemu:///system", Reason: "no socket", Remedy: "start it"}
			f.Host.DaemonRuns = false
		}, []string{
			"problem libvirt: libvirt does not answer at qemu:///system (it answers this user): no socket -> " +
				"sudo systemctl start libvirtd",
		}},
		{"down, as root without systemd", func(f *Facts) {
			f.Libvirt.Err = &host.DialError{Kind: host.ErrDown, URI: "qemu:///system", Reason: "no socket", Remedy: "start it"}
			f.Host.DaemonRuns, f.Host.Systemd, f.Host.User = false, false, Principal{Name: "root"}
		}, []string{
			"problem libvirt: libvirt does not answer at qemu:///system (it answers this user): no socket -> virtlogd -d; libvirtd -d",
		}},
		{"not installed", func(f *Facts) {
			f.Libvirt.Err = &host.DialError{Kind: host.ErrDown, URI: "qemu:///system", Reason: "no socket", Remedy: "start it"}
			f.Host.DaemonRuns, f.Host.Daemon = false, ""
		}, []string{
			"problem libvirt: libvirt does not answer at qemu:///system (it answers this user): no socket -> " +
				"sudo apt-get install libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base",
		}},
		{"runs and fails", func(f *Facts) {
			f.Libvirt.Err = &host.DialError{Kind: host.ErrDown, URI: "qemu:///system", Reason: "no system bus", Remedy: "start it"}
		}, []string{
			"problem libvirt: libvirt does not answer at qemu:///system (it answers this user): no system bus; the daemon runs, " +
				"but cannot find out whether it may let this user in -> run vmscaler as root, or use --uri qemu:///session, " +
				"which needs no rights",
		}},
		{"session without a home", func(f *Facts) {
			f.Libvirt.Choice = host.Choice{URI: host.SessionURI, Why: "x"}
			f.Libvirt.Err = &host.DialError{
				Kind: host.ErrPermission, URI: "qemu:///session", Reason: "cannot create folder",
				Remedy: "join the group",
			}
		}, []string{
			"problem libvirt: no permission to use libvirt at qemu:///session (x): cannot create folder -> " +
				"let HOME and XDG_RUNTIME_DIR name folders of this user's own",
		}},
		{"another URI", func(f *Facts) {
			f.Libvirt.Err, f.Host, f.HostUnknown = errors.New("connect to foo:///x: no driver; really"), nil, "libvirt runs on a"
		}, []string{
			"problem libvirt: connect to foo:///x: no driver; really -> name a libvirt that answers: with --uri, " +
				"or with uri in the config",
		}},
		{"VMs at the other URI, nobody named one", func(f *Facts) {
			f.Libvirt.Others.Refused = &host.SecondSetError{Choice: f.Libvirt.Choice, Other: host.SessionURI, Groups: []string{"web"}}
		}, []string{
			"problem libvirt: qemu:///system would be used (it answers this user), but qemu:///session has VMs of vmscaler " +
				"(groups: web) -> " +
				"`--uri qemu:///session` goes on there, and `--uri qemu:///system` begins a second set of VMs, " +
				"which counts its min and max by itself",
		}},
		{
			"the other URI did not answer, nobody named one",
			func(f *Facts) { f.Libvirt.Others.Refused = errors.New("look for VMs: use: not") },
			[]string{
				"problem libvirt: look for VMs: use: not -> name the one to use with --uri",
			},
		},
		{"VMs at the other URI", func(f *Facts) {
			f.Libvirt.Others = OtherVMs{URI: host.SessionURI, Names: []string{"web-1", "web-2"}}
		}, []string{
			"warning libvirt: VMs of vmscaler are also at qemu:///session, and do not count here: web-1, web-2 -> " +
				"leave them alone where another vmscaler has them; if they are yours, go on there with --uri qemu:///session",
		}},
		{"VMs at the other URI, and who has them", func(f *Facts) {
			f.Libvirt.Others = OtherVMs{
				URI: host.SessionURI, Names: []string{"web-1"},
				Holder: &host.Holder{Command: "vmscaler run", PID: 12, URI: host.SessionURI, Groups: []string{"web"}},
			}
		}, []string{
			"warning libvirt: VMs of vmscaler are also at qemu:///session, and do not count here: web-1 -> leave them alone: " +
				"vmscaler run (process 12) acts on qemu:///session for web",
		}},
		{"unread", func(f *Facts) { f.Unread = []string{"list networks: lost"} }, []string{
			"problem libvirt: list networks: lost -> " + virsh + "list shows whether libvirt works",
		}},

		{"no QEMU", func(f *Facts) {
			f.Libvirt.Acceleration, f.Libvirt.AccelerationErr = vm.Acceleration{}, errors.New("libvirt offers no hypervisor")
		}, []string{"problem acceleration: libvirt offers no hypervisor -> sudo apt-get install qemu-system-x86"}},
		{"no vmx nor svm", func(f *Facts) { emulated(f); f.Host.CPU = CPU{} }, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: the CPU shows neither vmx nor svm -> " +
				"switch VT-x or AMD-V on in the firmware",
		}},
		{"no vmx nor svm in a VM", func(f *Facts) { emulated(f); f.Host.CPU = CPU{Guest: true} }, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: this host is itself a VM, whose CPU shows " +
				"neither vmx nor svm -> " +
				"on the machine that it runs on: sudo modprobe kvm_intel nested=1 (or kvm_amd), and give this VM the CPU mode " +
				"host-passthrough",
		}},
		{"module not loaded", func(f *Facts) {
			emulated(f)
			f.Host.CPU, f.Host.KVM, f.Host.Module = CPU{SVM: true}, nil, ""
		}, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: the kernel module kvm_amd is not loaded -> " +
				"sudo modprobe kvm_amd",
		}},
		{"no device", func(f *Facts) { emulated(f); f.Host.KVM = nil }, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: /dev/kvm is missing, although " +
				"kvm_intel is loaded -> " +
				"sudo mknod -m 660 /dev/kvm c 10 232 && sudo chgrp kvm /dev/kvm (in a container: run it with --device /dev/kvm)",
		}},
		{"device of root alone", func(f *Facts) {
			emulated(f)
			f.Host.KVM = &Node{Path: "/dev/kvm", Mode: 0o600, Owner: "root", Group: "root"}
		}, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: libvirt-qemu may not open /dev/kvm " +
				"(0600 root:root) -> " +
				"sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm",
		}},
		{"device of root alone, useless anyway", func(f *Facts) {
			emulated(f)
			f.Host.CPU = CPU{}
			f.Host.KVM = &Node{Path: "/dev/kvm", Mode: 0o600, Owner: "root", Group: "root"}
		}, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: the CPU shows neither vmx nor svm -> " +
				"switch VT-x or AMD-V on in the firmware",
			"warning acceleration: libvirt-qemu may not open /dev/kvm (0600 root:root); libvirt then examines QEMU again at each call, " +
				"and making a VM can take a minute -> " +
				"sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm",
		}},
		{"QEMU's user not in group kvm", func(f *Facts) {
			emulated(f)
			f.Libvirt.QEMUUser = &Principal{Name: "qemu", UID: 77, GIDs: []int{77}}
		}, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: qemu may not open /dev/kvm (0660 root:kvm) -> " +
				"sudo usermod -aG kvm qemu, then sudo systemctl restart libvirtd",
		}},
		{"session user not in group kvm", func(f *Facts) {
			emulated(f)
			f.Libvirt.Choice.URI, f.Libvirt.QEMUUser, f.Templates = host.SessionURI, &f.Host.User, nil
		}, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: ann may not open /dev/kvm (0660 root:kvm) -> " +
				"sudo usermod -aG kvm ann, then log out and in again",
		}},
		{"libvirt looked too early", emulated, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: libvirt offers no KVM, although /dev/kvm can be " +
				"opened: it looked before that was so -> " +
				"sudo systemctl restart libvirtd",
		}},
		{"KVM demanded and absent", func(f *Facts) {
			emulated(f)
			f.Host.CPU, f.Libvirt.Wanted, f.Libvirt.AccelerationErr = CPU{}, "kvm", errors.New("acceleration kvm: none")
		}, []string{
			"problem acceleration: acceleration kvm is configured, and there is none: the CPU shows neither vmx nor svm -> " +
				"switch VT-x or AMD-V on in the firmware",
		}},
		{"KVM demanded, offered and dead", func(f *Facts) { f.Host.CPU = CPU{} }, []string{
			"warning acceleration: acceleration kvm is configured, but the CPU shows neither vmx nor svm: guests may hang when " +
				"they start -> " +
				`set "acceleration: auto" in the config`,
		}},
		{"emulation is wanted", func(f *Facts) { emulated(f); f.Libvirt.Wanted = "qemu" }, nil},
		{"remote", func(f *Facts) { emulated(f); f.Host, f.HostUnknown, f.Libvirt.QEMUUser = nil, "libvirt runs on b", nil }, []string{
			"warning acceleration: VMs are emulated, many times slower than with KVM: libvirt offers no KVM -> " +
				"on that host: ls -l /dev/kvm; lsmod | grep kvm",
		}},

		{"network missing", func(f *Facts) { f.Networks[0] = Network{Name: "default"} }, []string{
			"problem network: default (group web): does not exist -> vmscaler setup -c vmscaler.yaml",
		}},
		{"another network missing", func(f *Facts) {
			f.Networks[0] = Network{Name: "lan"}
			f.Groups[0].Network = "lan"
		}, []string{
			"problem network: lan (group web): does not exist -> name another in the config (there are: default), or define it: " +
				virsh + "net-define FILE.xml",
		}},
		{"network in a session", func(f *Facts) {
			f.Libvirt.Choice.URI, f.Networks[0] = host.SessionURI, Network{Name: "default"}
		}, []string{
			`problem network: default (group web): does not exist; a session has no networks of its own ` +
				`-> set "network: user" in the config, or use --uri qemu:///system`,
		}},
		{"network inactive", func(f *Facts) { f.Networks[0].Active, f.Networks[0].Autostart = false, false }, []string{
			"problem network: default (group web): not active -> " + virsh + "net-start default",
			"warning network: default (group web): does not start with the host -> " + virsh + "net-autostart default",
		}},
		{"subnet taken by the outer network", func(f *Facts) {
			f.Networks[0].Active = false
			f.Host.Routes[1], f.Host.Routes[2].Interface = Route{"eth0", netip.MustParsePrefix("192.168.123.0/24")}, "eth0"
		}, []string{
			"problem network: default (group web): not active, and cannot start: 192.168.122.0/24 is already on eth0; " +
				"is this host itself a VM of such a network? -> " +
				virsh + `net-dumpxml --inactive default | sed 's/192\.168\.122\./192.168.124./g' | ` + virsh + "net-define /dev/stdin && " +
				virsh + "net-start default",
		}},
		{"subnet taken later", func(f *Facts) { f.Host.Routes[1].To = netip.MustParsePrefix("192.168.122.0/24") }, []string{
			"warning network: default (group web): 192.168.122.0/24 is also on eth0, so this host does not reach one of the two; " +
				"is this host itself a VM of such a network? -> " +
				"with all VMs on it down, anybody's, " + virsh + "net-destroy default && " +
				virsh + `net-dumpxml --inactive default | sed 's/192\.168\.122\./192.168.123./g' | ` +
				virsh + "net-define /dev/stdin && " + virsh + "net-start default",
		}},
		{"a wider route", func(f *Facts) { f.Host.Routes[1] = Route{"tun0", netip.MustParsePrefix("192.168.0.0/16")} }, nil},
		{"DNS port taken", func(f *Facts) {
			f.Networks[0].Active = false
			f.Host.Sockets = []Socket{
				socket("127.0.0.53", 53, 9, "systemd-resolve", "x"),
				socket("0.0.0.0", 53, 7, "named", "/usr/sbin/named"),
			}
		}, []string{
			"problem network: default (group web): not active, and cannot start: named (process 7) has UDP port 53 -> " +
				"sudo kill 7, then " + virsh + "net-start default",
		}},
		{"the system's dnsmasq", func(f *Facts) {
			f.Networks[0].Active = false
			f.Host.Sockets = []Socket{socket("192.168.122.1", 53, 7, "dnsmasq", "/usr/sbin/dnsmasq -x /run/dnsmasq.pid")}
		}, []string{
			"problem network: default (group web): not active, and cannot start: dnsmasq (process 7) has UDP port 53 of " +
				"192.168.122.1 -> " +
				"sudo systemctl disable --now dnsmasq, then " + virsh + "net-start default",
		}},
		{"a left-over dnsmasq", func(f *Facts) {
			f.Networks[0].Active = false
			f.Host.Sockets = []Socket{
				socket("0.0.0.0", 67, 6, "dnsmasq", "dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/lan.conf"),
				socket("0.0.0.0", 67, 7, "dnsmasq", "dnsmasq --conf-file=/var/lib/libvirt/dnsmasq/default.conf"),
			}
		}, []string{
			"problem network: default (group web): not active, and cannot start: dnsmasq (process 7) has UDP port 67 -> " +
				"sudo kill 7, then " + virsh + "net-start default",
		}},
		{"a port of nobody knows whom", func(f *Facts) {
			f.Networks[0].Active = false
			f.Host.Sockets = []Socket{socket("0.0.0.0", 67, 0, "", ""), socket("0.0.0.0", 53, 0, "", "")}
		}, []string{
			"problem network: default (group web): not active, and cannot start: another process has UDP port 53 -> " +
				"see which with sudo ss -lunp 'sport = :53' and stop it, then " + virsh + "net-start default",
		}},
		{"ports in use by the active network", func(f *Facts) {
			f.Host.Sockets = []Socket{socket("192.168.122.1", 53, 0, "", "")}
		}, nil},
		{"no dnsmasq", func(f *Facts) { f.Host.Dnsmasq = false }, []string{
			"problem network: dnsmasq is not installed; libvirt needs it to start a network with addresses -> " +
				"sudo apt-get install dnsmasq-base",
		}},
		{"few addresses for two groups", func(f *Facts) {
			f.Groups = append(f.Groups, f.Groups[0])
			f.Groups[1].Name = "api"
			f.Networks[0].DHCP = 9
		}, []string{
			"warning network: default (groups web, api): it hands out 9 addresses, the groups may have 10 VMs -> " + virsh +
				"net-edit default (a wider <range>), then with all VMs on it down, anybody's, " + virsh + "net-destroy default && " + virsh +
				"net-start default",
		}},
		{"a group that left the config", func(f *Facts) { f.Strangers = map[string]int{"old": 1} }, []string{
			"warning config: group old owns 1 VM here but is not configured: left alone, as another config or vmscaler may have it -> " +
				"look at who made them with `virsh dumpxml`, and only if they are yours and not needed, `vmscaler down old` lists them, " +
				"asks, and removes them",
		}},
		{"a group of the vmscaler that acts there", func(f *Facts) {
			f.Strangers = map[string]int{"old": 1}
			f.Libvirt.Holder = &host.Holder{Command: "vmscaler run", PID: 12, URI: host.SystemURI, Groups: []string{"db", "old"}}
		}, []string{
			"warning config: group old owns 1 VM here but is not configured: left alone, as another config or vmscaler may have it -> " +
				"leave them alone: vmscaler run (process 12) acts on qemu:///system for db, old",
		}},
		{"a group that whoever acts there does not have", func(f *Facts) {
			f.Strangers = map[string]int{"old": 1}
			f.Libvirt.Holder = &host.Holder{Command: "vmscaler run", PID: 12, URI: host.SystemURI, Groups: []string{"web"}}
		}, []string{
			"warning config: group old owns 1 VM here but is not configured: left alone, as another config or vmscaler may have it; " +
				"vmscaler run (process 12) acts on qemu:///system for web -> look at who made them with `virsh dumpxml`, and only if " +
				"they are yours and not needed, `vmscaler down old` lists them, asks, and removes them",
		}},
		{"throw-away VMs", func(f *Facts) { f.Strangers = map[string]int{"vmscaler-once-x": 2} }, []string{
			"warning config: 2 VMs here of group vmscaler-once-x: of a template command that runs, or was killed -> the command removes " +
				"its VMs when it ends, and `vmscaler sweep --dry-run` shows whether one runs",
		}},
		{"leases on a bridge of the host", func(f *Facts) {
			f.Networks[0].Subnet, f.Networks[0].DHCP = netip.Prefix{}, 0
			f.Groups[0].ReadyWhen = bus.ReadyLease
		}, []string{
			"problem network: default (group web): libvirt hands out no addresses there, so it sees no lease, and group web waits for " +
				"one (ready_when: lease) -> set ready_when: agent (or uptime) for group web",
		}},
		{"no addresses for leases", func(f *Facts) {
			f.Groups[0].ReadyWhen = bus.ReadyLease
			f.Networks[0].DHCP, f.Networks[0].Active = 0, false
		}, []string{
			"problem network: default (group web): not active -> " + virsh + "net-start default",
			"problem network: default (group web): it hands out no addresses, and group web waits for one (ready_when: lease) -> " +
				virsh + "net-edit default (a wider <range>)",
		}},
		{"a bridge of the host's own", func(f *Facts) {
			f.Networks[0] = Network{Name: "default", Exists: true, Active: true, Autostart: true, Bridge: "br0"}
			f.Host.Dnsmasq = false
		}, nil},
		{"user-mode network", func(f *Facts) { f.Networks[0] = Network{Name: bus.UserNetwork} }, nil},

		{"pool missing", func(f *Facts) { f.Pool, f.Templates = Pool{Name: "vmscaler"}, nil }, []string{
			"problem storage: pool vmscaler: does not exist -> vmscaler setup -c vmscaler.yaml",
		}},
		{"pool inactive", func(f *Facts) { f.Pool.Active, f.Pool.Autostart, f.Pool.Free, f.Templates = false, false, 0, nil }, []string{
			"problem storage: pool vmscaler: not active -> " + virsh + "pool-start vmscaler",
			"warning storage: pool vmscaler: does not start with the host -> " + virsh + "pool-autostart vmscaler",
		}},
		{"pool transient", func(f *Facts) { f.Pool.Transient, f.Pool.Autostart = true, false }, []string{
			"warning storage: pool vmscaler: transient, so that it is gone when the host restarts -> " + virsh +
				"pool-dumpxml vmscaler >vmscaler.xml && " + virsh + "pool-define vmscaler.xml && " + virsh + "pool-autostart vmscaler",
		}},
		{"network transient", func(f *Facts) { f.Networks[0].Transient, f.Networks[0].Autostart = true, false }, []string{
			"warning network: default (group web): transient, so that it is gone when the host restarts -> " + virsh +
				"net-dumpxml default >default.xml && " + virsh + "net-define default.xml && " + virsh + "net-autostart default",
		}},
		{"pool inactive, folder gone", func(f *Facts) {
			f.Pool.Active, f.Pool.Walk.Missing, f.Templates = false, "/mnt/vms", nil
		}, []string{
			"problem storage: pool vmscaler: not active, and /mnt/vms does not exist -> " + virsh + "pool-build vmscaler && " + virsh +
				"pool-start vmscaler",
		}},
		{"folder gone", func(f *Facts) { f.Pool.Walk.Missing, f.Pool.Free = "/mnt/vms", 0 }, []string{
			"problem storage: pool vmscaler: active, but /mnt/vms does not exist -> " +
				virsh + "pool-destroy vmscaler && " + virsh + "pool-build vmscaler && " + virsh + "pool-start vmscaler",
		}},
		{"no folder", func(f *Facts) { f.Pool.Type = "logical" }, []string{
			"problem storage: pool vmscaler: its type is logical; VMs' disks are qcow2 files, which need a folder -> " +
				`name a pool of type dir in the config ("pool:"), or a new name and then vmscaler setup -c vmscaler.yaml`,
		}},
		{"the disks' pool missing", func(f *Facts) { f.DiskPool = &Pool{Name: "fast"} }, []string{
			"problem storage: pool fast: does not exist -> vmscaler setup -c vmscaler.yaml",
		}},
		{"too little for max in the disks' pool", func(f *Facts) {
			disks := f.Pool
			disks.Name, disks.Free, f.Templates[0].Info.Capacity = "fast", 9*gib, 2*gib
			f.DiskPool = &disks
		}, []string{
			"warning storage: pool fast: 9.0 GiB free, and the disks of the groups at max may grow by 10.0 GiB -> " +
				"free some there (" + virsh + `vol-list fast shows what is in it), or use a pool elsewhere; or lower "max"`,
		}},
		{"almost full", func(f *Facts) { f.Pool.Free = 500 << 20 }, []string{
			"problem storage: pool vmscaler: only 500 MiB free -> free some there (" + virsh + "vol-list vmscaler shows what is in " +
				"it), or use a pool elsewhere",
		}},
		{"too little for max", func(f *Facts) {
			f.Pool.Free, f.Templates[0].Info.Capacity, f.Pool.Used = 9*gib, 2*gib, map[string]uint64{"web": gib / 2, "other": gib}
		}, []string{
			"warning storage: pool vmscaler: 9.0 GiB free, and the disks of the groups at max may grow by 9.5 GiB -> " +
				"free some there (" + virsh + `vol-list vmscaler shows what is in it), or use a pool elsewhere; or lower "max"`,
		}},
		{"too little for larger disks", func(f *Facts) { f.Groups[0].DiskMiB = 20 << 10 }, []string{
			"warning storage: pool vmscaler: 50.0 GiB free, and the disks of the groups at max may grow by 100.0 GiB -> " +
				"free some there (" + virsh + `vol-list vmscaler shows what is in it), or use a pool elsewhere; or lower "max"`,
		}},
		{"enough with what the VMs have", func(f *Facts) {
			f.Pool.Free, f.Templates[0].Info.Capacity, f.Pool.Used = 9*gib, 2*gib, map[string]uint64{"web": 2 * gib}
		}, nil},
		{"pool in a home", func(f *Facts) {
			f.Pool.Path, f.Pool.Walk = "/home/ann/vms", folders("/home/ann/vms", home)
			f.Templates[0].Walk = folders("/home/ann/vms/template-demo.qcow2", home)
		}, []string{
			"problem storage: pool vmscaler: QEMU runs as libvirt-qemu, which may not pass the folder /home/ann (0700 ann:ann) -> " +
				"sudo chmod o+x /home/ann, or use a pool below /var/lib/libvirt/images",
		}},
		{"pool in a home with an access list", func(f *Facts) {
			f.Pool.Path, f.Pool.Walk = "/home/ann/vms", folders("/home/ann/vms", openHome)
			f.Templates[0].Walk = folders("/home/ann/vms/template-demo.qcow2", openHome)
		}, nil},
		{"pool in a home, in a session", func(f *Facts) {
			f.Libvirt.Choice.URI, f.Libvirt.QEMUUser = host.SessionURI, &f.Host.User
			f.Host.KVM.Mode = 0o666
			f.Pool.Path, f.Pool.Walk = "/home/ann/vms", folders("/home/ann/vms", home)
		}, nil},
		{"AppArmor", func(f *Facts) { f.Libvirt.AppArmor, f.Pool.Path = true, "/srv/vms" }, nil},

		{"template missing", func(f *Facts) { f.Templates[0] = Template{Name: "demo"} }, []string{
			"problem template: demo: does not exist in pool vmscaler -> vmscaler template build -c vmscaler.yaml",
		}},
		{"another template missing", func(f *Facts) { f.Templates[0], f.ConfigPath = Template{Name: "alpine"}, "" }, []string{
			"problem template: alpine: does not exist in pool vmscaler -> vmscaler template import alpine FILE",
		}},
		{"what the host cannot give", func(f *Facts) {
			f.Lacks = map[string][]vm.Lack{"web": {{Field: "tpm", Found: "true", Allowed: "false, or a host with swtpm"}}}
		}, []string{
			"problem machine: group web: tpm is true, which this host cannot give its VMs -> in the config, tpm: false, or a host with " +
				"swtpm",
		}},
		{"disks smaller than the template", func(f *Facts) { f.Groups[0].DiskMiB = 128 }, []string{
			`problem template: demo: group web: disk: found 128MiB, want at least 256MiB, the size of template "demo" -> ` +
				`"disk: template" in the config, or a size of at least 256MiB`,
		}},
		{"template incomplete", func(f *Facts) { f.Templates[0].Info.Complete = false }, []string{
			"problem template: demo: incomplete; it is being uploaded, or an upload was broken off -> " +
				"vmscaler template build -c vmscaler.yaml",
		}},
		{"template gone", func(f *Facts) { f.Templates[0].Walk.Missing = "/x" }, []string{
			"problem template: demo: libvirt lists it, but its file is gone: /var/lib/libvirt/images/vmscaler/template-demo.qcow2 -> " +
				virsh + "pool-refresh vmscaler, then vmscaler template build -c vmscaler.yaml",
		}},
		{
			"template that libvirt cannot describe", func(f *Facts) { f.Templates[0].Info.Broken = errors.New("its file /x is gone") },
			[]string{
				"problem template: demo: its file /x is gone -> vmscaler template build -c vmscaler.yaml",
			},
		},
		{"broken template that no group uses", func(f *Facts) {
			f.Unused = []template.Info{{Name: "old", Broken: errors.New("its file /x is gone"), Remedy: "import it again"}}
		}, []string{
			"warning template: old, which no group of this config uses: its file /x is gone -> if no other config has it: " +
				"import it again",
		}},
		{"seed that nothing reads", func(f *Facts) {
			f.Templates[0].CloudInit, f.Groups[0].CloudInit.UserData.Text = template.CloudInitAbsent, "#cloud-config"
		}, []string{
			"warning template: demo: group web: it has no cloud-init, so nothing of cloud_init has an effect in its VMs unless the " +
				"guest reads the seed by other means -> install cloud-init in the image and import it under a new name, or leave " +
				"out the group's cloud_init",
		}},
		{"no cloud-init, and no seed", func(f *Facts) { f.Templates[0].CloudInit = template.CloudInitAbsent }, nil},
		{"template that boots by UEFI only", func(f *Facts) { f.Templates[0].Unfit = "boots by UEFI only" }, []string{
			"problem template: demo boots by UEFI only -> " +
				"vmscaler template import NAME FILE -c vmscaler.yaml, and \"template: NAME\" in the config",
		}},
		{"template behind a link", func(f *Facts) { f.Templates[0].Walk = folders("/home/ann/t.qcow2", home) }, []string{
			"problem template: demo: QEMU runs as libvirt-qemu, which may not pass the folder /home/ann (0700 ann:ann) -> " +
				"sudo chmod o+x /home/ann, or use a pool below /var/lib/libvirt/images",
		}},
		{"template that a session may not read", func(f *Facts) {
			f.Libvirt.Choice.URI, f.Libvirt.QEMUUser = host.SessionURI, &f.Host.User
			f.Host.KVM.Mode = 0o666
			f.Templates[0].Walk.Nodes[len(f.Templates[0].Walk.Nodes)-1].Mode = 0
		}, []string{
			"problem template: demo: ann may not read /var/lib/libvirt/images/vmscaler/template-demo.qcow2 (0000 :) -> " +
				"chmod u+r /var/lib/libvirt/images/vmscaler/template-demo.qcow2",
		}},

		{"memory", func(f *Facts) { f.Groups[0].MemoryMiB = 4 << 10 }, []string{
			`warning memory: 5 VMs at max take 20.0 GiB of the host's 16.0 GiB -> lower "max" or "memory" in the config`,
		}},
		{"a VM that is larger than the host", func(f *Facts) {
			f.Groups[0].MemoryMiB, f.Groups[0].Max, f.Limits.MemoryReserveMiB = 16<<10, 1, 512
		}, []string{
			"problem memory: group web: not one VM fits: it takes 16.0 GiB and what host.memory_reserve leaves free, 512 MiB, and " +
				`the host has 16.0 GiB -> lower "memory" in the config`,
		}},
		{"no room for one VM at present", func(f *Facts) {
			f.Libvirt.MemoryFreeMiB, f.Limits.MemoryReserveMiB = new(700), 512
		}, []string{
			"problem memory: group web: not one VM fits at present: it takes 256 MiB and what host.memory_reserve leaves free, " +
				`512 MiB, and 700 MiB are available -> free some on the host, or lower "memory" in the config`,
		}},
		{"no room for one more", func(f *Facts) {
			f.Libvirt.MemoryFreeMiB, f.Limits.MemoryReserveMiB, f.Owned = new(700), 512, map[string]int{"web": 1}
		}, nil},
		{"more vCPUs than a host may run", func(f *Facts) {
			f.Groups[0].VCPUs, f.Libvirt.Cores, f.Limits.VCPUsPerCore = 9, 4, 2
		}, []string{
			"problem cpu: group web: not one VM fits: 9 vCPUs on 4 cores are beyond host.vcpus_per_core 2 -> lower \"vcpus\" in the " +
				"config, or raise host.vcpus_per_core",
		}},
		{"less in the pool than its reserve", func(f *Facts) { f.Limits.PoolReserveMiB = 60 << 10 }, []string{
			"problem storage: pool vmscaler: 50.0 GiB free, less than host.pool_reserve, 60.0 GiB, so that no VM is launched -> free " +
				"some there (" + virsh + "vol-list vmscaler shows what is in it), or use a pool elsewhere, or lower host.pool_reserve",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := ready()
			tc.change(&f)
			var got []string
			for _, found := range f.Findings() {
				if found.Level != OK {
					got = append(got, fmt.Sprintf("%s %s: %s -> %s", found.Level, found.Area, found.Text, found.Remedy))
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// TestGoodNews are findings that are ok and say more than that.
func TestGoodNews(t *testing.T) {
	for _, tc := range []struct {
		change func(*Facts)
		want   string
	}{
		{func(f *Facts) { emulated(f); f.Libvirt.Wanted = "qemu" }, "VMs are emulated, many times slower than with KVM, " +
			"as the config says"},
		{func(f *Facts) { f.Host, f.HostUnknown = nil, "libvirt runs on b" }, "the host's own files were not looked at: " +
			"libvirt runs on b"},
		{func(f *Facts) { f.Libvirt.AppArmor, f.Pool.Path = true, "/srv/vms" }, "AppArmor confines VMs"},
		{func(f *Facts) {
			f.Groups[0].Network, f.Groups[0].Hardware.NICs = "", []bus.NIC{{Type: bus.NICUser}}
			f.Networks = []Network{{Name: bus.UserNetwork}}
		}, "user (group web): QEMU's user-mode network"},
		{func(f *Facts) { f.ConfigPath = "" }, "built-in defaults: web (1 to 5 VMs)"},
	} {
		f := ready()
		tc.change(&f)
		if !slices.ContainsFunc(f.Findings(), func(found Finding) bool {
			return found.Level == OK && strings.Contains(found.Text, tc.want)
		}) {
			t.Errorf("no finding that is ok says %q: %+v", tc.want, f.Findings())
		}
	}
}

func TestRemediesNameTheURI(t *testing.T) {
	f := ready()
	f.Libvirt.Choice = host.Choice{URI: "qemu+unix:///system?socket=/a b/s", Why: "from --uri", ByFlag: true}
	f.ConfigPath = "my file.yaml"
	if got, want := f.virsh("net-start", "it's"), `virsh -c 'qemu+unix:///system?socket=/a b/s' net-start 'it'\''s'`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	f.Program = "bin/vmscaler"
	if got := f.vmscaler("setup"); !strings.HasPrefix(got, "bin/vmscaler setup ") {
		t.Errorf("got %s, want it as this program was called", got)
	}
	f.Program = ""
	if got, want := f.vmscaler("setup"), "vmscaler setup -c 'my file.yaml' --uri 'qemu+unix:///system?socket=/a b/s'"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

var someFindings = []Finding{
	good("config", "fine"), warning("network", "virsh x", "bad\x1b[31m\nline"), problem("acceleration", "do <this> & that", "worse"),
}

func TestPrint(t *testing.T) {
	var plain, colored bytes.Buffer
	if err := errors.Join(Print(&plain, someFindings, false), Print(&colored, someFindings, true)); err != nil {
		t.Fatal(err)
	}
	want := "ok       config        fine\n" +
		"warning  network       bad␛[31m␊line\n" +
		"                       -> virsh x\n" +
		"problem  acceleration  worse\n" +
		"                       -> do <this> & that\n"
	if plain.String() != want {
		t.Errorf("got\n%s\nwant\n%s", plain.String(), want)
	}
	for _, s := range []string{"\x1b[32mok     \x1b[0m  config", "\x1b[33mwarning\x1b[0m", "\x1b[31mproblem\x1b[0m"} {
		if !strings.Contains(colored.String(), s) {
			t.Errorf("%q is not in %q", s, colored.String())
		}
	}
	if problems, warnings := Count(someFindings); problems != 1 || warnings != 1 {
		t.Errorf("counted %d problems and %d warnings, want 1 and 1", problems, warnings)
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		findings []Finding
		ready    bool
	}{{someFindings, false}, {[]Finding{{Level: Warning}}, true}} {
		if r := NewReport(tt.findings); r.V != 1 || r.Ready != tt.ready || !slices.Equal(r.Findings, tt.findings) {
			t.Errorf("got %+v", r)
		}
	}
}
