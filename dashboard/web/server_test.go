package web

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/server"
)

// site is a server on a port of its own, with a client.
type site struct {
	t       *testing.T
	server  *Server
	address string
	client  *http.Client
}

func start(t *testing.T, c Config) *site {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Log = bustest.Quiet
	if c.Now == nil {
		c.Now = time.Now
	}
	s := New(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &site{t, s, listener.Addr().String(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// follow has it hear a bus.
func (s *site) follow(b *server.Server) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	watch, operator := bustest.Join(s.t, b, "dashboard"), bustest.Join(s.t, b, "operator")
	ended := make(chan error, 1)
	go func() { ended <- s.server.Follow(ctx, Bus{Watch: watch, Operator: operator}) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	bustest.Eventually(s.t, "the bus", func() bool { return s.server.bus.Load() != nil })
}

func (s *site) do(method, path, body string, header ...string) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func (s *site) get(path string) (int, string) { return s.do(http.MethodGet, path, "") }

// Over a real bus, and HTTP.
func TestServer(t *testing.T) {
	s := start(t, Config{PerVM: true})
	s.server.Waiting("libvirt is down")
	if code, body := s.get("/readyz"); code != http.StatusServiceUnavailable || body != "libvirt is down\n" {
		t.Errorf("without a bus: %d %s", code, body)
	}
	if _, body := s.get("/metrics"); !strings.Contains(body, "vmscaler_exporter_bus_connected 0") {
		t.Errorf("without a bus:\n%s", body)
	}
	b := bustest.StartServer(t)
	s.follow(b)
	if code, body := s.get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "nothing was heard") {
		t.Errorf("readyz %d: %s", code, body)
	}
	if code, body := s.get("/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("healthz %d: %s", code, body)
	}
	collector, decider := bustest.Join(t, b, "collector"), bustest.Join(t, b, "decider")
	bustest.Eventually(t, "ready", func() bool { // as the stages do, again and again
		now := time.Now()
		sample, d := bustest.Sample(), bustest.Decision()
		sample.Time, d.Time, d.ExpiresAt = now, now, now.Add(time.Minute)
		d.Seq = uint64(now.UnixNano()) //nolint:gosec // after 1970
		bustest.PublishAll(t, collector, sample)
		bustest.PublishAll(t, decider, d)
		code, _ := s.get("/readyz")
		return code == http.StatusOK
	})
	code, body := s.get("/metrics")
	if code != http.StatusOK || !strings.Contains(body, `vmscaler_group_desired{group="web"}`) ||
		!strings.Contains(body, "vmscaler_exporter_bus_connected 1") {
		t.Errorf("metrics %d:\n%s", code, body)
	}
}

// A page of the internet cannot read what is on loopback by having its own name resolve to it.
func TestRebinding(t *testing.T) {
	s := start(t, Config{})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8080": 200, "127.0.0.1": 200, "127.1.2.3:80": 200, "[::1]": 200, "[::1]:9464": 200,
		"evil.example": 403, "evil.example:9464": 403, "127.0.0.1.evil.example": 403, "192.168.1.4:9464": 403, "localhost.evil": 403,
	} {
		if code, body := s.do(http.MethodGet, "/metrics", "", "Host", host); code != want {
			t.Errorf("%s: %d %s", host, code, body)
		}
	}
}

// A port that another process has is taken once it is free.
func TestServeWhenFree(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := New(Config{Now: time.Now, Log: bustest.Quiet})
	s.listenAgain = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	taken, ended := make(chan error, 1), make(chan error, 1)
	go func() { ended <- s.ServeWhenFree(ctx, other.Addr().String(), func(err error) { taken <- err }) }()
	if err := bustest.Receive(t, taken, "that it is taken"); !strings.Contains(err.Error(), "address already in use") {
		t.Error(err)
	}
	_ = other.Close()
	bustest.Eventually(t, "an answer", func() bool {
		conn, err := net.Dial("tcp", other.Addr().String())
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	cancel()
	if err := bustest.Receive(t, ended, "the end"); err != nil {
		t.Error(err)
	}
}

// certificate makes one that nobody knows, in files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, about, about, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "web.crt"), filepath.Join(t.TempDir(), "web.key")
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// With a certificate it is served encrypted, and a browser's cookie goes no other way.
func TestTLS(t *testing.T) {
	cert, key := certificate(t)
	s := start(t, Config{Cert: cert, Key: key, Tokens: Tokens{t.TempDir()}})
	token, err := s.server.c.Tokens.Make("ops", RoleOperator, bustest.Noon)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // its certificate is this test's
	}}
	resp, err := client.Post(
		"https://"+s.address+apiPath+"/session",
		"application/json",
		strings.NewReader(`{"token": "`+token+`"}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if cookies := resp.Cookies(); resp.StatusCode != http.StatusOK || len(cookies) != 1 || !cookies[0].Secure {
		t.Errorf("%s: %+v", resp.Status, cookies)
	}
	if code, body := s.get("/healthz"); code == http.StatusOK {
		t.Errorf("not encrypted: %d %s", code, body)
	}
}

// Pages that are open are bounded, and one that is closed makes room.
func TestStreams(t *testing.T) {
	s := newAPISite(t, nil)
	s.follow(s.bus)
	open := func() (*http.Response, string) {
		resp, err := s.client.Get("http://" + s.address + apiPath + "/stream")
		if err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(resp.Body).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return resp, line
	}
	all := make([]*http.Response, streamsAtMost)
	for i := range all {
		resp, line := open()
		defer resp.Body.Close()
		if all[i] = resp; !strings.HasPrefix(line, `data: {"time":`) {
			t.Fatalf("%d: %s", i, line)
		}
	}
	if code, body := s.get(apiPath + "/stream"); code != http.StatusServiceUnavailable || !strings.Contains(body, `"busy"`) {
		t.Errorf("one more: %d %s", code, body)
	}
	_ = all[0].Body.Close()
	bustest.Eventually(t, "room", func() bool {
		resp, line := open()
		_ = resp.Body.Close()
		return strings.HasPrefix(line, "data: ")
	})
}

// Who is slow, or sends without end, is cut off, and the others are served meanwhile.
func TestHostileClients(t *testing.T) {
	s := start(t, Config{})
	for range 20 { // that say nothing
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX: %s\r\n\r\n", strings.Repeat("x", 2*maxHeader))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("a long header: %q %v", line, err)
	}
	if code, _ := s.get("/metrics"); code != http.StatusOK {
		t.Errorf("beside them: %d", code)
	}
}
