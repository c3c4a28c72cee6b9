package decider

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

const clusterKey = "cluster"

// clusterAfter is for how long a decider of a bus that keeps no cluster yet listens to which one its hosts belong to. Each stage
// gives a sign of life within that.
const clusterAfter = silentAfter

// cluster is the name of the cluster that a decider belongs to, which is in each of its decisions.
type cluster struct {
	id    string    // "": not known yet, or the bus keeps no state
	term  int64     // in which it was looked up
	since time.Time // since when this decider leads a cluster without one; zero: it does not
}

// ofCluster reports whether a decision is of this decider's cluster. One that knows none yet goes by what it hears.
func (d *Decider) ofCluster(other bus.Decision) bool {
	switch {
	case other.ClusterID == "", other.ClusterID == d.cluster.id:
		return true
	case d.cluster.id == "":
		d.cluster.id = other.ClusterID
		return true
	}
	d.conn.Drop(other.Subject(), fmt.Errorf("it is of cluster %s, and this decider belongs to %s", other.ClusterID, d.cluster.id))
	return false
}

// loadCluster reads, once in a term, which cluster the bus is. Of a bus that has lost it the cluster is as it was.
func (d *Decider) loadCluster(ctx context.Context, now time.Time) error {
	if d.cluster.term == d.term {
		return nil
	}
	var id string
	err := d.conn.Load(ctx, clusterKey, &id)
	switch {
	case errors.Is(err, client.ErrNotKept), errors.Is(err, client.ErrNoStore) && d.conn.Clustered(): // it may have one yet
		d.cluster.since = now
	case errors.Is(err, client.ErrNoStore):
	case err != nil:
		return fmt.Errorf("read which cluster it is: %w", err)
	default:
		if err := bus.CheckClusterID(id); err != nil {
			return fmt.Errorf("read which cluster it is: %w", err)
		}
		d.cluster = cluster{id: id}
	}
	d.cluster.term = d.term
	return nil
}

// nameCluster keeps which cluster the bus is, where it keeps none: the one that its hosts belong to already, as of a bus that has
// lost its state, or else a new one.
func (d *Decider) nameCluster(ctx context.Context, now time.Time) {
	c := &d.cluster
	if c.since.IsZero() || c.term != d.term || d.term == 0 || c.id == "" && now.Sub(c.since) < clusterAfter {
		return
	}
	id := c.id
	if id == "" {
		id = commonCluster(d.stages)
	}
	if id == "" {
		id = bus.NewClusterID()
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := d.conn.SaveFirst(ctx, clusterKey, id)
	switch {
	case errors.Is(err, client.ErrKept): // another decider has named it
		c.since, c.term = time.Time{}, 0
		if err := d.loadCluster(ctx, now); err != nil {
			c.since, c.term = now, d.term // try again
			d.log.Debug().Err(err).Msg("which cluster the bus is was not read")
		}
	case err != nil:
		c.since = now // try again
		d.log.Debug().Err(err).Msg("which cluster the bus is was not kept")
	default:
		c.id, c.since = id, time.Time{}
		d.log.Info().Str("cluster_id", id).Msg("the bus has its name, which its hosts keep")
	}
}

// commonCluster is the cluster that most hosts belong to, as their actuators say; "": none of them belongs to one.
func commonCluster(stages map[string]bus.Health) string {
	hosts, best := map[string]int{}, ""
	for _, h := range stages {
		if h.Acts != nil && h.Stage == string(bus.RoleActuator) && h.Acts.ClusterID != "" {
			hosts[h.Acts.ClusterID]++
		}
	}
	for id, n := range hosts {
		if n > hosts[best] || n == hosts[best] && id < best {
			best = id
		}
	}
	return best
}
