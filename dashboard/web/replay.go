package web

import (
	"context"
	"errors"
	"net/http"
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
)

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
	select {
	case s.replays <- struct{}{}:
		defer func() { <-s.replays }()
	default:
		return nil, problem(ReasonBusy, "the past of a group is being replayed already: ask again in a moment")
	}
	ctx, cancel := context.WithTimeout(r.Context(), replayWithin)
	defer cancel()
	var minutes []bus.Demand
	err := client.ReadDemand(ctx, b.Operator, group, s.c.Now().Add(-replayed), func(m bus.Demand) error {
		minutes = append(minutes, m)
		return nil
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // problemOf knows it
	}
	if len(minutes) == 0 {
		return nil, problem(ReasonState, "nothing is recorded of group %s yet: a decider does so, minute by minute", group)
	}
	answer, err := s.c.Replay(ctx, group, minutes, s.bootOf(group))
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, problem(ReasonSilent, "it takes longer than %s: `vmscaler simulate --history %s` has the time", replayWithin, group)
	}
	return answer, err
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
