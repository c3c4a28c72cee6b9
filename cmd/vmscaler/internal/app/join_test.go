package app

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// joining is a Join that runs.
type joining struct {
	reasons chan string
	done    chan error
	conn    *client.Conn // after done
}

func startJoin(ctx context.Context, role string, remote func(string) client.Remote) *joining {
	j := &joining{reasons: make(chan string, 64), done: make(chan error, 1)}
	go func() {
		var err error
		j.conn, err = Join(ctx, role, remote, bustest.Quiet, func(why error) { j.reasons <- why.Error() })
		j.done <- err
	}()
	return j
}

// Both the server and then its credentials come later than the stage that needs them; each is said once.
func TestJoinWaits(t *testing.T) {
	t.Parallel()
	address, dir := bustest.FreeAddress(t), t.TempDir()
	tries := make(chan struct{})
	remote := client.Remote{URL: "nats://" + address, Nkey: server.CredentialsFile(dir, bus.RoleActuator)}
	j := startJoin(bustest.Limit(t), StageActuator, func(role string) client.Remote {
		if role != StageActuator {
			t.Errorf("asked for %s", role)
		}
		tries <- struct{}{}
		return remote
	})
	bustest.Receive(t, tries, "try")
	why := bustest.Receive(t, j.reasons, "reason")
	if !strings.Contains(why, remote.Nkey) || !strings.Contains(why, "first start") {
		t.Errorf("credentials that are not there: %s", why)
	}
	// The key is there before its server is, as another machine has got it.
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(remote.Nkey), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(remote.Nkey, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	bustest.Receive(t, tries, "try")
	if why := bustest.Receive(t, j.reasons, "reason"); !strings.Contains(why, address) {
		t.Errorf("no server: %s", why)
	}
	for range 3 { // the same again is not said again
		bustest.Receive(t, tries, "try")
	}
	if len(j.reasons) > 0 {
		t.Errorf("said again: %s", <-j.reasons)
	}
	bustest.StartWith(t, server.Config{Listen: address, StateDir: dir})
	for joined := false; !joined; {
		select {
		case <-tries:
		case err := <-j.done:
			if err != nil {
				t.Fatal(err)
			}
			joined = true
		case <-bustest.Limit(t).Done():
			t.Fatal("it never joins")
		}
	}
	defer j.conn.Close()
	if _, connected := j.conn.Connected(); !connected || !j.conn.Embedded() {
		t.Error("it joined nothing")
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	j := startJoin(ctx, StageActuator, func(string) client.Remote { return client.Remote{URL: "nats://" + bustest.FreeAddress(t)} })
	bustest.Receive(t, j.reasons, "reason")
	enough := errors.New("enough")
	cancel(enough)
	if err := bustest.Receive(t, j.done, "end"); !errors.Is(err, enough) || j.conn != nil {
		t.Errorf("got %v", err)
	}
}

func TestJoinWithoutCredentials(t *testing.T) {
	t.Parallel()
	embedded := bustest.StartWith(t, server.Config{StateDir: t.TempDir()}).URL()
	for _, role := range bus.Roles() {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			said := func(error) { t.Error("it waits for credentials that nobody names") }
			conn, err := Join(bustest.Limit(t), string(role), func(string) client.Remote { return client.Remote{URL: embedded} },
				bustest.Quiet, said)
			if err == nil {
				conn.Close()
			}
			var need *NeedCredentialsError
			known := []bus.Role{"collector", "decider", "actuator", "operator", "metric", "monitor", "wake"}
			if wants := slices.Contains(known, role); wants != errors.As(
				err,
				&need,
			) {
				t.Fatalf("got %v", err)
			}
			if need == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, part := range []string{
				embedded, string(role), "--nats-nkey", "VMSCALER_NATS_NKEY",
				"vmscaler bus credentials " + string(role),
			} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("no %q in: %v", part, err)
				}
			}
		})
	}
}

