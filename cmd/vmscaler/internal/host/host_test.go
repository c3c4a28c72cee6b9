package host

import (
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

func connect(t *testing.T) *libvirt.Connect {
	t.Helper()
	conn, err := libvirt.NewConnect("test:///default")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	return conn
}

func TestWithNetworks(t *testing.T) {
	for uri, want := range map[string]string{"qemu:///system": "default", "qemu:///session": bus.UserNetwork} {
		groups := []bus.Group{{Name: "a"}, {Name: "b", Network: "lan"}}
		got := WithNetworks(groups, uri)
		if got[0].Network != want || got[1].Network != "lan" || groups[0].Network != "" {
			t.Errorf("%s: got %+v of %+v", uri, got, groups)
		}
	}
}

// Setting up makes what is missing, starts what is off, and does nothing the second time.
func TestEnsureIsIdempotent(t *testing.T) {
	conn := connect(t)
	const uri = "test:///default" // it makes no folders
	for i, want := range []string{"made in /var/lib/libvirt/images/own", "active"} {
		if did, err := EnsurePool(conn, "own", uri); err != nil || did != want {
			t.Errorf("pool, time %d: %q, %v; want %q", i+1, did, err, want)
		}
	}
	net, err := conn.LookupNetworkByName("default")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = net.Free() }()
	if err := net.Destroy(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"started", "active"} {
		if did, err := EnsureNetwork(conn, "default", uri); err != nil || did != want {
			t.Errorf("network, time %d: %q, %v; want %q", i+1, did, err, want)
		}
	}
	if _, err := EnsureNetwork(conn, "lan", uri); err == nil || !strings.Contains(err.Error(), "lan") {
		t.Errorf("a network that is not libvirt's default one: %v, want it refused by name", err)
	}
}

// What somebody has made for the moment, so that it cannot start with the host, is used as it is.
func TestEnsureWhatIsTransient(t *testing.T) {
	conn := connect(t)
	pool, err := conn.StoragePoolCreateXML("<pool type='dir'><name>brief</name><target><path>/brief</path></target></pool>", 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = pool.Free()
	if did, err := EnsurePool(conn, "brief", "test:///default"); err != nil || did != "active"+notDefined {
		t.Errorf("pool: %q, %v", did, err)
	}
	net, err := conn.NetworkCreateXML("<network><name>brief</name></network>")
	if err != nil {
		t.Fatal(err)
	}
	_ = net.Free()
	if did, err := EnsureNetwork(conn, "brief", "test:///default"); err != nil || did != "active"+notDefined {
		t.Errorf("network: %q, %v", did, err)
	}
}

// What the host lacks is told by the fields of the config, all at once, and nothing is changed.
func TestProblems(t *testing.T) {
	conn := connect(t)
	cfg := config.Default()
	cfg.Pool = "absent"
	cfg.Groups = append(cfg.Groups, bus.DefaultGroup())
	cfg.Groups[0].Network, cfg.Groups[1].Network = "nonet", bus.UserNetwork
	problems, err := Problems(conn, cfg, "test:///default", false)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 2 || problems[0].Field != "libvirt.pool" || problems[1].Field != "groups[0].network" {
		t.Errorf("got %v, want the pool and the first group's network", problems)
	}
	cfg.Pool = "default-pool"
	cfg.Groups[0].Network = "default"
	problems, err = Problems(conn, cfg, "test:///default", false)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 2 || problems[0].Field != "groups[0].template" ||
		!strings.Contains(problems[0].Allowed, "vmscaler template build") {
		t.Errorf("got %v, want the template of each group, and how to make it", problems)
	}

	// What setting up mends is no problem before it; the rest is.
	cfg.Pool = "absent"
	cfg.Groups[0].Network = "nonet"
	problems, err = Problems(conn, cfg, "test:///default", true)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 1 || problems[0].Field != "groups[0].network" {
		t.Errorf("got %v before setting up, want the network that it does not make", problems)
	}
}

// Images are where the libvirt that uses them looks, whatever its URI is spelled like; a pool of another user's session is not
// made in the caller's home.
func TestPoolFolder(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/home/me/data")
	const me = 1000
	for _, c := range []struct {
		name string
		id   Identity
		want string // "" is refused
	}{
		{"the host's", Identity{}, "/var/lib/libvirt/images/own"},
		{"my session", Identity{Session: true, SessionUID: me}, "/home/me/data/libvirt/images/own"},
		{"another user's session", Identity{Session: true, SessionUID: 1001}, ""},
		{"a session on another host", Identity{Session: true}, ""},
	} {
		got, err := poolFolder("own", c.id, me)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "vmscaler setup") {
			t.Errorf("%s: %v names no remedy", c.name, err)
		}
	}
}

// TestGivesLeases: only what libvirt's own DHCP server gives can be seen as a lease.
func TestGivesLeases(t *testing.T) {
	for text, want := range map[string]bool{
		`<network><name>n</name><forward mode='nat'/>
			<ip address='192.168.7.1'><dhcp><range start='192.168.7.2' end='192.168.7.9'/></dhcp></ip></network>`: true,
		`<network><name>n</name>
			<ip address='192.168.7.1'><dhcp><host mac='52:54:00:00:00:01' ip='192.168.7.2'/></dhcp></ip></network>`: true,
		`<network><name>n</name>
			<ip family='ipv6' address='fd00::1' prefix='64'><dhcp><range start='fd00::2' end='fd00::9'/></dhcp></ip></network>`: true,
		`<network><name>n</name><ip address='192.168.7.1'/></network>`:                               false,
		`<network><name>n</name><forward mode='bridge'/><bridge name='br9'/></network>`:              false,
		`<network><name>n</name><forward mode='private'><interface dev='eth0'/></forward></network>`: false,
	} {
		if got, err := givesLeases(text); got != want || err != nil {
			t.Errorf("%s: %t, %v", text, got, err)
		}
	}
}
