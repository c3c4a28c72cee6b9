package server_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// clusterTime is for how long a test waits for what a cluster takes seconds to do on an idle machine.
const clusterTime = 3 * time.Minute

// member is one of three servers with a candidate for the lead.
type member struct {
	cfg    server.Config
	server *server.Server
	conn   *client.Conn
	view   *client.Leadership
	stop   func() // its candidate
}

func (m *member) start(t *testing.T) {
	t.Helper()
	s, err := server.Start(m.cfg, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	m.server = s
	if m.conn, err = s.Connect(string(bus.RoleDecider), bustest.Quiet); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	m.view = client.NewLeadership()
	go func() {
		defer close(done)
		m.conn.Campaign(ctx, m.cfg.Cluster.Name, time.Now, m.view)
	}()
	m.stop = func() { cancel(); <-done }
}

// kill ends the server before its candidate, which so cannot make way.
func (m *member) kill() {
	if m.server == nil {
		return
	}
	m.server.Stop()
	m.stop()
	m.conn.Close()
	m.server = nil
}

func eventually(t *testing.T, what string, holds func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), clusterTime)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("never happened within %s: %s", clusterTime, what)
		}
	}
	return time.Since(begun)
}

// leader is the only one of the members that are there who leads, with its term.
func leader(t *testing.T, members []*member, after int64) (m *member, term int64) {
	t.Helper()
	took := eventually(t, "one leads", func() bool {
		m = nil
		for _, one := range members {
			if one.server == nil {
				continue
			}
			if now, leads := one.view.Term(); leads {
				if m != nil {
					t.Fatalf("%s and %s lead at once", m.cfg.Cluster.Name, one.cfg.Cluster.Name)
				}
				m, term = one, now
			}
		}
		return m != nil
	})
	if term <= after {
		t.Errorf("%s leads in term %d, want a later one than %d", m.cfg.Cluster.Name, term, after)
	}
	t.Logf("%s leads after %s", m.cfg.Cluster.Name, took.Round(100*time.Millisecond))
	return m, term
}

func newCluster(t *testing.T, certs certificates) (members []*member) {
	t.Helper()
	var addresses []string
	for range server.MemberCount {
		address := bustest.FreeAddress(t)
		if certs.ca != "" {
			address = strings.ReplaceAll(address, "127.0.0.1", "localhost")
		}
		addresses = append(addresses, address)
	}
	for i, name := range []string{"a", "b", "c"} {
		m := &member{cfg: server.Config{
			Listen: "127.0.0.1:0", StateDir: t.TempDir(), Cert: certs.cert, Key: certs.key,
			Cluster: &server.Cluster{Name: name, Listen: addresses[i], Members: addresses, CA: certs.ca},
		}}
		m.start(t)
		t.Cleanup(m.kill)
		members = append(members, m)
	}
	return members
}

// Three members are one bus: what is kept is kept by each, and when one is killed exactly one other leads, in a later term.
func TestClusterOutlivesEachMember(t *testing.T) {
	t.Parallel()
	members := newCluster(t, certificates{})
	_, term := leader(t, members, 0)
	for _, dies := range members {
		was, _ := leader(t, members, term-1)
		dies.kill()
		after := term - 1
		if was == dies {
			after = term // it must be a later one
		}
		var m *member
		m, term = leader(t, members, after)
		// What was kept before is there, and more is kept.
		eventually(t, "the state is kept", func() bool {
			return m.conn.Save(bustest.Limit(t), "test", map[string]string{"without": dies.cfg.Cluster.Name}) == nil
		})
		eventually(t, "it is read again", func() bool { // any member may answer, also one that is a moment behind
			saved := map[string]string{}
			return m.conn.Load(bustest.Limit(t), "test", &saved) == nil && saved["without"] == dies.cfg.Cluster.Name
		})
		if dies == members[2] { // with a new disk
			if err := os.RemoveAll(dies.cfg.StateDir); err != nil {
				t.Fatal(err)
			}
		}
		dies.start(t)
		eventually(t, "all members are there", func() bool { return current(t, members) })
	}
}

