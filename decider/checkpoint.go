package decider

import (
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// checkpoint is what is kept of a group for the decider that leads after this one.
type checkpoint struct {
	Desired        int          `json:"desired"`
	BreachesOut    int          `json:"breaches_out"`
	BreachesIn     int          `json:"breaches_in"`
	LastOut        time.Time    `json:"last_out"`
	LastChange     time.Time    `json:"last_change"`
	Hosts          []bus.HostID `json:"host_ids"`
	Numbers        Numbers      `json:"numbers,omitempty"`
	Time           time.Time    `json:"time"`
	BootTimes      BootTimes    `json:"boots"`
	Handovers      Handovers    `json:"handovers,omitzero"`
	Warmup         Warmup       `json:"warmup"`
	Policy         PolicyStates `json:"policy,omitempty"`
	Shadows        Shadows      `json:"shadows,omitempty"`
	Limits         LimitState   `json:"guards"`
	ScheduleSeenAt time.Time    `json:"scheduled"`
	Wake           Wake         `json:"wake,omitzero"`
	Orders         Orders       `json:"orders,omitempty"`
	Attach         Attachments  `json:"attach,omitempty"`
	Standings      Standings    `json:"hosts,omitempty"`
	Balancing      Balancing    `json:"balancing,omitzero"`
}

func newCheckpoint(st State, now time.Time) checkpoint {
	return checkpoint{
		st.Desired,
		st.BreachesOut,
		st.BreachesIn,
		st.LastOut.UTC(),
		st.LastChange.UTC(),
		st.Hosts,
		st.Numbers,
		now.UTC(),
		st.BootTimes,
		st.Handovers,
		st.Warmup,
		st.Policy,
		st.Shadows,
		st.Limits,
		st.ScheduleSeenAt.UTC(),
		st.Wake,
		st.Orders,
		st.Attach,
		st.Standings,
		st.Balancing,
	}
}

// worthSaving reports whether the checkpoint says something else than what was saved. Breaches change all the time, and
// the next leader has them from the last decision.
func (c checkpoint) worthSaving(saved checkpoint) bool {
	return c.Desired != saved.Desired || !c.LastOut.Equal(saved.LastOut) || !c.LastChange.Equal(saved.LastChange) ||
		c.Wake.worthSaving(saved.Wake) || !slices.Equal(c.Hosts, saved.Hosts) ||
		!maps.EqualFunc(c.Numbers, saved.Numbers, slices.Equal[[]int]) ||
		!maps.EqualFunc(c.Orders, saved.Orders, func(a, b bus.VMOrder) bool { return a.Same(&b) }) ||
		!slices.EqualFunc(c.Attach, saved.Attach, bus.Attachment.Same) ||
		!maps.EqualFunc(c.Standings, saved.Standings, Standing.same) ||
		c.Time.Sub(saved.Time) >= rememberEvery || c.Time.Before(saved.Time)
}

// recall is the state of a group for one who begins to lead: as it was kept, or, if that is newer, as the decision
// that was heard last says; both only while they are young enough.
func recall(kept checkpoint, heard *bus.Decision, controls bus.Controls, now time.Time) State {
	st := State{Controls: controls, Orders: kept.Orders, Attach: kept.Attach, Wake: kept.Wake} // which end by themselves
	// Another decider's clock may be ahead.
	age := now.Sub(kept.Time).Abs()
	if age < checkpointAge {
		st.Numbers, st.Standings = kept.Numbers, kept.Standings.recalled(now)
		st.PreviousDesired, st.LastOut, st.LastChange, st.Hosts = &kept.Desired, kept.LastOut, kept.LastChange, kept.Hosts
		st.BreachesOut, st.BreachesIn = kept.BreachesOut, kept.BreachesIn
		st.Limits, st.ScheduleSeenAt, st.Balancing = kept.Limits, kept.ScheduleSeenAt, kept.Balancing
	}
	if age < learnedAge {
		st.BootTimes, st.Handovers, st.Warmup = kept.BootTimes, kept.Handovers, kept.Warmup
		st.Policy, st.Shadows = kept.Policy, kept.Shadows
	}
	if heard == nil || !heard.HasSample || !heard.Time.After(kept.Time) || now.Sub(heard.Time) >= checkpointAge {
		return st
	}
	st.PreviousDesired, st.Orders, st.Attach = &heard.Desired, heard.Orders, heard.Attach
	st.Standings.leasedBy(heard.Shares)
	if until := heard.Inputs.WokenUntil; until != nil && until.After(st.Wake.Until) {
		st.Wake.Until = *until
	}
	st.BreachesOut, st.BreachesIn = 0, 0
	switch heard.Rule { //nolint:exhaustive // the others count nothing
	case bus.RuleAboveUpper:
		st.BreachesOut = heard.Inputs.Breaches
	case bus.RuleBelowLower:
		st.BreachesIn = heard.Inputs.Breaches
	}
	switch heard.Direction {
	case bus.Out:
		st.LastOut, st.LastChange = heard.Time, heard.Time
	case bus.In:
		st.LastChange = heard.Time
	case bus.Hold:
	}
	st.Hosts = slices.Sorted(maps.Keys(heard.Shares))
	st.Numbers = maps.Clone(st.Numbers)
	for id, share := range heard.Shares { // those that it has given since, which its VMs do not show yet
		if len(share.Numbers) == 0 {
			continue
		}
		if st.Numbers == nil {
			st.Numbers = Numbers{}
		}
		st.Numbers[id] = slices.Compact(slices.Sorted(slices.Values(slices.Concat(st.Numbers[id], share.Numbers))))
	}
	return st
}
