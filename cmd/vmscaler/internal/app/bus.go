package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// connector gives a stage its connection.
type connector func(ctx context.Context, stage string) (*client.Conn, error)

// openBus gives a way to connect to the bus, its address, and how to end it.
func openBus(o Options) (connect connector, url string, stop func(), err error) {
	if !slices.Contains(o.Stages, StageBus) {
		return func(ctx context.Context, stage string) (*client.Conn, error) {
			return Join(ctx, stage, o.Remote, o.Log, o.Waiting)
		}, o.Remote(StageDashboard).URL, func() {}, nil
	}
	embedded, err := server.Start(server.Config{
		Listen: o.Config.BusListen, StateDir: o.StateDir, Cert: o.Config.BusCert, Key: o.Config.BusKey,
		NoTaps: o.Config.BusTaps == config.No, Cluster: clusterOf(o.Config),
	}, o.Log)
	var locked *server.StateLockedError
	switch {
	case errors.Is(err, server.ErrListenTaken):
		return nil, "", nil, fmt.Errorf(
			"%w: take another port with `--bus-listen 127.0.0.1:4223`, or, if a NATS server is there, join it with `--nats-url nats://%s`",
			err,
			o.Config.BusListen,
		)
	case errors.As(err, &locked):
		remedy := "give this one a folder of its own with --state-dir"
		if locked.Holder.URL != "" {
			remedy += ", or watch the other with `vmscaler dashboard --nats-url " + locked.Holder.URL + "`"
		}
		return nil, "", nil, fmt.Errorf("%w: %s", err, remedy)
	case err != nil:
		return nil, "", nil, err
	}
	connect = func(_ context.Context, stage string) (*client.Conn, error) { return embedded.Connect(stage, o.Log) }
	return connect, embedded.URL(), embedded.Stop, nil
}

// clusterOf is how the bus of a config is one of several; nil: it is alone.
func clusterOf(c config.Config) *server.Cluster {
	k := c.BusCluster
	if k.Members == "" {
		return nil
	}
	return &server.Cluster{Name: k.Name, Listen: k.Listen, Members: strings.Split(k.Members, ","), CA: k.CA}
}

// busPing is how often the bus is asked whether it lives.
const busPing = time.Second

// watchBus says that the bus lives each time that it answers, until ctx ends.
func watchBus(ctx context.Context, conn *client.Conn, alive func()) error {
	again := time.NewTicker(busPing)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			if conn.Flush() == nil {
				alive()
			}
		}
	}
}

// historyLook is how often the history is looked for: it may be lost later, and with it who would make it anew.
const historyLook = 30 * time.Second

// keepHistory makes the history on a server that is not ours, also where it was lost. One without JetStream is said once, and all
// but the history works there.
func keepHistory(ctx context.Context, conn *client.Conn, log zerolog.Logger, look time.Duration) {
	if conn.Embedded() {
		return // it has made it
	}
	retry := time.Second // a cluster that elects its leader needs a few
	for said := ""; ; {
		err, wait := client.EnsureHistory(ctx, conn), look
		switch {
		case err == nil:
			said, retry = "", time.Second
		case ctx.Err() != nil || err.Error() == said:
		case errors.Is(err, client.ErrNoHistory): // or it is one that starts
			said = err.Error()
			log.Warn().Msg("this NATS server has no JetStream: no history is kept (`vmscaler events`)")
		default:
			said = err.Error()
			log.Warn().Err(err).Msg("no history is kept")
		}
		if err != nil && !errors.Is(err, client.ErrNoHistory) {
			wait, retry = min(look, retry), 2*min(look, retry)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
