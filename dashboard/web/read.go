package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// PlacedVM is one VM, and where it is.
type PlacedVM struct {
	Group  string     `json:"group"`
	Host   string     `json:"host"`
	HostID bus.HostID `json:"host_id"`
	Time   time.Time  `json:"time"` // of the sample that this is of
	bus.VM
}

// HostState is one host, by the newest of its samples.
type HostState struct {
	HostID bus.HostID `json:"host_id"`
	Host   string     `json:"host"`
	Time   time.Time  `json:"time"`
	Silent bool       `json:"silent"` // the sample is old, and what it says may not hold any more
	Load   bus.Host   `json:"load"`
	Groups []string   `json:"groups"` // that have VMs on it, or may
	VMs    int        `json:"vms"`
	// ClockAheadS is by how many seconds its clock is ahead of the decider's, less than 0 where it is behind; null is unknown.
	ClockAheadS *float64 `json:"clock_ahead_s"`
}

// Happening is an event, or a decision that changed something.
type Happening = client.HistoryEntry

// Login is what a browser logs in with.
type Login struct {
	Token string `json:"token"`
}

const (
	eventsAtMost = 5000
	eventsUsual  = 200
	readHistory  = 10 * time.Second

	historiesAtOnce = 4
)

func (s *Server) status(*http.Request) (any, error) {
	all := bus.Status{V: bus.Version, Groups: []bus.GroupStatus{}, Stages: []bus.Health{}}
	err := s.look(func(m *model.Model, now time.Time) error {
		all.Time = now.UTC()
		for _, g := range m.Groups() {
			all.Groups = append(all.Groups, groupStatus(g))
		}
		for _, stage := range m.Stages() {
			if !stage.Silent(now) {
				all.Stages = append(all.Stages, stage.Health())
			}
		}
		return nil
	})
	return all, err
}

func groupStatus(g *model.Group) bus.GroupStatus {
	status := bus.GroupStatus{Group: g.Name(), Samples: []bus.Sample{}}
	if d, known := g.Decision(); known {
		status.Decision = &d
	}
	for _, h := range g.Hosts() {
		status.Samples = append(status.Samples, h.Sample())
		if ahead, known := g.ClockAhead(h); known {
			if status.ClockAheadS == nil {
				status.ClockAheadS = map[bus.HostID]float64{}
			}
			status.ClockAheadS[h.Sample().HostID] = ahead.Round(time.Millisecond).Seconds()
		}
	}
	return status
}

// look gives the model to look, while there is a bus to know it from.
func (s *Server) look(look func(*model.Model, time.Time) error) (err error) {
	if why := s.unhealthy(); why != "" {
		return problem(ReasonNoBus, "%s", why)
	}
	s.read(func(m *model.Model, now time.Time) { err = look(m, now) })
	return err
}

// lookAt is look for the group that a path names.
func (s *Server) lookAt(r *http.Request, look func(*model.Group, time.Time) error) error {
	return s.look(func(m *model.Model, now time.Time) error {
		g := m.Group(r.PathValue("group"))
		if g == nil {
			return noGroup(m, r.PathValue("group"))
		}
		return look(g, now)
	})
}

func noGroup(m *model.Model, name string) error {
	names := make([]string, 0, len(m.Groups()))
	for _, g := range m.Groups() {
		names = append(names, g.Name())
	}
	return problem(ReasonUnknown, "group: found %q, want one of %q", bus.Clip(name, 80), names)
}

func (s *Server) groups(*http.Request) (any, error) {
	all := []bus.GroupStatus{}
	err := s.look(func(m *model.Model, _ time.Time) error {
		for _, g := range m.Groups() {
			all = append(all, groupStatus(g))
		}
		return nil
	})
	return all, err
}

func (s *Server) group(r *http.Request) (answer any, err error) {
	err = s.lookAt(r, func(g *model.Group, _ time.Time) error { answer = groupStatus(g); return nil })
	return answer, err
}

func (s *Server) decision(r *http.Request) (any, error) {
	var newest bus.Decision
	err := s.lookAt(r, func(g *model.Group, _ time.Time) error {
		d, known := g.Decision()
		if !known {
			return problem(ReasonState, "group %s has no decision yet", g.Name())
		}
		newest = d
		return nil
	})
	return newest, err
}

