package client

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
)

// A stream that was made before its messages had a bound gets one, and keeps its other limits.
func TestHistoryGetsABound(t *testing.T) {
	t.Parallel()
	stage := plainConn(t, plainServer(t, server.Options{ServerName: ServerName, JetStream: true, StoreDir: t.TempDir()}))
	if err := EnsureHistory(t.Context(), stage); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(stage.nc)
	if err != nil {
		t.Fatal(err)
	}
	old := historyConfig()
	old.MaxMsgSize, old.MaxAge = -1, time.Hour
	if _, err := js.UpdateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if err := EnsureHistory(t.Context(), stage); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), bus.HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	if cfg := stream.CachedInfo().Config; cfg.MaxMsgSize != historyMessage || cfg.MaxAge != time.Hour {
		t.Errorf("got %d and %s", cfg.MaxMsgSize, cfg.MaxAge)
	}
}
