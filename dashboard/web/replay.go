package web

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// Replay is what policies would have made of what was asked of a group lately.
type Replay struct {
	Group   string    `json:"group"`
	From    time.Time `json:"from"`
	Minutes int       `json:"minutes"` // from then on
	// UnknownPercent is the share of that time of which nothing is known, SaturatedPercent that in which the VMs were full, so that
	// more may have been asked.
	UnknownPercent   float64    `json:"unknown_percent"`
	SaturatedPercent float64    `json:"saturated_percent"`
	Policies         []Replayed `json:"policies"`
}

// Replayed is one policy in it. Lower is better.
type Replayed struct {
	Policy         string  `json:"policy"` // own is that of the config, recorded what the group did
	VMHours        float64 `json:"vm_hours"`
	ActionsPerHour float64 `json:"actions_per_hour"` // creations and removals
	LostPercent    float64 `json:"lost_percent"`     // of the demand, above what the ready VMs can do
	HighPercent    float64 `json:"high_percent"`     // of the demand, while the CPU was above 90 %
	Cost           float64 `json:"cost"`             // for each VM-hour of one that knows the future
}

const (
	replayed     = 24 * time.Hour   // of the past
	replayWithin = 25 * time.Second // less than an answer may take in all
	replayFor    = time.Minute      // for so long an answer is repeated to all who ask: a minute is what one more is recorded in
	replayRest   = 3                // times as long as a replay has taken none begins
)

// replays are the pasts that were replayed lately. One at a time is: it takes a core of the host, which the stages and the VMs
// have a use for, and everybody on loopback may ask. So after each there is a rest.
type replays struct {
	mu      sync.Mutex
	began   time.Time // of the one that goes on; zero: none does
	rest    time.Time // until when none begins
	answers map[string]replayAnswer
}

type replayAnswer struct {
	at time.Time
	Replay
}

// begin is the answer for a group that is known, or else the begin of a replay, which ends with end, or why there is none.
func (r *replays) begin(group string, now time.Time) (*Replay, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, known := r.answers[group]; known && now.Sub(a.at) < replayFor {
		return &a.Replay, nil
	}
	if !r.began.IsZero() {
		return nil, busyFor(time.Second, "the past of a group is being replayed already: ask again in a moment")
	}
	if rest := r.rest.Sub(now); rest > 0 {
		return nil, busyFor(rest, "the past of a group was just replayed, which takes a core of the host: ask again in a moment")
	}
	r.began = now
	return nil, nil
}

// end ends a replay, with its answer; nil: there is none.
func (r *replays) end(group string, answer *Replay, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest, r.began = now.Add(replayRest*now.Sub(r.began)), time.Time{}
	maps.DeleteFunc(r.answers, func(_ string, a replayAnswer) bool { return now.Sub(a.at) >= replayFor })
	if answer != nil {
		r.answers[group] = replayAnswer{now, *answer}
	}
}

// replay reads what was asked of a group, and has policies replay it, one group at a time.
func (s *Server) replay(r *http.Request) (any, error) {
	group := r.PathValue("group")
	if err := bus.CheckGroupName(group); err != nil {
		return nil, problem(ReasonMalformed, "group: %s", err)
	}
	costly := r.Clone(r.Context())
	costly.Method = http.MethodPost // a page of another origin may ask for what only reads, although it cannot read the answer
	if err := s.checkOrigin(costly); err != nil {
		return nil, err
	}
	b := s.bus.Load()
	switch why := s.unhealthy(); {
	case s.c.Replay == nil:
		return nil, problem(ReasonNobody, "this process replays nothing: `vmscaler simulate --history %s` does", group)
	case b == nil, why != "":
		return nil, problem(ReasonNoBus, "%s", why)
	case b.Operator == nil:
		return nil, problem(ReasonReadOnly, "the history needs an operator's credentials for the bus: %s", b.ReadOnly)
	}
	known, err := s.replays.begin(group, s.c.Now())
	if known != nil || err != nil {
		return known, err
	}
	var answer *Replay
	defer func() { s.replays.end(group, answer, s.c.Now()) }()
	ctx, cancel := context.WithTimeout(r.Context(), replayWithin)
	defer cancel()
	var minutes []bus.Demand
	err = client.ReadDemand(ctx, b.Operator, group, s.c.Now().Add(-replayed), func(m bus.Demand) error {
		minutes = append(minutes, m)
		return nil
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // problemOf knows it
	}
	if len(minutes) == 0 {
		return nil, problem(ReasonState, "nothing is recorded of group %s yet: a decider does so, minute by minute", group)
	}
	made, err := s.c.Replay(ctx, group, minutes, s.bootOf(group))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, problem(ReasonSilent, "it takes longer than %s: `vmscaler simulate --history %s` has the time", replayWithin, group)
	}
	if err != nil {
		return nil, err
	}
	answer = &made
	return answer, nil
}

// bootOf is how long the VMs of a group take to be ready by its newest decision, or else what a simulation takes for it.
func (s *Server) bootOf(group string) time.Duration {
	boot := 30 * time.Second
	s.read(func(m *model.Model, _ time.Time) {
		if g := m.Group(group); g != nil {
			if d, known := g.Decision(); known && d.Inputs.BootMS >= 1000 {
				boot = (time.Duration(d.Inputs.BootMS) * time.Millisecond).Round(time.Second)
			}
		}
	})
	return boot
}
