package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// withoutEffect are those of a group's fields that do nothing beside the others.
func (c Config) withoutEffect(i int) (warnings []Warning) {
	g, path := c.Groups[i], fmt.Sprintf("groups[%d].", i)
	add := func(field, text, remedy string) { warnings = append(warnings, c.Warning(path+field, text, remedy)) }
	asks := false
	for n, o := range g.ScaleIn {
		asks = asks || o.Hook() != ""
		if n+1 < len(g.ScaleIn) && (o == bus.ScaleInNewest || o == bus.ScaleInOldest) {
			add("scale_in", fmt.Sprintf("what follows %s never decides, as no two VMs are of the same age", o), "put "+string(o)+" last")
		}
	}
	if !asks && g.VictimHook != bus.DefaultGroup().VictimHook {
		add("victim_hook", "nobody is asked, as scale_in has no hook", "add hook:NAME to scale_in, or take victim_hook out")
	}
	if g.Rebalance != bus.RebalanceOff && !g.Rebalances() {
		add("rebalance", "nothing moves, as placement: pack wants the VMs on as few hosts as possible", "take one of the two out")
	}
	most := g.Ceiling(bus.Controls{})
	for n, a := range g.Schedule {
		beyond := schedule.Beyond(a, most)
		for _, field := range slices.Sorted(maps.Keys(beyond)) {
			add(fmt.Sprintf("schedule[%d].%s", n, field), beyond[field], schedule.WantUpToMost)
		}
	}
	return warnings
}
