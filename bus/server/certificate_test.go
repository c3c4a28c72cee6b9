package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/server"
)

// madeCluster is three members on loopback, whose certificates were made by the state folder of the first, a time ago, for an
// hour, as docs/fleet.md has them made.
func madeCluster(t *testing.T, ago time.Duration) (members []*member) {
	t.Helper()
	names := []string{"kvm1", "kvm2", "kvm3"}
	first := t.TempDir()
	if err := server.MakeCertificates(first, names, time.Hour, time.Now().Add(-ago)); err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for range names {
		addresses = append(addresses, strings.ReplaceAll(bustest.FreeAddress(t), "127.0.0.1", "localhost"))
	}
	for i, name := range names {
		dir := first
		if i > 0 { // what scp does
			dir = t.TempDir()
			from := os.DirFS(filepath.Join(server.CertificatesDir(first), name))
			if err := os.CopyFS(filepath.Join(server.CertificatesDir(dir), name), from); err != nil {
				t.Fatal(err)
			}
		}
		own := filepath.Join(server.CertificatesDir(dir), name)
		m := &member{cfg: server.Config{
			Listen: "127.0.0.1:0", StateDir: dir,
			Cert: filepath.Join(own, "bus.crt"), Key: filepath.Join(own, "bus.key"),
			Cluster: &server.Cluster{
				Name: name, Listen: addresses[i], Members: addresses, CA: filepath.Join(own, "ca.crt"),
			},
		}}
		m.start(t)
		t.Cleanup(m.kill)
		members = append(members, m)
	}
	return members
}

// shown is the certificate that a member shows to clients.
func shown(t *testing.T, m *member) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(m.cfg.Cluster.CA)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(data)
	var leaf *x509.Certificate
	nc, err := nats.Connect(m.server.URL(), must(nats.NkeyOptionFromSeed(operatorKey(m))), nats.IgnoreDiscoveredServers(),
		nats.Timeout(clusterTime), nats.Secure(&tls.Config{RootCAs: pool, VerifyConnection: func(s tls.ConnectionState) error {
			leaf = s.PeerCertificates[0]
			return nil
		}}))
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	return leaf
}

func operatorKey(m *member) string { return server.CredentialsFile(m.cfg.StateDir, bus.RoleOperator) }

