package server

import (
	"crypto/x509"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vmscaler/vmscaler/bus/internal/throttle"
)

// For the tests of package server_test.
const (
	MaxConnections      = maxConnections
	MaxPending          = maxPending
	MaxSubscriptions    = maxSubscriptions
	MaxTapPending       = maxTapPending
	MaxTapSubscriptions = maxTapSubscriptions
	MaxTaps             = maxTaps
	MaxTapsPending      = maxTapsPending
	StageUser           = stageUser
)

var (
	Guard           = guard
	MakeCredentials = makeCredentials
	OpenState       = openState
	ReadCredentials = readCredentials
	StateLockPath   = stateLockPath
	TooGreedy       = tooGreedy
)

func (c *Cluster) OwnAddress(leaf *x509.Certificate) string { return c.ownAddress(leaf) }

func (s *Server) NS() *server.Server        { return s.ns }
func (s *Server) Lines() *throttle.Throttle { return s.lines }
func (s *Server) Password() string          { return s.password }
