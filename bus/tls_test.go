package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificates are files of a CA made for one test, and of a server and a client that it vouches for.
type certificates struct{ ca, cert, key, clientCert, clientKey string }

func makeCertificates(t *testing.T) certificates {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature,
		}
	}
	ca := template(1, "test CA")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(c *x509.Certificate, name string, key *ecdsa.PrivateKey) (certFile, keyFile string) {
		der, err := x509.CreateCertificate(rand.Reader, c, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return write(name+".pem", "CERTIFICATE", der), write(name+".key", "PRIVATE KEY", keyDER)
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	var c certificates
	c.ca, _ = signed(ca, "ca", caKey)
	srv := template(2, "bus")
	srv.IPAddresses, srv.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	c.cert, c.key = signed(srv, "server", newKey())
	client := template(3, "client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	c.clientCert, c.clientKey = signed(client, "client", newKey())
	return c
}

// exchange sends an event from the actuator to the dashboard.
func exchange(t *testing.T, actuator, dashboard *Conn) {
	t.Helper()
	events := subscribe[Event](t, dashboard, AllEvents)
	publishAll(t, actuator, exampleEvent())
	if e := receive(t, events, "event"); e.VM != exampleEvent().VM {
		t.Errorf("got %+v", e)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	c, dir := makeCertificates(t), t.TempDir()
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		t.Run(listen, func(t *testing.T) {
			dir := filepath.Join(dir, listen)
			s := startWith(t, ServerConfig{Listen: listen, StateDir: dir, Cert: c.cert, Key: c.key})
			if !strings.HasPrefix(s.URL(), "tls://127.0.0.1:") {
				t.Errorf("it says it is at %s", s.URL())
			}
			if h, found := FindState(dir); !found || h.URL != s.URL() {
				t.Errorf("its state folder says %+v", h)
			}
			remote := Remote{URL: s.URL(), Nkey: CredentialsFile(dir, RoleActuator), CA: c.ca}
			actuator, err := DialNow(remote, "actuator", quiet)
			if err != nil {
				t.Fatal(err)
			}
			defer actuator.Close()
			t.Run("to a stage in the process", func(t *testing.T) { exchange(t, actuator, join(t, s, "dashboard")) })
			t.Run("from a stage in the process", func(t *testing.T) {
				tapRemote := Remote{URL: s.URL(), Nkey: CredentialsFile(dir, RoleTap), CA: c.ca}
				tap, err := DialNow(tapRemote, "tap", quiet)
				if err != nil {
					t.Fatal(err)
				}
				defer tap.Close()
				exchange(t, join(t, s, "actuator"), tap)
			})
			t.Run("by a URL without TLS", func(t *testing.T) { // the server says that it wants it
				plain := remote
				plain.URL = strings.Replace(plain.URL, "tls:", "nats:", 1)
				again, err := DialNow(plain, "actuator", quiet)
				if err != nil {
					t.Fatal(err)
				}
				exchange(t, again, join(t, s, "dashboard"))
				again.Close()
			})
			t.Run("by the certificate itself", func(t *testing.T) { // as its state folder names it
				h, _ := FindState(dir)
				own := remote
				if own.CA = h.Cert; own.CA != c.cert {
					t.Errorf("its state folder names the certificate %q, want %q", own.CA, c.cert)
				}
				again, err := DialNow(own, "actuator", quiet)
				if err != nil {
					t.Fatal(err)
				}
				again.Close()
			})
			for name, tt := range map[string]struct{ ca, want string }{
				"without the CA":   {"", "certificate signed by unknown authority"},
				"with another CA":  {makeCertificates(t).ca, "certificate signed by unknown authority"},
				"with no such CA":  {filepath.Join(dir, "nosuch.pem"), "nosuch.pem"},
				"with a CA not so": {CredentialsFile(dir, RoleTap), "tap.nk"},
			} {
				t.Run(name, func(t *testing.T) {
					wrong := remote
					wrong.CA = tt.ca
					again, err := DialNow(wrong, "actuator", quiet)
					if err == nil {
						again.Close()
						t.Fatal("it connects")
					}
					if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), s.URL()) {
						t.Errorf("got %v, want %q", err, tt.want)
					}
				})
			}
			t.Run("anonymous", func(t *testing.T) {
				anonymous, err := DialNow(Remote{URL: s.URL(), CA: c.ca}, "dashboard", quiet)
				if listen == "0.0.0.0:0" {
					if err == nil {
						anonymous.Close()
						t.Fatal("it connects")
					}
					if !strings.Contains(err.Error(), "Authorization Violation") {
						t.Errorf("got %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer anonymous.Close()
				exchange(t, actuator, anonymous)
				if err := anonymous.nc.Publish(exampleEvent().Subject(), nil); err != nil {
					t.Fatal(err)
				}
				if m := (member{anonymous.nc, t}); !m.refused("Publish", exampleEvent().Subject()) {
					t.Error("it may publish")
				}
			})
		})
	}
}

// With a CA, clients need a certificate as well.
func TestTLSOfBothSides(t *testing.T) {
	t.Parallel()
	c, dir := makeCertificates(t), t.TempDir()
	s := startWith(t, ServerConfig{StateDir: dir, Cert: c.cert, Key: c.key, CA: c.ca})
	remote := Remote{URL: s.URL(), Nkey: CredentialsFile(dir, RoleActuator), CA: c.ca}
	if without, err := DialNow(remote, "actuator", quiet); err == nil {
		without.Close()
		t.Error("a client without a certificate connects")
	}
	remote.Cert, remote.Key = c.clientCert, c.clientKey
	with, err := DialNow(remote, "actuator", quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	exchange(t, with, join(t, s, "dashboard"))
}

func TestTLSThatCannotBe(t *testing.T) {
	t.Parallel()
	c := makeCertificates(t)
	for name, tt := range map[string]struct {
		cfg  ServerConfig
		want string
	}{
		"everybody, without TLS": {ServerConfig{Listen: "0.0.0.0:0"}, "--nats-cert"},
		"no key":                 {ServerConfig{Listen: "127.0.0.1:0", Cert: c.cert}, "TLS"},
		"no such certificate":    {ServerConfig{Listen: "127.0.0.1:0", Cert: "/nosuch.pem", Key: c.key}, "nosuch.pem"},
		"another's key":          {ServerConfig{Listen: "127.0.0.1:0", Cert: c.cert, Key: c.clientKey}, "private key does not match"},
		"no such CA":             {ServerConfig{Listen: "127.0.0.1:0", Cert: c.cert, Key: c.key, CA: "/nosuch.pem"}, "nosuch.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.StateDir = t.TempDir()
			s, err := StartServer(tt.cfg, quiet)
			if err == nil {
				s.Stop()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
