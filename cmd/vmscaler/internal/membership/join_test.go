package membership_test

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

	"go.uber.org/goleak"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// certificate makes a certificate that vouches for itself, for loopback by its address alone.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "kvm1"},
		NotBefore: time.Now().Add(-time.Hour),
		NotAfter:  time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "bus.crt"), filepath.Join(t.TempDir(), "bus.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {
		Type:  "PRIVATE KEY",
		Bytes: keyDER,
	}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// fleet is a bus with TLS.
type fleet struct {
	dir         string
	server      *server.Server
	fingerprint []byte
}

func newFleet(t *testing.T) fleet {
	t.Helper()
	cert, key := certificate(t)
	f := fleet{dir: t.TempDir()}
	f.server = bustest.StartWith(t, server.Config{StateDir: f.dir, Cert: cert, Key: key})
	data, err := os.ReadFile(cert)
	if err == nil {
		f.fingerprint, err = membership.Fingerprint(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// token makes a token of a time, and waits until the bus has looked at it.
func (f fleet) token(t *testing.T, name string, at time.Time) string {
	t.Helper()
	token, expires, err := server.AddToken(f.dir, name, f.fingerprint, at)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(f.dir, "tokens", name+".json")
	if expires.Before(time.Now()) {
		bustest.Eventually(t, "the bus has deleted what has expired", func() bool {
			_,
				err := os.Stat(file)
			return os.IsNotExist(err)
		})
	}
	return token
}

// join joins, also before the bus has looked at the token.
func (f fleet) join(t *testing.T, stateDir, token string, id bus.HostID) membership.Membership {
	t.Helper()
	m, err := membership.Join(t.Context(), stateDir, f.server.URL(), token, id)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestJoin(t *testing.T) {
	t.Parallel()
	f, state := newFleet(t), t.TempDir()
	f.join(t, state, f.token(t, "kvm2", time.Now()), "id-2")
	m, found, err := membership.Load(state)
	if err != nil || !found || m.Name != "kvm2" || m.HostID != "id-2" || !m.TLS {
		t.Fatalf("got %+v, %t, %v", m, found, err)
	}
	for _, name := range []string{"agent.nk", "bus.crt", "joined.json"} {
		if info, err := os.Stat(filepath.Join(membership.Dir(state), name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	seed, err := os.ReadFile(filepath.Join(membership.Dir(state), "agent.nk"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(f.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			data, _ := os.ReadFile(path)
			if strings.Contains(string(data), strings.TrimSpace(string(seed))) {
				t.Errorf("%s has the private key", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	samples := bustest.Subscribe[bus.Sample](t, bustest.Join(t, f.server, "decider"), bus.AllSamples)
	agent, err := client.DialNow(m.Remote(state), "collector", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	sample := bustest.Sample()
	sample.HostID = "id-2"
	bustest.PublishAll(t, agent, sample)
	bustest.Receive(t, samples, "sample of the new host")
	if found, err := server.RemoveAgent(f.dir, "kvm2"); err != nil || !found {
		t.Fatal(found, err)
	}
	bustest.Eventually(t, "the agent is cut off", func() bool { _, up := agent.Connected(); return !up })
}

// Each refusal says why, and leaves nothing behind on the host.
func TestJoinRefused(t *testing.T) {
	t.Parallel()
	f, other := newFleet(t), newFleet(t)
	now := time.Now()
	spent := f.token(t, "kvm2", now)
	f.join(t, t.TempDir(), spent, "id-2")
	joined := t.TempDir()
	f.join(t, joined, f.token(t, "kvm3", now), "id-3")
	late := f.token(t, "kvm4", now.Add(-server.TokenAge-time.Minute))
	good := f.token(t, "kvm5", now)
	replaced := f.token(t, "kvm6", now)
	f.token(t, "kvm6", now)
	url := f.server.URL()
	byName := strings.ReplaceAll(url, "127.0.0.1", "localhost")
	for name, tt := range map[string]struct {
		url, token string
		id         bus.HostID
		want       string
	}{
		"spent":             {url, spent, "id-9", "the token was used before; get another one with `vmscaler host add NAME`"},
		"expired":           {url, late, "id-9", "the token has expired, at "},
		"replaced":          {url, replaced, "id-9", "does not know this token, as another one for the same name"},
		"of another bus":    {other.server.URL(), good, "id-9", "shows another certificate (SHA-256 "},
		"damaged":           {url, damaged(good), "id-9", "--token: it is no token of `vmscaler host add`"},
		"cut off":           {url, good[:40], "id-9", "--token: it is no token"},
		"no token":          {url, "x", "id-9", "--token: it is no token"},
		"by another name":   {byName, good, "id-9", "the certificate of the bus is not for the name in the URL"},
		"nobody there":      {"tls://127.0.0.1:1", good, "id-9", "no bus answers at tls://127.0.0.1:1"},
		"no URL":            {"kvm1:4222", good, "id-9", `URL: found "kvm1:4222", want one such as tls://kvm1:4222`},
		"the host is there": {url, good, "id-2", "this host (id-2) has joined already, as kvm2"},
	} {
		state := t.TempDir()
		_, err := membership.Join(t.Context(), state, tt.url, tt.token, tt.id)
		if err == nil {
			t.Errorf("%s: it has joined", name)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if entries, err := os.ReadDir(state); err != nil || len(entries) != 0 {
			t.Errorf("%s: it left %v, %v", name, entries, err)
		}
	}
	if _, err := membership.Join(t.Context(), joined, url, good, "id-3"); err == nil || !strings.Contains(err.Error(),
		"has joined") {
		t.Errorf("a second time: got %v", err)
	}
	if _, found, err := membership.Load(joined); err != nil || !found {
		t.Errorf("the membership is gone: %v", err)
	}
	if _, _, err := server.AddToken(f.dir, "kvm2", nil, now); err == nil || !strings.Contains(err.Error(),
		"the name kvm2 is taken") {
		t.Errorf("a token for a name that is taken: got %v", err)
	}
	f.join(t, t.TempDir(), good, "id-5") // none of the tries has spent it
}

// damaged is a token with one other letter.
func damaged(token string) string {
	other := "B"
	if token[20:21] == other {
		other = "C"
	}
	return token[:20] + other + token[21:]
}

// A token of a bus without TLS is sent over no network.
func TestJoinWithoutTLS(t *testing.T) {
	t.Parallel()
	f := fleet{dir: t.TempDir()}
	f.server = bustest.StartWith(t, server.Config{StateDir: f.dir})
	token := f.token(t, "kvm2", time.Now())
	for _, url := range []string{"nats://kvm1:4222", "tls://127.0.0.1:4222"} {
		if _, err := membership.Join(t.Context(), t.TempDir(), url, token, "id-2"); err == nil ||
			!strings.Contains(err.Error(), "the token is of a bus without TLS") {
			t.Errorf("%s: got %v", url, err)
		}
	}
	if m := f.join(t, t.TempDir(), token, "id-2"); m.TLS {
		t.Error("it says that there is TLS")
	}
}
