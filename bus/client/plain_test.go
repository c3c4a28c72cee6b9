package client

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// plainServer is a NATS server that is not ours, as people may have one.
func plainServer(t testing.TB, options server.Options) string {
	t.Helper()
	options.Host, options.Port, options.NoSigs, options.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	ns, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	return ns.ClientURL()
}

// plainStore is one with JetStream, and a connection to it.
func plainStore(t testing.TB) *Conn {
	t.Helper()
	return plainConn(t, plainServer(t, server.Options{JetStream: true, StoreDir: t.TempDir()}))
}

func plainConn(t testing.TB, url string) *Conn {
	t.Helper()
	conn, err := DialNow(Remote{URL: url}, "test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}