// On another server its own configuration decides who needs credentials.
func TestJoinAnotherServer(t *testing.T) {
	t.Parallel()
	start := func(options natsserver.Options) string {
		options.Host, options.Port, options.NoSigs, options.NoLog = "127.0.0.1", natsserver.RANDOM_PORT, true, true
		ns, err := natsserver.NewServer(&options)
		if err != nil {
			t.Fatal(err)
		}
		ns.Start()
		t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
		if !ns.ReadyForConnections(20 * time.Second) {
			t.Fatal("it does not start")
		}
		return ns.ClientURL()
	}
	open, closed := start(natsserver.Options{}), start(natsserver.Options{Username: "u", Password: "p"})
	for _, role := range []string{StageActuator, StageDashboard} {
		conn, err := JoinNow(role, client.Remote{URL: open}, bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		var need *NeedCredentialsError
		if conn, err := JoinNow(role, client.Remote{URL: closed}, bustest.Quiet); !errors.As(err, &need) {
			if err == nil {
				conn.Close()
			}
			t.Errorf("%s: got %v", role, err)
		}
		conn, err = JoinNow(role, client.Remote{URL: strings.Replace(closed, "://", "://u:p@", 1)}, bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

func TestJoinWithWrongCredentials(t *testing.T) {
	t.Parallel()
	s, other := bustest.StartWith(t, server.Config{StateDir: t.TempDir()}), t.TempDir()
	bustest.StartWith(t, server.Config{StateDir: other})
	remote := client.Remote{URL: s.URL(), Nkey: server.CredentialsFile(other, bus.RoleActuator)}
	ctx, cancel := context.WithCancel(t.Context())
	j := startJoin(ctx, StageActuator, func(string) client.Remote { return remote })
	why := bustest.Receive(t, j.reasons, "reason") // it waits: they can be mended on the server
	for _, part := range []string{s.URL(), "does not know these credentials", "vmscaler bus credentials actuator"} {
		if !strings.Contains(why, part) {
			t.Errorf("no %q in: %s", part, why)
		}
	}
	cancel()
	if err := bustest.Receive(t, j.done, "end"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// The state folder's credentials are for its own bus only: they are not shown to another server.
func TestCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if got := Credentials(client.Remote{URL: "nats://127.0.0.1:4222"}, dir, "actuator"); got.Nkey != "" {
		t.Errorf("there is no bus: %+v", got)
	}
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	own := server.CredentialsFile(dir, bus.RoleActuator)
	for _, tt := range []struct {
		name   string
		remote client.Remote
		want   string
	}{
		{"its URL", client.Remote{URL: s.URL()}, own},
		{"with a CA", client.Remote{URL: s.URL(), CA: "ca.pem"}, own},
		{"by another name", client.Remote{URL: "nats://localhost:" + port}, own},
		{"with TLS", client.Remote{URL: "tls://127.0.0.1:" + port}, own},
		{"by all addresses", client.Remote{URL: "nats://0.0.0.0:" + port}, own},
		{"another port", client.Remote{URL: "nats://127.0.0.1:1"}, ""},
		{"no port", client.Remote{URL: "nats://127.0.0.1"}, ""},
		{"another host", client.Remote{URL: "nats://192.0.2.1:" + port}, ""},
		{"a host that begins like it", client.Remote{URL: "nats://localhost.example.org:" + port}, ""},
		{"several", client.Remote{URL: s.URL() + ",nats://192.0.2.1:" + port}, ""},
		{"no URL", client.Remote{}, ""},
		{"an nkey", client.Remote{URL: s.URL(), Nkey: "other.nk"}, "other.nk"},
		{"a JWT", client.Remote{URL: s.URL(), Creds: "x.creds"}, ""},
		{"a certificate", client.Remote{URL: s.URL(), Cert: "x.pem", Key: "x.key"}, ""},
		{"a password", client.Remote{URL: "nats://u:p@127.0.0.1:" + port}, ""},
	} {
		got := Credentials(tt.remote, dir, "actuator")
		want := tt.remote
		want.Nkey = tt.want
		if got != want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, want)
		}
	}
	if got := Credentials(client.Remote{URL: s.URL()}, dir, "nosuch"); got.Nkey != "" {
		t.Errorf("a role without a file: %+v", got)
	}
}

// A bus at NATS's usual port is meant by a URL without one.
func TestSameServer(t *testing.T) {
	t.Parallel()
	here, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if !isHere(here) { // no name leads to this machine: take an address
		here = "127.0.0.1"
	}
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"nats://127.0.0.1:4222", "nats://127.0.0.1", true},
		{"nats://127.0.0.1:4222", "tls://localhost", true},
		{"nats://[::1]:4222", "nats://[::1]:4222", true},
		{"nats://127.0.0.1:4222", "nats://[::1]:4222", false},
		{"nats://127.0.0.1:4222", "nats://127.0.0.1:4223", false},
		{"nats://kvm1:4222", "nats://KVM1:4222", true},
		{"tls://127.0.0.1:4222", "tls://" + here, true},
		{"tls://127.0.0.1:4223", "tls://" + here, false},
		{"tls://127.0.0.1:4222", "tls://192.0.2.1", false},
		{"tls://kvm1.invalid:4222", "tls://" + here, false},
		{"", "", false},
		{"nats://[", "nats://[", false},
	} {
		if got := sameServer(tt.a, tt.b); got != tt.want {
			t.Errorf("sameServer(%q, %q) = %t", tt.a, tt.b, got)
		}
	}
}

// A bus answers a moment before its state folder says where it is, and so where its credentials are.
func TestJoinFindsCredentialsAMomentLater(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	asked := 0
	conn, err := Join(t.Context(), StageDecider, func(role string) client.Remote {
		asked++
		r := client.Remote{URL: s.URL()}
		if asked > 1 {
			r.Nkey = server.CredentialsFile(dir, bus.Role(role))
		}
		return r
	}, bustest.Quiet, func(err error) { t.Errorf("says %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
