package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
)

// members prepares three servers that form a cluster; each call of start starts the next one.
func members(t *testing.T) (start func() (url string)) {
	t.Helper()
	var ports []int
	routes := ""
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		routes += ",nats://" + l.Addr().String()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // it is TCP's
	}
	started := 0
	return func() string {
		t.Helper()
		options := server.Options{
			ServerName: fmt.Sprintf("member-%d", started), JetStream: true, StoreDir: t.TempDir(),
			Routes:  server.RoutesFromStr(routes[1:]),
			Cluster: server.ClusterOpts{Name: "fleet", Host: "127.0.0.1", Port: ports[started], NoAdvertise: true},
		}
		started++
		return plainServer(t, options)
	}
}

// tries calls f until it succeeds: a cluster needs a while until it is one.
func tries(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		call, end := context.WithTimeout(ctx, 2*time.Second) // without a leader no answer comes
		err := f(call)
		end()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// TestCluster: what is kept is kept on three servers, and of those that renew the lock at once each is told how it went, by
// whatever code a cluster has for it.
func TestCluster(t *testing.T) {
	t.Parallel()
	start := members(t)
	conn := plainConn(t, start())
	start()
	start()
	js, err := jetstream.New(conn.nc)
	if err != nil {
		t.Fatal(err)
	}
	tries(t, "a server leads", func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		return err
	})
	ensure := func(ctx context.Context) error {
		if err := EnsureHistory(ctx, conn); err != nil {
			return err
		}
		return EnsureStore(ctx, conn, LockTTL)
	}
	tries(t, "what is kept is made", ensure)
	for _, name := range []string{bus.HistoryStream, bus.DemandStream, "KV_" + bus.StateBucket, "KV_" + bus.LockBucket} {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.CachedInfo().Config.Replicas; n != 3 {
			t.Errorf("%s is on %d servers, want 3", name, n)
		}
	}

	l, err := openLock(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	revision, err := l.create(t.Context(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for range 20 { // of those that renew one revision at once one wins, and each other one is told that it has lost
		go func() {
			_, err := l.update(t.Context(), []byte("b"), revision)
			results <- err
		}()
	}
	won := 0
	for range 20 {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, errLockLost):
			t.Errorf("%v, want that the lock was lost", err)
		}
	}
	if won != 1 {
		t.Errorf("%d have renewed one revision", won)
	}
}
