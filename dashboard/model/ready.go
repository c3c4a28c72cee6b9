package model

import "time"

// Unready is why what the model has is not to be relied on, "" where it is: a sample and a decision of each group have come
// lately.
func (m *Model) Unready(now time.Time) string {
	groups := m.Groups()
	if len(groups) == 0 {
		return "nothing was heard of any group yet"
	}
	for _, g := range groups {
		if _, holds := g.DecisionAge(now); !holds {
			return "group " + g.Name() + " has no decision that holds"
		}
		fresh := false
		for _, h := range g.Hosts() {
			fresh = fresh || !h.Stale(now)
		}
		if !fresh {
			return "group " + g.Name() + " has no fresh sample"
		}
	}
	return ""
}
