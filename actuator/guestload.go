package actuator

import (
	"context"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	loadEvery    = 10 * time.Second // between two rounds of asking guests for their load
	askLoadAgain = time.Minute      // an agent that did not answer is not asked again before
)

// guestLoads is what is known of when to ask guests for their load.
type guestLoads struct {
	asked time.Time            // the last round
	rest  map[string]time.Time // until when VMs are not asked, by UUID
}

// toAsk are the VMs, of the last snapshot, whose guests' load a group is scaled on, and of those the ones to ask now; none before
// it is time.
func (a *Actuator) toAsk(now time.Time) (vms []vm.VM) {
	if now.Sub(a.loads.asked) < loadEvery {
		return nil
	}
	for _, v := range a.seen {
		g := a.groups[v.Meta.Group]
		if g == nil || !g.spec.Policy.FollowsLoad() || !v.Meta.Phase.Serves() || v.State != bus.StateRunning {
			continue
		}
		if p := a.liveness[v.UUID]; p != nil && !p.silent.IsZero() || now.Before(a.loads.rest[v.UUID]) {
			continue
		}
		vms = append(vms, v)
	}
	return vms
}

// saidLoads takes what the guests said, and is what is published of each group that follows it.
func (a *Actuator) saidLoads(got vm.Loads) (all []bus.GuestLoad) {
	for uuid := range a.loads.rest {
		if a.seen[uuid].UUID == "" || !a.cfg.Now().Before(a.loads.rest[uuid]) {
			delete(a.loads.rest, uuid)
		}
	}
	for uuid := range got.Silent {
		if got.Silent[uuid] {
			a.loads.rest[uuid] = a.cfg.Now().Add(askLoadAgain)
		}
	}
	for name, g := range a.groups {
		if !g.spec.Policy.FollowsLoad() {
			continue
		}
		l := bus.GuestLoad{
			V: bus.Version, Group: name, HostID: a.hostID, Time: got.At.UTC(), Percent: map[string]float64{}, Unknown: map[string]string{},
		}
		for _, v := range a.seen {
			if v.Meta.Group != name || !v.Meta.Phase.Serves() || v.State != bus.StateRunning {
				continue
			}
			if percent, known := got.Percent[v.UUID]; known {
				l.Percent[v.UUID] = percent
				continue
			}
			l.Unknown[v.UUID] = "its guest agent does not answer"
			if why := got.Unknown[v.UUID]; why != "" {
				l.Unknown[v.UUID] = why
			}
		}
		all = append(all, l)
	}
	return all
}

// askLoads asks the guests for their load where a group follows it, unless that goes on.
func (s *session) askLoads(ctx context.Context) error {
	vms := s.toAsk(s.cfg.Now())
	if len(vms) == 0 || s.askingLoads {
		return nil
	}
	if err := s.lv.Ref(); err != nil {
		return fmt.Errorf("ask the guests for their load: %w", err)
	}
	s.askingLoads, s.loads.asked = true, s.cfg.Now()
	go func() { s.loaded <- vm.AskLoads(ctx, s.lv, s.manager.Calls, vms) }()
	return nil
}

// publishLoads publishes what the guests have said. A lost one is followed by the next.
func (s *session) publishLoads(got vm.Loads) {
	for _, l := range s.saidLoads(got) {
		if err := s.conn.Publish(&l); err != nil {
			s.log.Debug().Err(err).Str("group", l.Group).Msg("the guests' load is lost")
		}
	}
}
