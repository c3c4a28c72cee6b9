package decider

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// tellStandings puts into the history which hosts of a group stand elsewhere than before.
func (d *Decider) tellStandings(g *group, before Standings, now time.Time) {
	for _, h := range g.seen.Hosts {
		was, is := before[h.ID].State, g.state.Standings[h.ID]
		if was == is.State || was == "" && is.State == bus.HostUp {
			continue
		}
		sentence := fmt.Sprintf("host %s is %s", is.Name, is.State)
		if is.Reason != "" {
			sentence += ": " + is.Reason
		}
		event := bus.Event{Sentence: sentence, Host: is.Name}
		if h.Order != nil && !is.State.Troubled() {
			event.By, event.Reason = h.Order.By, h.Order.Reason
		}
		d.tellOfHost(g, event, now)
	}
}

// tellOfHost puts what has become of a host into the history of a group, and into the log.
func (d *Decider) tellOfHost(g *group, event bus.Event, now time.Time) {
	event.V, event.Group, event.Event, event.Time = bus.Version, g.spec.Name, bus.EventHost, now.UTC()
	if err := d.conn.Publish(&event); err != nil {
		d.log.Debug().Err(err).Msg("event lost")
	}
	d.log.Info().Str("group", g.spec.Name).Msg(event.Sentence)
}

// lostHosts are the hosts of a group that are lost, as problems.
func (g *group) lostHosts() (all bus.Troubles) {
	for _, h := range g.seen.Hosts {
		if s := g.state.Standings[h.ID]; s.State == bus.HostLost {
			all.Add(bus.ProblemHostLost, s.Name, fmt.Sprintf("group %s: host %s is lost since %s: %s", g.spec.Name, s.Name,
				s.Since.UTC().Format(time.RFC3339), s.Reason))
		}
	}
	return all
}