// What happens while the members elect who leads is in the history afterwards.
func TestClusterKeepsWhatCameBeforeItsLeader(t *testing.T) {
	t.Parallel()
	members := newCluster(t, certificates{})
	conn := must(members[0].server.Connect(string(bus.RoleActuator), bustest.Quiet))
	defer conn.Close()
	o, done := client.NewOutbox(conn, bustest.Quiet), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- o.Run(ctx) }()
	confirmed := make(chan struct{})
	o.Send(*bustest.EventAt("web", "web-1", time.Now()), func() { close(confirmed) })
	eventually(t, "it is confirmed", func() bool {
		select {
		case <-confirmed:
			return true
		default:
			return false
		}
	})
	eventually(t, "all members are there", func() bool { return current(t, members) })
	reader := must(members[0].server.Connect("look", bustest.Quiet))
	defer reader.Close()
	if all := bustest.ReadAll(t, reader, client.HistoryQuery{Group: "web"}); len(all) != 1 {
		t.Errorf("the history has %d entries, want one", len(all))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// After an end of all three, two are enough: each knows what it has kept, and has a vote.
func TestClusterBeginsAgainWithTwo(t *testing.T) {
	t.Parallel()
	members := newCluster(t, certificates{})
	_, term := leader(t, members, 0)
	eventually(t, "all members are there", func() bool { return current(t, members) })
	for _, m := range members {
		m.kill()
	}
	for _, m := range members[1:] {
		m.start(t)
	}
	leader(t, members, term)
}

// A host that joins one member may be on the bus of each, and on none once its right is taken away on any.
func TestClusterLetsTheSameIn(t *testing.T) {
	t.Parallel()
	members := newCluster(t, certificates{})
	leader(t, members, 0)
	key, public := newKey(t)
	err := server.AddAgent(members[0].cfg.StateDir, server.Agent{Name: "kvm9", HostID: "id-9", Key: public, Added: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	may := func(m *member) bool {
		nc, err := nats.Connect(m.server.URL(), must(nats.NkeyOptionFromSeed(key)), nats.IgnoreDiscoveredServers()) // at this one
		if err == nil {
			nc.Close()
		}
		return err == nil
	}
	everywhere := func(want bool) func() bool {
		return func() bool { return !slices.ContainsFunc(members, func(m *member) bool { return may(m) != want }) }
	}
	eventually(t, "each member lets it in", everywhere(true))
	if found, err := server.RemoveAgent(members[2].cfg.StateDir, "kvm9"); err != nil || !found {
		t.Fatal(found, err)
	}
	eventually(t, "no member lets it in", everywhere(false))
}

// Of a request to join each member hears, and only the one that has made the token answers.
func TestClusterAnswersAJoinOnce(t *testing.T) {
	t.Parallel()
	members := newCluster(t, certificates{})
	leader(t, members, 0)
	eventually(t, "all members are there", func() bool { return current(t, members) })
	token, _, err := server.AddToken(members[0].cfg.StateDir, "kvm9", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key := must(nkeys.FromSeed(must(server.ReadToken(token)).Seed))
	holder := must(key.PublicKey())
	var nc *nats.Conn
	eventually(t, "the token is known", func() bool {
		nc, err = nats.Connect(members[0].server.URL(), nats.Nkey(holder, key.Sign), nats.IgnoreDiscoveredServers())
		return err == nil
	})
	defer nc.Close()
	answers := must(nc.SubscribeSync(bus.JoinInbox(holder) + ".>"))
	_, public := newKey(t)
	data := must(json.Marshal(bus.Join{V: bus.Version, HostID: "id-9", Key: public}))
	if err := nc.PublishRequest(bus.JoinSubject(holder), bus.JoinInbox(holder)+".1", data); err != nil {
		t.Fatal(err)
	}
	eventually(t, "each member lets it in", func() bool { // by when each has heard the request
		return !slices.ContainsFunc(members, func(m *member) bool {
			agents, _ := server.Agents(m.cfg.StateDir)
			return len(agents) != 1
		})
	})
	eventually(t, "the answer is there", func() bool { n, _, _ := answers.Pending(); return n > 0 })
	if n, _, _ := answers.Pending(); n != 1 {
		t.Errorf("got %d answers, want one", n)
	}
	if joined := must(bus.Decode[bus.Joined](must(answers.NextMsg(clusterTime)).Data)); joined.Refused != "" {
		t.Errorf("got %+v", joined)
	}
}

// current reports whether all members have all that is kept.
func current(t *testing.T, members []*member) bool {
	t.Helper()
	for _, m := range members {
		conn, err := m.server.Connect("look", bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		js, err := jetstream.New(conn.NATS())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{bus.HistoryStream, "KV_" + bus.StateBucket, "KV_" + bus.LockBucket} {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			stream, err := js.Stream(ctx, name)
			cancel()
			if err != nil {
				return false
			}
			info := stream.CachedInfo()
			if info.Cluster == nil || info.Cluster.Leader == "" || info.Config.Replicas != server.MemberCount ||
				slices.ContainsFunc(info.Cluster.Replicas, func(r *jetstream.PeerInfo) bool { return !r.Current || r.Offline }) {
				return false
			}
		}
	}
	return true
}

// Members know each other by certificates, of both sides.
func TestClusterWithTLS(t *testing.T) {
	t.Parallel()
	members := newCluster(t, makeCertificates(t))
	leader(t, members, 0)
	eventually(t, "all members are there", func() bool { return current(t, members) })
	stranger := makeCertificates(t)
	cluster := *members[0].cfg.Cluster
	cluster.Name, cluster.Listen, cluster.CA = "d", strings.ReplaceAll(bustest.FreeAddress(t), "127.0.0.1", "localhost"),
		stranger.ca
	s, err := server.Start(server.Config{
		Listen: "127.0.0.1:0", StateDir: t.TempDir(), Cert: stranger.cert, Key: stranger.key, Cluster: &cluster,
	}, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	seen := bustest.Collect(t, bustest.Join(t, s, "stranger"), "vmscaler.>")
	witness := bustest.Collect(t, bustest.Join(t, members[1].server, "witness"), "vmscaler.sample.>")
	collector := bustest.Join(t, members[0].server, "collector")
	eventually(t, "a sample arrives at another member", func() bool { // the first may come before that is known to want it
		bustest.PublishAll(t, collector, bustest.Sample())
		return len(witness) > 0
	})
	if len(seen) != 0 {
		t.Errorf("a stranger hears %s", (<-seen).Subject)
	}
}

func TestClusterThatCannotBe(t *testing.T) {
	t.Parallel()
	good := server.Cluster{
		Name: "a", Listen: "127.0.0.1:6222", Members: []string{"127.0.0.1:6222", "127.0.0.1:6223", "127.0.0.1:6224"},
	}
	for want, change := range map[string]func(*server.Config, *server.Cluster){
		"name: found \"\"":                 func(_ *server.Config, c *server.Cluster) { c.Name = "" },
		"members: found 2, want 3":         func(_ *server.Config, c *server.Cluster) { c.Members = c.Members[1:] },
		"found no state folder":            func(cfg *server.Config, _ *server.Cluster) { cfg.StateDir = "" },
		"only loopback is allowed without": func(_ *server.Config, c *server.Cluster) { c.Listen = "0.0.0.0:6222" },
		"want a port that the other":       func(_ *server.Config, c *server.Cluster) { c.Listen = "127.0.0.1:0" },
		"want HOST:PORT":                   func(_ *server.Config, c *server.Cluster) { c.Members = []string{"a", "b", "c"} },
		"no certificate of this member's":  func(_ *server.Config, c *server.Cluster) { c.CA = "ca.pem" },
	} {
		cfg, cluster := server.Config{Listen: "127.0.0.1:0", StateDir: t.TempDir()}, good
		cluster.Members = slices.Clone(good.Members)
		change(&cfg, &cluster)
		cfg.Cluster = &cluster
		s, err := server.Start(cfg, bustest.Quiet)
		if err == nil {
			s.Stop()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A member is known to the others by the address that they have for it, not by one of its IP addresses.
func TestClusterOwnAddress(t *testing.T) {
	t.Parallel()
	hosts := []string{"kvm1:6222", "kvm2:6222", "kvm3:6222"}
	ports := []string{"localhost:6222", "localhost:6223", "localhost:6224"}
	for want, tt := range map[string]struct {
		name, listen   string
		members, names []string
	}{
		"kvm1:6222":      {"a", "0.0.0.0:6222", hosts, []string{"kvm1", "localhost"}},
		"kvm2:6222":      {"kvm2", "0.0.0.0:6222", hosts, []string{"kvm1", "kvm2", "kvm3"}},
		"localhost:6223": {"a", "127.0.0.1:6223", ports, []string{"localhost"}},
		"":               {"a", "0.0.0.0:6222", hosts, []string{"kvm1", "kvm2"}},
	} {
		c := server.Cluster{Name: tt.name, Listen: tt.listen, Members: tt.members}
		if got := c.OwnAddress(&x509.Certificate{DNSNames: tt.names}); got != want {
			t.Errorf("%+v: got %q, want %q", tt, got, want)
		}
	}
}
