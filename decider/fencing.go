package decider

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// fenceEvery is after how long a fence command that has failed is run again.
const fenceEvery = 30 * time.Second

// fencer runs the fence commands of lost hosts, each beside the loop.
type fencer struct {
	run     func(ctx context.Context, spec bus.Group, name string, id bus.HostID) error
	running sync.WaitGroup
	results chan fenced
	tried   map[fencedHost]time.Time // when each was begun last
}

type fencedHost struct {
	group string
	host  bus.HostID
}

// fenced is how one fence command has ended.
type fenced struct {
	fencedHost
	since time.Time // of the loss that it was run for
	err   error
}

func newFencer(run func(context.Context, bus.Group, string, bus.HostID) error) *fencer {
	return &fencer{run: run, results: make(chan fenced), tried: map[fencedHost]time.Time{}}
}

// wanting are the hosts of a group that are to be cut off before their VMs are replaced.
func (g *group) wanting() (ids []bus.HostID) {
	q := g.state.Standings.quorum(g.seen)
	if g.inForce.HostLoss != bus.LossReplaceAfterFence || q.partitioned() || g.inForce.DryRun || g.state.Controls.DryRun ||
		g.state.Controls.IsPaused(bus.ScopeRepair) {
		return nil
	}
	for _, h := range g.seen.Hosts {
		if s := g.state.Standings[h.ID]; s.State == bus.HostLost && !s.Fenced && s.Kept > 0 {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// fence begins the fence commands that are due.
func (d *Decider) fence(ctx context.Context, g *group, now time.Time) {
	f := d.fencer
	if f.run == nil {
		return
	}
	for _, id := range g.wanting() {
		key, s, spec := fencedHost{g.spec.Name, id}, g.state.Standings[id], g.inForce
		if tried, is := f.tried[key]; is && now.Sub(tried) < max(fenceEvery, spec.Fence.Timeout+fenceEvery/2) {
			continue
		}
		f.tried[key] = now
		d.log.Warn().Str("group", g.spec.Name).Str("host", s.Name).Msg("running the fence command")
		f.running.Go(func() {
			limited, cancel := context.WithTimeout(ctx, spec.Fence.Timeout)
			defer cancel()
			result := fenced{key, s.Since, f.run(limited, spec, s.Name, id)}
			select {
			case f.results <- result:
			case <-ctx.Done():
			}
		})
	}
}

// hasFenced takes a fence command's result. It holds only for the loss that it was run for.
func (d *Decider) hasFenced(r fenced) {
	g := d.groups[r.group]
	if g == nil {
		return
	}
	s, known := g.state.Standings[r.host]
	sentence := fmt.Sprintf("the fence command has cut host %s off", s.Name)
	switch {
	case !known || s.State != bus.HostLost || !s.Since.Equal(r.since):
		return
	case r.err != nil:
		sentence = fmt.Sprintf("the fence command for host %s has failed: %s; next try in %s",
			s.Name, bus.Line(r.err.Error()), fenceEvery)
	default:
		s.Fenced = true
		g.state.Standings = maps.Clone(g.state.Standings) // the last checkpoint has the same, and is to differ from now on
		g.state.Standings[r.host] = s
	}
	d.tellOfHost(g, bus.Event{Sentence: sentence, Host: s.Name}, d.cfg.Now())
}