// Certificates whose time has come are renewed on all members, by the authority on one, with the same names and for the same
// key, and no connection ends by that: neither a client's nor one between members.
func TestCertificatesAreRenewed(t *testing.T) {
	t.Parallel()
	members := madeCluster(t, 0)
	leader(t, members, 0)
	eventually(t, "all members are there", func() bool { return current(t, members) })
	ca := filepath.Join(server.CertificatesDir(members[0].cfg.StateDir), "ca.crt")
	cut := make(chan error, 8)
	nc, err := nats.Connect(members[1].server.URL(), must(nats.NkeyOptionFromSeed(operatorKey(members[1]))), nats.RootCAs(ca),
		nats.Timeout(clusterTime),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { cut <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	routes := func() (ids []uint64) {
		for _, m := range members {
			z := must(m.server.NS().Routez(nil))
			for _, r := range z.Routes {
				ids = append(ids, r.Rid)
			}
		}
		slices.Sort(ids)
		return ids
	}
	before := routes()
	for i, m := range members { // as if it had been made 50 minutes ago
		old := shown(t, m)
		age(t, members[0], m)
		var now *x509.Certificate
		eventually(t, m.cfg.Cluster.Name+" shows another one", func() bool {
			now = shown(t, m)
			return now.NotAfter.After(time.Now().Add(50*time.Minute)) && now.SerialNumber.Cmp(old.SerialNumber) != 0
		})
		if !slices.Equal(now.DNSNames, old.DNSNames) || now.Subject.String() != old.Subject.String() {
			t.Errorf("member %d: it was for %q, and is for %q", i, old.DNSNames, now.DNSNames)
		}
	}
	if now := routes(); !slices.Equal(now, before) {
		t.Errorf("routes were %v, and are %v", before, now)
	}
	nc.Close()
	if err := <-cut; err != nil { // by Close alone
		t.Errorf("the client was cut off: %v", err)
	}
	members[2].kill()
	members[2].start(t)
	eventually(t, "one that starts with the new one is a member", func() bool { return current(t, members) })
}

// age has a member's certificate be one that was made 50 minutes ago, at itself and where the authority is.
func age(t *testing.T, first, m *member) {
	t.Helper()
	aged, name := t.TempDir(), m.cfg.Cluster.Name
	from := server.CertificatesDir(first.cfg.StateDir)
	for _, file := range []string{"ca.crt", "ca.key"} {
		copyFile(t, filepath.Join(from, file), filepath.Join(server.CertificatesDir(aged), file))
	}
	if err := server.MakeCertificates(aged, []string{name}, time.Hour, time.Now().Add(-50*time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"bus.key", "bus.crt"} {
		made := filepath.Join(server.CertificatesDir(aged), name, file)
		copyFile(t, made, filepath.Join(from, name, file))
		if m != first {
			copyFile(t, made, filepath.Join(filepath.Dir(m.cfg.Cert), file))
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".new", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// A certificate of another authority, even for a member's name, makes no member; one that a person exchanges is shown at
// once, and one that cannot be used is not.
func TestMadeCertificatesKeepStrangersOut(t *testing.T) {
	t.Parallel()
	members := madeCluster(t, 0)
	leader(t, members, 0)
	other := t.TempDir()
	if err := server.MakeCertificates(other, []string{"kvm1"}, time.Hour, time.Now()); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(server.CertificatesDir(other), "kvm1")
	pair, err := tls.LoadX509KeyPair(filepath.Join(foreign, "bus.crt"), filepath.Join(foreign, "bus.key"))
	if err != nil {
		t.Fatal(err)
	}
	own := must(tls.LoadX509KeyPair(members[2].cfg.Cert, members[2].cfg.Key))
	for who, tt := range map[string]struct {
		shows []tls.Certificate
		in    bool
	}{"a stranger": {[]tls.Certificate{pair}, false}, "nobody": {nil, false}, "a member": {[]tls.Certificate{own}, true}} {
		if err := knock(t, members[0].cfg.Cluster.Listen, tt.shows); (err == nil) != tt.in {
			t.Errorf("%s: got %v, want let in: %t", who, err, tt.in)
		}
	}
	before := shown(t, members[0])
	if err := os.WriteFile(members[0].cfg.Cert, []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if now := shown(t, members[0]); now.SerialNumber.Cmp(before.SerialNumber) != 0 {
		t.Error("it shows another one, though its file has none")
	}
	if err := server.MakeCertificates(members[0].cfg.StateDir, []string{"kvm1"}, time.Hour, time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it shows the new one", func() bool {
		return shown(t, members[0]).SerialNumber.Cmp(before.SerialNumber) != 0
	})
}

// knock connects as a member would, as far as the certificates of both sides go.
func knock(t *testing.T, address string, shows []tls.Certificate) error {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, Certificates: shows}) //nolint:gosec // the other side is tested
	if err := c.SetDeadline(time.Now().Add(clusterTime)); err != nil {
		t.Fatal(err)
	}
	if err := c.Handshake(); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1)) // its INFO, or that it does not accept the certificate
	return err
}

// What is made is for the name and for loopback, its keys are for nobody else to read, and the authority stays the same.
func TestMakeCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	create := func(names ...string) error { return server.MakeCertificates(dir, names, time.Hour, time.Now()) }
	if err := create("kvm1", "192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	ca := must(os.ReadFile(filepath.Join(server.CertificatesDir(dir), "ca.crt")))
	if err := create("kvm2"); err != nil {
		t.Fatal(err)
	}
	if now := must(os.ReadFile(filepath.Join(server.CertificatesDir(dir), "ca.crt"))); string(now) != string(ca) {
		t.Error("there is another authority")
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	for _, name := range []string{"kvm1", "kvm2", "192.0.2.7"} {
		block, _ := pem.Decode(must(os.ReadFile(filepath.Join(server.CertificatesDir(dir), name, "bus.crt"))))
		leaf := must(x509.ParseCertificate(block.Bytes))
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			for _, as := range []string{name, "localhost", "127.0.0.1"} {
				_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: as, KeyUsages: []x509.ExtKeyUsage{use}})
				if err != nil {
					t.Errorf("%s as %s: %s", name, as, err)
				}
			}
		}
		if info := must(os.Stat(filepath.Join(server.CertificatesDir(dir), name, "bus.key"))); info.Mode().Perm() != 0o600 {
			t.Errorf("the key of %s has mode %#o", name, info.Mode().Perm())
		}
	}
	if err := create("../kvm1"); err == nil || !strings.Contains(err.Error(), `found "../kvm1"`) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(server.CertificatesDir(dir), "ca.key"), []byte("none"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := create("kvm1"); err == nil || !strings.Contains(err.Error(), "ca.key: found no key (PEM)") {
		t.Errorf("got %v", err)
	}
}
