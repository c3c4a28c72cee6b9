package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Cluster is how a bus is one of several that are one to their clients: each keeps all that is kept, and where most of them are
// there, they go on without the others.
type Cluster struct {
	// Name is this member's own: no two members have the same, and it must stay.
	Name string
	// Listen is the HOST:PORT where it takes the other members' connections.
	Listen string
	// Members are the HOST:PORT of all members, this one among them or not.
	Members []string
	// CA is a file (PEM) with the certificates that the members' must be from, for which they show Config.Cert: by it they know
	// each other, both ways. With "" the members are all on loopback.
	CA string
}

// MemberCount is how many members a cluster has: with three one may be gone.
const MemberCount = 3

// ClusterName is the name of the cluster among NATS servers.
const ClusterName = "vmscaler"

// Between members: how long one may say nothing, and how often what is kept is looked for until it is there.
const (
	routePing = time.Second
	keepRetry = time.Second
	keepTry   = 5 * time.Second
)

// check reports what is wrong with it.
func (c *Cluster) check(cfg Config) error {
	switch {
	case !agentName.MatchString(c.Name):
		return fmt.Errorf("bus: cluster: name: found %q, want 1 to 64 letters, digits, dots, hyphens and underscores", c.Name)
	case cfg.StateDir == "":
		return errors.New("bus: cluster: found no state folder, want one: members keep what the others keep")
	case len(c.Members) != MemberCount:
		return fmt.Errorf("bus: cluster: members: found %d, want %d", len(c.Members), MemberCount)
	case c.CA != "" && cfg.Cert == "":
		return errors.New("bus: cluster: found a CA and no certificate of this member's own, want both")
	}
	for _, address := range append([]string{c.Listen}, c.Members...) {
		host, port, err := bus.SplitListen(address)
		switch {
		case err != nil:
			return fmt.Errorf("bus: cluster: %w", err)
		case port == 0:
			return fmt.Errorf("bus: cluster: %q: want a port that the other members know", address)
		case c.CA == "" && !bus.IsLoopback(host):
			return fmt.Errorf("bus: cluster: %q: only loopback is allowed without a CA (bus.cluster.ca): whoever connects as "+
				"a member may "+
				"do everything", address)
		}
	}
	return nil
}

// use has a server be a member.
func (c *Cluster) use(options *server.Options, cfg Config, live *liveCertificate) error {
	host, port, err := bus.SplitListen(c.Listen)
	if err != nil {
		return fmt.Errorf("bus: cluster: %w", err)
	}
	options.ServerName = client.ServerName + "-" + c.Name
	options.Cluster = server.ClusterOpts{
		Name: ClusterName, Host: host, Port: port, ConnectRetries: 1, PoolSize: -1,
		PingInterval: routePing, MaxPingsOut: client.PingsOutstanding,
	}
	scheme := "nats"
	if c.CA != "" && live != nil {
		scheme = "tls"
		options.Cluster.TLSTimeout = 5
		options.Cluster.TLSCheckKnownURLs = true // a certificate of that CA for another name is no member's
		options.Cluster.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{
			CertFile: cfg.Cert, KeyFile: cfg.Key, CaFile: c.CA, Verify: true,
		})
		if err != nil {
			return fmt.Errorf("bus: cluster: TLS: %w", err)
		}
		live.show(options.Cluster.TLSConfig)
		options.Cluster.Advertise = c.ownAddress(live.leaf())
		options.Cluster.TLSConfig.RootCAs = options.Cluster.TLSConfig.ClientCAs
	}
	for _, member := range c.Members {
		options.Routes = append(options.Routes, &url.URL{Scheme: scheme, Host: member})
	}
	// What one server alone has kept is none of the cluster's, which would delete it.
	options.StoreDir = filepath.Join(cfg.StateDir, "jetstream-cluster")
	return nil
}

// ownAddress is which of the members' addresses is this one's: at the port where it listens, by its name or else by what its
// certificate is for; "" where none is, or several are. Members tell each other where they are, and what they know by another
// address, as by its IP, they connect to again and again, where the certificate is not for that.
func (c *Cluster) ownAddress(leaf *x509.Certificate) string {
	_, port, err := bus.SplitListen(c.Listen)
	if err != nil {
		return ""
	}
	var own []string
	for _, member := range c.Members {
		host, at, err := bus.SplitListen(member)
		switch {
		case err != nil || at != port:
		case host == c.Name:
			return member
		case leaf.VerifyHostname(host) == nil:
			own = append(own, member)
		}
	}
	if len(own) != 1 {
		return ""
	}
	return own[0]
}

// advertise has clients learn of this member by a name that its certificate is for, as they check that.
func (s *Server) advertise(options *server.Options) {
	if s.cert == nil {
		return
	}
	if i := slices.IndexFunc(s.cert.DNSNames, func(n string) bool {
		return !bus.IsLoopback(n) && !strings.Contains(n,
			"*")
	}); i >= 0 {
		options.ClientAdvertise = net.JoinHostPort(s.cert.DNSNames[i], strconv.Itoa(options.Port))
	}
}

// keepInCluster makes what is kept as soon as all members are there for the first time, until stop: until then none of them can.
func (s *Server) keepInCluster(log zerolog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for said := ""; ; {
			err := s.keepOnce(ctx, log)
			if err == nil || ctx.Err() != nil {
				return
			}
			if text := err.Error(); text != said {
				said = text
				log.Warn().Err(err).Msg("bus: the cluster keeps nothing yet; at its first start it waits for all members")
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(keepRetry):
			}
		}
	}()
	return sync.OnceFunc(func() { cancel(); <-done })
}

func (s *Server) keepOnce(ctx context.Context, log zerolog.Logger) error {
	conn, err := s.Connect("bus-store", log)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, keepTry)
	defer cancel()
	return errors.Join(client.EnsureHistory(ctx, conn), client.EnsureStore(ctx, conn, client.LockTTL), client.EnsureAgents(ctx,
		conn))
}
