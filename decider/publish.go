package decider

import (
	"errors"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// publish makes a decision the newest of its term, and sends it.
func (d *Decider) publish(g *group, decision bus.Decision, now time.Time) {
	decision.Term, decision.Seq = d.term, d.numbers.Next()
	decision.ID = fmt.Sprintf("%s-%d-%d", g.spec.Name, decision.Term, decision.Seq)
	decision.Time = now.UTC()
	decision.ExpiresAt = now.Add(staleAfter(g.inForce.Policy.Interval, d.cfg.Tick)).UTC()
	decision.SpecHash, decision.ClusterID = g.hash, d.cluster.id
	g.decision, g.unfit = &decision, nil
	switch {
	case decision.Direction != bus.In:
		g.removed = ""
	case g.removed == "" || decision.Desired < decision.Current:
		g.removed = decision.ID
	}
	if decision.Desired != decision.Current {
		decision.SetTraceparent(d.cfg.Tracer.Decided(&decision, now))
	}
	// A decision to scale in is said again until it is done; the history wants it once.
	if err := d.conn.PublishOnce(&decision, g.removed); errors.Is(err, bus.ErrUnfit) {
		g.unfit = err
		d.report(now)
	} else if err != nil {
		d.log.Debug().Err(err).Str("group", g.spec.Name).Msg("decision lost, the next one says the same again")
	}
}
