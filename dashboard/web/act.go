package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// answerWithin is how long a stage may take to answer a request. It normally takes milliseconds.
const answerWithin = 5 * time.Second

// order is the body of a request that changes something: it completes what is asked on the bus.
type order interface {
	into(q *bus.Query) error
}

// Why is what every such request may say.
type Why struct {
	Reason string `json:"reason,omitempty"` // why, for the history: one line of at most 300 bytes
}

func (y *Why) into(q *bus.Query) error { q.Reason = y.Reason; return nil }

// ScopesRequest is what is to be paused, or not to be any more.
type ScopesRequest struct {
	Scopes []bus.Scope `json:"scopes,omitempty"` // none is all
	Why
}

func (o *ScopesRequest) into(q *bus.Query) error {
	for _, scope := range o.Scopes {
		if !slices.Contains(bus.Scopes(), scope) {
			return problem(ReasonMalformed, "scopes: found %q, want some of %q", bus.Clip(string(scope), 40), bus.Scopes())
		}
	}
	q.Scopes = o.Scopes
	return o.Why.into(q)
}

// DryRunRequest is whether nothing is to be done for the group.
type DryRunRequest struct {
	On *bool `json:"on"`
	Why
}

func (o *DryRunRequest) into(q *bus.Query) error {
	if o.On == nil {
		return problem(ReasonMalformed, "on: found nothing, want true or false")
	}
	q.On = *o.On
	return o.Why.into(q)
}

// ScaleRequest is how many VMs a group is to have, or that this is left to its policy again.
type ScaleRequest struct {
	Desired *int `json:"desired,omitempty"`
	Release bool `json:"release,omitempty"`
	Why
}

func (o *ScaleRequest) into(q *bus.Query) error {
	if (o.Desired == nil) != o.Release || o.Desired != nil && *o.Desired < 0 {
		return problem(ReasonMalformed, "desired: want a number of VMs from 0, or release: true without it")
	}
	q.Desired = o.Desired
	return o.Why.into(q)
}

// SetRequest is which fields of the group's config are to differ from the file.
type SetRequest struct {
	Set map[string]string `json:"set"` // such as "max": "10" or "policy.upper": "60"
	Why
}

func (o *SetRequest) into(q *bus.Query) error {
	if len(o.Set) == 0 {
		return problem(ReasonMalformed, `set: found nothing, want fields and their values, such as "max": "10"`)
	}
	q.Set = o.Set
	return o.Why.into(q)
}

// ResetRequest is which fields are to be the file's again.
type ResetRequest struct {
	Keys []string `json:"keys,omitempty"` // none is all
	Why
}

func (o *ResetRequest) into(q *bus.Query) error { q.Keys = o.Keys; return o.Why.into(q) }

// ScheduleRequest is which actions are to be added to a group's schedule, or removed from those.
type ScheduleRequest struct {
	bus.ScheduleOrder
	Why
}

func (o *ScheduleRequest) into(q *bus.Query) error {
	if len(o.Put) == 0 && len(o.Remove) == 0 {
		return problem(ReasonMalformed, "put, remove: found nothing, want one of them")
	}
	q.Schedule = &o.ScheduleOrder
	return o.Why.into(q)
}

// LaunchRequest is how many more VMs a group is to have, and where.
type LaunchRequest struct {
	Count int    `json:"count,omitempty"` // none is 1
	Host  string `json:"host,omitempty"`  // its name or id; none is wherever they fit best
	Why
}

func (o *LaunchRequest) into(q *bus.Query) error {
	if o.Count < 0 || o.Count > bus.MaxLaunch {
		return problem(ReasonMalformed, "count: found %d, want 1 to %d", o.Count, bus.MaxLaunch)
	}
	q.Count, q.Host = o.Count, o.Host
	return o.Why.into(q)
}

// RefreshRequest is what is to become of the group's refresh.
type RefreshRequest struct {
	bus.RefreshOrder
	Why
}

func (o *RefreshRequest) into(q *bus.Query) error {
	if !slices.Contains(bus.RefreshActions(), o.Action) {
		return problem(ReasonMalformed, "action: found %q, want one of %q", bus.Clip(string(o.Action), 40), bus.RefreshActions())
	}
	if err := o.Check(); err != nil {
		return problem(ReasonMalformed, "%s", err)
	}
	o.AddCanary()
	q.Refresh = &o.RefreshOrder
	return o.Why.into(q)
}

// VMRequest is what else there is to say of a request for one VM.
type VMRequest struct {
	Group    string `json:"group,omitempty"`     // its group; none is whichever has the VM
	KeepSize bool   `json:"keep_size,omitempty"` // of remove, standby and detach: another takes its place
	Why
}