func (s *Server) explain(r *http.Request) (any, error) {
	var newest bus.Decision
	var events []bus.Event
	err := s.look(func(m *model.Model, _ time.Time) error {
		g := m.Group(r.PathValue("group"))
		if g == nil {
			return noGroup(m, r.PathValue("group"))
		}
		d, known := g.Decision()
		if !known {
			return problem(ReasonState, "group %s has no decision yet", g.Name())
		}
		newest, events = d, eventsOf(m, g.Name())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.c.Explain(&newest, events), nil
}

// eventsOf are what the model remembers of a group's events.
func eventsOf(m *model.Model, group string) (events []bus.Event) {
	for _, e := range m.Entries() {
		if e.Group == group && !e.Decision {
			events = append(events, bus.Event{
				Group: e.Group, VM: e.VM, Event: e.Event, Sentence: e.Sentence, Error: e.Error, Time: e.Time,
			})
		}
	}
	return events
}

func (s *Server) past(r *http.Request) (answer any, err error) {
	err = s.lookAt(r, func(g *model.Group, _ time.Time) error { answer = g.Past(); return nil })
	return answer, err
}

func (s *Server) vms(r *http.Request) (any, error) { return s.placed(r.URL.Query().Get("group")) }

// placed are the VMs of a group, or of all.
func (s *Server) placed(wanted string) ([]PlacedVM, error) {
	all := []PlacedVM{}
	err := s.look(func(m *model.Model, _ time.Time) error {
		if wanted != "" && m.Group(wanted) == nil {
			return noGroup(m, wanted)
		}
		for _, g := range m.Groups() {
			if wanted == "" || wanted == g.Name() {
				all = append(all, vmsOf(g)...)
			}
		}
		return nil
	})
	return all, err
}

func vmsOf(g *model.Group) (all []PlacedVM) {
	for _, h := range g.Hosts() {
		sample := h.Sample()
		for _, vm := range sample.VMs {
			all = append(all, PlacedVM{g.Name(), sample.Host, sample.HostID, sample.Time, vm})
		}
	}
	return all
}

func (s *Server) vm(r *http.Request) (any, error) {
	all, err := s.placed(r.URL.Query().Get("group"))
	if err != nil {
		return nil, err
	}
	name := r.PathValue("vm")
	others := func(vm PlacedVM) bool { return vm.Name != name && vm.UUID != name }
	found := slices.DeleteFunc(all, others)
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, problem(ReasonUnknown, "VM: found %q, which no group has", bus.Clip(name, 80))
	}
	return nil, problem(ReasonState, "VM: %d are called %q: name the UUID of one", len(found), bus.Clip(name, 80))
}

func (s *Server) hosts(*http.Request) (any, error) {
	all := []HostState{}
	err := s.look(func(m *model.Model, now time.Time) error { all = hostsOf(m, now); return nil })
	return all, err
}

// hostsOf are the hosts once each, by name.
func hostsOf(m *model.Model, now time.Time) []HostState {
	known := map[bus.HostID]*HostState{}
	for _, g := range m.Groups() {
		for _, h := range g.Hosts() {
			sample := h.Sample()
			host := known[sample.HostID]
			if host == nil {
				host = &HostState{HostID: sample.HostID, Groups: []string{}}
				known[sample.HostID] = host
			}
			if sample.Time.After(host.Time) {
				host.Host, host.Time, host.Load, host.Silent = sample.Host, sample.Time, sample.HostLoad, h.Stale(now)
			}
			if ahead, known := g.ClockAhead(h); known && !h.Stale(now) {
				host.ClockAheadS = new(ahead.Round(time.Millisecond).Seconds())
			}
			host.Groups, host.VMs = append(host.Groups, g.Name()), host.VMs+len(sample.VMs)
		}
	}
	all := make([]HostState, 0, len(known))
	for _, h := range known {
		all = append(all, *h)
	}
	slices.SortFunc(all, func(a, b HostState) int {
		return cmp.Or(model.CompareNames(a.Host, b.Host), cmp.Compare(a.HostID, b.HostID))
	})
	return all
}

// events reads the history, which takes an operator's credentials.
func (s *Server) events(r *http.Request) (any, error) {
	q, limit, err := eventsQuery(r, s.c.Now())
	if err != nil {
		return nil, err
	}
	b := s.bus.Load()
	switch why := s.unhealthy(); {
	case b == nil, why != "":
		return nil, problem(ReasonNoBus, "%s", why)
	case b.Operator == nil:
		return nil, problem(ReasonReadOnly, "the history needs an operator's credentials for the bus: %s", b.ReadOnly)
	}
	select {
	case s.histories <- struct{}{}:
		defer func() { <-s.histories }()
	default:
		return nil, problem(ReasonBusy, "the history is being read for others: ask again in a moment")
	}
	ctx, cancel := context.WithTimeout(r.Context(), readHistory)
	defer cancel()
	all := []Happening{}
	err = client.ReadHistory(ctx, b.Operator, q, func(e Happening) error {
		if all = append(all, e); len(all) >= 2*limit {
			all = slices.Clone(all[len(all)-limit:])
		}
		return nil
	})
	return all[max(0, len(all)-limit):], err
}

func eventsQuery(r *http.Request, now time.Time) (q client.HistoryQuery, limit int, err error) {
	q, limit = client.HistoryQuery{Group: r.PathValue("group"), Since: now.Add(-time.Hour)}, eventsUsual
	if text := r.URL.Query().Get("since"); text != "" {
		ago, err := time.ParseDuration(text)
		if err == nil {
			q.Since = now.Add(-ago)
		} else if q.Since, err = time.Parse(time.RFC3339, text); err != nil {
			return q, 0, problem(ReasonMalformed, "since: found %q, want a time in RFC 3339, or how long ago, such as 90s or 24h",
				bus.Clip(text, 80))
		}
	}
	if text := r.URL.Query().Get("limit"); text != "" {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > eventsAtMost {
			return q, 0, problem(ReasonMalformed, "limit: found %q, want 1 to %d", bus.Clip(text, 80), eventsAtMost)
		}
	}
	if q.Group != "" {
		if err := bus.CheckGroupName(q.Group); err != nil {
			return q, 0, problem(ReasonMalformed, "group: %s", fmt.Sprint(err))
		}
	}
	return q, limit, nil
}
