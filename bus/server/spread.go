package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// shared is what the members of a cluster know together of one agent.
type shared struct {
	agent Agent     // of one that is let in
	gone  bool      // its right was taken away
	at    time.Time // when that was
}

// spreading is what one member does so that it lets in whom the others let in.
type spreading struct {
	put    []Agent  // to be told to the others
	drop   []string // the others are told that they are gone
	write  []Agent  // to be written to the state folder
	remove []string // to be taken out of it
}

// spread compares the state folder with what the members know together. before is what this member has let in when both were the
// same last: one of it that the folder has no more was taken away here. Of two agents of one name the newer one stays.
func spread(folder, before map[string]Agent, all map[string]shared) (s spreading) {
	for _, name := range slices.Sorted(maps.Keys(folder)) {
		own := folder[name]
		switch other, known := all[name]; {
		case !known, other.gone && own.Added.After(other.at), !other.gone && own.Added.After(other.agent.Added):
			s.put = append(s.put, own)
		case other.gone:
			s.remove = append(s.remove, name)
		case other.agent.Added.After(own.Added):
			s.write = append(s.write, other.agent)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		_, here := folder[name]
		_, was := before[name]
		switch other := all[name]; {
		case here || other.gone:
		case was && !other.agent.Added.After(before[name].Added):
			s.drop = append(s.drop, name)
		default:
			s.write = append(s.write, other.agent)
		}
	}
	return s
}

// spreader has the members of a cluster let in the same agents.
type spreader struct {
	conn     *client.Conn
	stateDir string

	kv     jetstream.KeyValue // nil until it is there
	before map[string]Agent

	mu  sync.Mutex
	all map[string]shared // nil until all of it is known
}

// open finds what is known together, and follows it until ctx ends.
func (s *spreader) open(ctx context.Context) error {
	js, err := jetstream.New(s.conn.NATS())
	if err != nil {
		return fmt.Errorf("bus: agents: %w", err)
	}
	looking, cancel := context.WithTimeout(ctx, keepTry)
	defer cancel()
	kv, err := js.KeyValue(looking, bus.AgentsBucket)
	if err != nil {
		return fmt.Errorf("bus: agents: %w", err)
	}
	watch, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("bus: agents: %w", err)
	}
	s.kv = kv
	go s.follow(watch)
	return nil
}

// follow keeps what the others say, which is all of it at first.
func (s *spreader) follow(watch jetstream.KeyWatcher) {
	known := map[string]shared{}
	for entry := range watch.Updates() {
		if entry == nil { // that was all there is
			s.mu.Lock()
			s.all = known
			s.mu.Unlock()
			continue
		}
		one := shared{gone: entry.Operation() != jetstream.KeyValuePut, at: entry.Created()}
		if !one.gone && (json.Unmarshal(entry.Value(), &one.agent) != nil || one.agent.check() != nil) {
			continue // of a later version
		}
		one.agent.Name = entry.Key()
		s.mu.Lock()
		known[entry.Key()] = one
		s.mu.Unlock()
	}
}

// step brings the state folder and the others to the same, as far as that can be done now.
func (s *spreader) step(ctx context.Context) error {
	if s.kv == nil {
		if err := s.open(ctx); err != nil {
			return nil // the cluster keeps nothing yet, which it says by itself
		}
	}
	s.mu.Lock()
	all := maps.Clone(s.all)
	s.mu.Unlock()
	if all == nil {
		return nil
	}
	folder := map[string]Agent{}
	agents, bad := Agents(s.stateDir)
	if bad != nil {
		return nil // who looks at the folder says it; one that cannot be read is not gone
	}
	for _, a := range agents {
		folder[a.Name] = a
	}
	ctx, cancel := context.WithTimeout(ctx, keepTry)
	defer cancel()
	return s.do(ctx, spread(folder, s.before, all), folder)
}

func (s *spreader) do(ctx context.Context, to spreading, folder map[string]Agent) (err error) {
	for _, a := range to.put {
		data, bad := json.Marshal(a)
		if bad == nil {
			_, bad = s.kv.Put(ctx, a.Name, data)
		}
		err = errors.Join(err, bad)
	}
	for _, name := range to.drop {
		err = errors.Join(err, s.kv.Delete(ctx, name))
	}
	for _, a := range to.write {
		err = errors.Join(err, writeState(agentFile(s.stateDir, agentsFolder, a.Name), a))
		folder[a.Name] = a
	}
	for _, name := range to.remove {
		err = errors.Join(err, os.Remove(agentFile(s.stateDir, agentsFolder, name)))
		delete(folder, name)
	}
	if err != nil {
		return fmt.Errorf("bus: agents of the cluster: %w", err)
	}
	s.before = folder
	return nil
}