func (o *VMRequest) into(q *bus.Query) error {
	q.Group, q.KeepSize = o.Group, o.KeepSize
	return o.Why.into(q)
}

// HostRequest is what is wanted of a host.
type HostRequest struct {
	Action bus.HostAction `json:"action"`
	Why
}

func (o *HostRequest) into(q *bus.Query) error {
	if !slices.Contains(bus.HostActions(), o.Action) {
		return problem(ReasonMalformed, "action: found %q, want one of %q", bus.Clip(string(o.Action), 40), bus.HostActions())
	}
	q.HostAction = o.Action
	return o.Why.into(q)
}

// HookRequest is the answer to a hook.
type HookRequest struct {
	Action bus.HookAction `json:"action"`
	Why
}

func (o *HookRequest) into(q *bus.Query) error { q.Action = o.Action; return o.Why.into(q) }

// actions are the routes that change something.
func (s *Server) actions() []route {
	group := func(verb string) string { return "/groups/{group}/" + verb }
	all := []route{
		act[bus.Controls](s, bus.VerbPause, group("pause"), "Pause a part of what is done for a group, or all", &ScopesRequest{}),
		act[bus.Controls](s, bus.VerbResume, group("resume"), "Take that back", &ScopesRequest{}),
		act[bus.Controls](s, bus.VerbDryRun, group("dry-run"), "Do nothing and say what would be done, or act again", &DryRunRequest{}),
		act[bus.Controls](s, bus.VerbScale, group("scale"), "Give a group a number of VMs, until it is released", &ScaleRequest{}),
		act[bus.Controls](s, bus.VerbSet, group("set"), "Change fields of its config until they are reset", &SetRequest{}),
		act[bus.Controls](s, bus.VerbReset, group("reset"), "Let the file hold again", &ResetRequest{}),
		act[bus.Controls](s, bus.VerbSchedule, group("schedule"), "Add actions to a schedule, or remove some", &ScheduleRequest{}),
		act[bus.Refresh](s, bus.VerbRefresh, group("refresh"), "Begin, pause, resume or end a refresh", &RefreshRequest{}),
		act[bus.Launch](s, bus.VerbLaunch, group("launch"), "Launch so many more VMs, all or none", &LaunchRequest{}),
		act[bus.Wake](s, bus.VerbWake, group("wake"), "Give a group that has no VM one, for a while", &Why{}),
		act[bus.Status](s, bus.VerbHost, "/hosts/{host}/order-host", "Cordon, drain or uncordon a host", &HostRequest{}),
		act[bus.Status](s, bus.VerbForget, "/hosts/{host}/forget", "Count the VMs of a silent host no more", &Why{}),
		act[bus.HookAnswer](s, bus.VerbHook, "/hooks/{token}", "Answer a hook that waits", &HookRequest{}),
	}
	for _, verb := range bus.VMVerbs() {
		all = append(all, act[bus.VMAnswer](s, string(verb), "/vms/{vm}/"+string(verb), verb.Summary(), &VMRequest{}))
	}
	return all
}

// act is a route by which a request goes to the bus.
func act[T any, PT interface {
	*T
	bus.Message
}, O any, PO interface {
	*O
	order
}](s *Server, verb, path, summary string, body PO,
) route {
	return route{
		http.MethodPost, path, summary, operators, nil, *body, *new(T),
		func(w http.ResponseWriter, r *http.Request) (any, error) {
			caller, err := s.mayAct(r)
			if err != nil {
				return nil, err
			}
			body := PO(new(O))
			if err := decode(w, r, body); err != nil {
				return nil, err
			}
			q := bus.Query{}
			if err := body.into(&q); err != nil {
				return nil, err
			}
			q.By = caller.by()
			if group := r.PathValue("group"); group != "" {
				q.Group = group
			}
			q.VM, q.Token = r.PathValue("vm"), r.PathValue("token")
			q.Host = cmp.Or(r.PathValue("host"), q.Host)
			if err := checkQuery(q); err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(r.Context(), answerWithin)
			defer cancel()
			b := s.bus.Load()
			if b == nil || b.Operator == nil {
				return nil, problem(ReasonNoBus, "the bus is gone")
			}
			return client.Ask[T, PT](ctx, b.Operator, verb, q)
		},
	}
}

// checkQuery says what is wrong before the bus is asked: a group's name is a part of a subject.
func checkQuery(q bus.Query) error {
	err := q.Check()
	if err == nil {
		err = bus.CheckReason(q.Reason)
	}
	if err == nil && q.Group != "" {
		err = bus.CheckGroupName(q.Group)
	}
	if err != nil {
		return problem(ReasonMalformed, "%s", err)
	}
	return nil
}
