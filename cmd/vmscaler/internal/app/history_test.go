package app

import (
	"context"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
)

// TestHistoryIsMadeAnew: a history that is lost later, as with the folder of a server that is not ours, is made again.
func TestHistoryIsMadeAnew(t *testing.T) {
	t.Parallel()
	ns, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(bustest.LimitTime) {
		t.Fatal("the server does not start")
	}
	conn, err := client.DialNow(client.Remote{URL: ns.ClientURL()}, StageActuator, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn.NATS())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		keepHistory(ctx, conn, bustest.Quiet, 10*time.Millisecond)
		close(ended)
	}()
	for range 2 {
		bustest.Eventually(t, "there is a history", func() bool {
			_, err := js.Stream(t.Context(), bus.HistoryStream)
			return err == nil
		})
		if err := js.DeleteStream(t.Context(), bus.HistoryStream); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	bustest.Receive(t, ended, "end")
}
