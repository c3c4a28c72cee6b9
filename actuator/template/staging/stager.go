package staging

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/template/fetch"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	lookEvery  = 5 * time.Second                    // between two looks at the pool while something is not there
	idleEvery  = 15 * time.Second                   // while all is
	peerAge    = 30 * time.Second                   // for how long another host counts that is not heard
	firstHeard = 2*bus.HealthInterval + time.Second // until others have been heard
	maxPeers   = bus.MaxHosts                       // that are remembered
	shunFor    = time.Hour                          // for how long a file is not had again from a host that has sent another one
	tick       = time.Second
	stopTime   = 10 * time.Second // for libvirt to return
)

// Config is what a Stager needs.
type Config struct {
	// Listen is the HOST:PORT where templates are handed out, "" for none: then none is fetched either, and what the pool has is
	// said all the same.
	Listen   string
	Dir      string // the folder that templates come into; it is made
	Pool     Pool
	Instance string           // of the actuator's health
	Now      func() time.Time // nil means the real clock

	lookEvery  time.Duration // 0 means that of the same name
	firstHeard time.Duration // likewise
	ticker     fetch.Ticker  // of what a transfer brings; nil means the real clock
}

// Stager looks after the templates of a host. Its methods are safe for concurrent use.
type Stager struct {
	cfg   Config
	log   zerolog.Logger
	own   tls.Certificate
	began time.Time
	wake  chan struct{}

	mu      sync.Mutex
	host    string // its name
	wanted  []Wanted
	peers   map[bus.HostID]peer
	met     time.Time // when the first of them was heard
	serves  *bus.TemplateServer
	sending map[string]bool // the fingerprints of those that a file is sent to
	said    []bus.HostTemplate
	told    []Step
}

// Step is something that has become of a template, to be told.
type Step struct {
	Template string
	Sentence string
	Error    string
	Elapsed  time.Duration
}

// New makes a Stager.
func New(cfg Config, log zerolog.Logger) (*Stager, error) {
	if cfg.Pool == nil || cfg.Listen != "" && cfg.Dir == "" {
		return nil, errors.New("staging: no pool, or no folder")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.lookEvery == 0 {
		cfg.lookEvery = lookEvery
	}
	if cfg.firstHeard == 0 {
		cfg.firstHeard = firstHeard
	}
	s := &Stager{
		cfg: cfg, log: log.With().Str("stage", "actuator").Logger(), began: cfg.Now(),
		wake: make(chan struct{}, 1), peers: map[bus.HostID]peer{}, sending: map[string]bool{},
	}
	if cfg.Listen == "" {
		return s, nil
	}
	var err error
	if s.own, err = newCertificate(); err != nil {
		return nil, fmt.Errorf("staging: %w", err)
	}
	s.serves = &bus.TemplateServer{Fingerprint: fingerprintOf(s.own.Certificate[0])}
	return s, nil
}

// Want sets which templates the host, which has a name, is to have.
func (s *Stager) Want(host string, wanted []Wanted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host = host; slices.Equal(s.wanted, wanted) {
		return
	}
	s.wanted = wanted
	var said []bus.HostTemplate
	for _, w := range wanted {
		i := slices.IndexFunc(s.said, func(t bus.HostTemplate) bool { return t.Name == w.Name })
		if i >= 0 {
			said = append(said, s.said[i])
		} else {
			said = append(said, bus.HostTemplate{Name: w.Name, State: bus.TemplateUnknown})
		}
	}
	s.said = order(said)
	select {
	case s.wake <- struct{}{}:
	default: // it is to look already
	}
}

// Hear takes what an actuator says. It counts for the host that it acts on, which the bus holds an agent to: an agent may choose
// its instance, so by that it could speak in place of others, or as many.
func (s *Stager) Hear(h bus.Health) {
	if h.Instance == s.cfg.Instance || h.Acts == nil || h.Acts.Serves == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	maps.DeleteFunc(s.peers, func(_ bus.HostID, p peer) bool { return !p.counts(now) })
	if len(s.peers) == 0 {
		s.met = now
	}
	if _, known := s.peers[h.Acts.HostID]; known || len(s.peers) < maxPeers {
		s.peers[h.Acts.HostID] = peer{*h.Acts.Serves, h.Acts.Templates, now}
	}
}

// heard are the hosts that count. The caller holds mu.
func (s *Stager) heard(now time.Time) map[bus.HostID]peer {
	peers := maps.Clone(s.peers)
	maps.DeleteFunc(peers, func(_ bus.HostID, p peer) bool { return !p.counts(now) })
	return peers
}

// Templates are how the host has what is wanted, as the last look shows it.
func (s *Stager) Templates() []bus.HostTemplate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// Serves is how others get templates from here; nil: not at all.
func (s *Stager) Serves() *bus.TemplateServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serves == nil {
		return nil
	}
	serves := *s.serves
	serves.Host = s.host
	return &serves
}

// Told are the steps since it was called last.
func (s *Stager) Told() []Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.told
	s.told = nil
	return told
}

func (s *Stager) announce(addresses []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serves.Addresses = addresses
}

func (s *Stager) tell(step Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, step)
}

// Run looks at the pool, gets what is missing, and hands out what is there, until ctx ends.
func (s *Stager) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	served := make(chan error, 1)
	if s.cfg.Listen == "" {
		served <- nil
	} else {
		go func() { served <- s.serve(ctx) }()
	}
	l := &loop{
		Stager: s, running: &running, transfers: map[string]*transfer{}, failures: map[string]failure{},
		shunned: map[shun]time.Time{}, waits: map[string]time.Time{}, changed: map[string]bool{}, came: map[string]bool{},
		looks: make(chan look, 1), ends: make(chan ended, atOnce),
	}
	l.run(ctx)
	cancel()
	gone := make(chan struct{})
	go func() { running.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-time.After(stopTime):
		s.log.Warn().Msg("a libvirt call about templates has not returned; it is given up")
	}
	return <-served
}

// look is what the pool has of what is wanted.
type look struct {
	infos map[string]template.Info
	err   error
}
