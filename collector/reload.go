package collector

import (
	"context"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Reload has other groups hold from the next samples on, and returns when they do. VMs of a group that has left are read no
// more.
func (c *Collector) Reload(ctx context.Context, r bus.Reload) error { return c.reloads.Reload(ctx, r) }

func (c *Collector) reload(r client.Handed) {
	c.setGroups(r.Groups)
	r.Done()
}

func (c *Collector) setGroups(groups []bus.Group) {
	c.cfg.Groups = groups
	clear(c.hashes)
	clear(c.rates)
	for _, g := range groups {
		c.hashes[g.Name], c.rates[g.Name] = g.Hash(), g.Policy.FollowsRates()
	}
}
