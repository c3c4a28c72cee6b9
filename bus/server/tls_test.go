package server_test

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

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
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
	srv.IPAddresses, srv.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	srv.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} // of a member: both
	c.cert, c.key = signed(srv, "server", newKey())
	client := template(3, "client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	c.clientCert, c.clientKey = signed(client, "client", newKey())
	return c
}

// exchange sends an event from the actuator to the dashboard.
func exchange(t *testing.T, actuator, dashboard *client.Conn) {
	t.Helper()
	events := bustest.Subscribe[bus.Event](t, dashboard, bus.AllEvents)
	bustest.PublishAll(t, actuator, bustest.Event())
	if e := bustest.Receive(t, events, "event"); e.VM != bustest.Event().VM {
		t.Errorf("got %+v", e)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	c, dir := makeCertificates(t), t.TempDir()
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		t.Run(listen, func(t *testing.T) {
			dir := filepath.Join(dir, listen)
			s := bustest.StartWith(t, server.Config{Listen: listen, StateDir: dir, Cert: c.cert, Key: c.key})
			if !strings.HasPrefix(s.URL(), "tls://127.0.0.1:") {
				t.Errorf("it says it is at %s", s.URL())
			}
			if h, found := server.FindState(dir); !found || h.URL != s.URL() {
				t.Errorf("its state folder says %+v", h)
			}
			remote := client.Remote{URL: s.URL(), Nkey: server.CredentialsFile(dir, bus.RoleActuator), CA: c.ca}
			actuator, err := client.DialNow(remote, "actuator", bustest.Quiet)
			if err != nil {
				t.Fatal(err)
			}
			defer actuator.Close()
			t.Run("to a stage in the process", func(t *testing.T) { exchange(t, actuator, bustest.Join(t, s, "dashboard")) })
			t.Run("from a stage in the process", func(t *testing.T) {
				tapRemote := client.Remote{URL: s.URL(), Nkey: server.CredentialsFile(dir, bus.RoleTap), CA: c.ca}
				tap, err := client.DialNow(tapRemote, "tap", bustest.Quiet)
				if err != nil {
					t.Fatal(err)
				}
				defer tap.Close()
				exchange(t, bustest.Join(t, s, "actuator"), tap)
			})
			t.Run("by a URL without TLS", func(t *testing.T) { // the server says that it wants it
				plain := remote
				plain.URL = strings.Replace(plain.URL, "tls:", "nats:", 1)
				again, err := client.DialNow(plain, "actuator", bustest.Quiet)
				if err != nil {
					t.Fatal(err)
				}
				exchange(t, again, bustest.Join(t, s, "dashboard"))
				again.Close()
			})
			t.Run("by the certificate itself", func(t *testing.T) { // as its state folder names it
				h, _ := server.FindState(dir)
				own := remote
				if own.CA = h.Cert; own.CA != c.cert {
					t.Errorf("its state folder names the certificate %q, want %q", own.CA, c.cert)
				}
				again, err := client.DialNow(own, "actuator", bustest.Quiet)
				if err != nil {
					t.Fatal(err)
				}
				again.Close()
			})
			for name, tt := range map[string]struct{ ca, want string }{
				"without the CA":   {"", "certificate signed by unknown authority"},
				"with another CA":  {makeCertificates(t).ca, "certificate signed by unknown authority"},
				"with no such CA":  {filepath.Join(dir, "nosuch.pem"), "nosuch.pem"},
				"with a CA not so": {server.CredentialsFile(dir, bus.RoleTap), "tap.nk"},
			} {
				t.Run(name, func(t *testing.T) {
					wrong := remote
					wrong.CA = tt.ca
					again, err := client.DialNow(wrong, "actuator", bustest.Quiet)
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
				anonymous, err := client.DialNow(client.Remote{URL: s.URL(), CA: c.ca}, "dashboard", bustest.Quiet)
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
				if err := anonymous.NATS().Publish(bustest.Event().Subject(), nil); err != nil {
					t.Fatal(err)
				}
				if m := (bustest.Member{NC: anonymous.NATS(), T: t}); !m.Refused("Publish", bustest.Event().Subject()) {
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
	s := bustest.StartWith(t, server.Config{StateDir: dir, Cert: c.cert, Key: c.key, CA: c.ca})
	remote := client.Remote{URL: s.URL(), Nkey: server.CredentialsFile(dir, bus.RoleActuator), CA: c.ca}
	if without, err := client.DialNow(remote, "actuator", bustest.Quiet); err == nil {
		without.Close()
		t.Error("a client without a certificate connects")
	}
	remote.Cert, remote.Key = c.clientCert, c.clientKey
	with, err := client.DialNow(remote, "actuator", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer with.Close()
	exchange(t, with, bustest.Join(t, s, "dashboard"))
}

func TestTLSThatCannotBe(t *testing.T) {
	t.Parallel()
	c := makeCertificates(t)
	for name, tt := range map[string]struct {
		cfg  server.Config
		want string
	}{
		"everybody, without TLS": {server.Config{Listen: "0.0.0.0:0"}, "--nats-cert"},
		"no key":                 {server.Config{Listen: "127.0.0.1:0", Cert: c.cert}, "TLS"},
		"no such certificate":    {server.Config{Listen: "127.0.0.1:0", Cert: "/nosuch.pem", Key: c.key}, "nosuch.pem"},
		"another's key":          {server.Config{Listen: "127.0.0.1:0", Cert: c.cert, Key: c.clientKey}, "private key does not match"},
		"no such CA":             {server.Config{Listen: "127.0.0.1:0", Cert: c.cert, Key: c.key, CA: "/nosuch.pem"}, "nosuch.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.StateDir = t.TempDir()
			s, err := server.Start(tt.cfg, bustest.Quiet)
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
