package notify

import (
	"slices"
	"time"
)

// floodWindow is for how long there is one message of a kind and a group, or a stage, at most.
const floodWindow = time.Minute

// maxFlows bounds how many kinds and groups are told apart.
const maxFlows = 1000

// flood lets the first message of a kind and a group through at once, and those that come within the next minute as one at
// its end.
type flood struct{ flows map[flowKey]*flow }

type flowKey struct {
	kind            Kind
	group           string
	stage, instance string
}

type flow struct {
	until time.Time
	count int // held back since
	last  Message
}

func newFlood() *flood { return &flood{map[flowKey]*flow{}} }

// take is what of a message is to be sent now.
func (f *flood) take(m Message, now time.Time) []Message {
	out := f.due(now)
	key := flowKey{m.Kind, m.Group, m.Stage, m.Instance}
	if known := f.flows[key]; known != nil {
		known.count, known.last = known.count+1, m
		return out
	}
	if len(f.flows) >= maxFlows { // somebody invents groups
		key = flowKey{kind: m.Kind}
		if known := f.flows[key]; known != nil {
			known.count, known.last = known.count+1, m
			return out
		}
	}
	f.flows[key] = &flow{until: now.Add(floodWindow)}
	return append(out, m)
}

// due is what was held back until now.
func (f *flood) due(now time.Time) (out []Message) {
	for key, one := range f.flows {
		if now.Before(one.until) {
			continue
		}
		if one.count == 0 {
			delete(f.flows, key)
			continue
		}
		out = append(out, one.last.times(one.count, floodWindow))
		*one = flow{until: now.Add(floodWindow)}
	}
	slices.SortFunc(out, func(a, b Message) int { return a.Time.Compare(b.Time) })
	return out
}
