package web

import (
	"fmt"
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// View is what the page shows at a moment.
type View struct {
	Time    time.Time   `json:"time"`
	Trouble string      `json:"trouble,omitempty"` // why nothing is known; the rest is empty then
	Groups  []GroupView `json:"groups"`
	Hosts   []HostState `json:"hosts"`
	Stages  []StageView `json:"stages"`
	Entries []EntryView `json:"entries"` // what happened, the newest first
}

// GroupView is one group.
type GroupView struct {
	Name      string  `json:"name"`
	Now       *Point  `json:"now"`      // null: nothing is known of it
	Decision  string  `json:"decision"` // its id
	Sentence  string  `json:"sentence"` // of the decision
	Rule      string  `json:"rule"`
	Guard     string  `json:"guard"`
	Stale     string  `json:"stale,omitempty"` // why what is shown may not hold any more
	Ready     int     `json:"ready"`           // of the last samples
	Pending   int     `json:"pending"`
	Warm      int     `json:"warm"` // of the warm pool, or on their way there
	Other     int     `json:"other"`
	ByHand    string  `json:"by_hand,omitempty"` // what a person has set
	Paused    bool    `json:"paused"`            // all of it
	DryRun    bool    `json:"dry_run"`
	Scaled    bool    `json:"scaled"` // a person has said how many
	Refresh   string  `json:"refresh,omitempty"`
	VMs       []VMRow `json:"vms"`
	Templates []Count `json:"templates"` // of the VMs
}

// Point is a group at a moment.
type Point = model.Point

// Count is how many there are of something.
type Count struct {
	Name string `json:"name"`
	VMs  int    `json:"vms"`
}

// VMRow is one VM.
type VMRow struct {
	Name      string     `json:"name"`
	UUID      string     `json:"uuid"`
	Host      string     `json:"host"`
	Phase     string     `json:"phase"`
	State     string     `json:"state"`
	CPU       *float64   `json:"cpu_percent"` // null is unknown
	History   []*float64 `json:"history"`     // of the CPU over the last ten minutes, oldest first
	Created   time.Time  `json:"created"`
	Address   string     `json:"address,omitempty"`
	Template  string     `json:"template,omitempty"`
	Marks     []string   `json:"marks"` // what else there is to say of it
	Stale     bool       `json:"stale"` // its host is silent
	StandsBy  bool       `json:"stands_by"`
	MemoryMiB int        `json:"memory_mib"`
	VCPUs     int        `json:"vcpus"`
}

// StageView is one process of a stage.
type StageView struct {
	Stage    string `json:"stage"`
	Instance string `json:"instance"`
	State    string `json:"state"` // ok, not ok, or silent
	Message  string `json:"message"`
	Version  string `json:"version"`
}

// EntryView is something that happened.
type EntryView struct {
	Time     time.Time `json:"time"`
	Group    string    `json:"group"`
	VM       string    `json:"vm,omitempty"`
	What     string    `json:"what"` // the event, or the change of size
	Sentence string    `json:"sentence"`
	Bad      bool      `json:"bad"`
}

const (
	shownEntries = 100
	historyParts = 30
)

// view is what the page shows now.
func (s *Server) view() View {
	v := View{Groups: []GroupView{}, Hosts: []HostState{}, Stages: []StageView{}, Entries: []EntryView{}}
	v.Time = s.c.Now()
	if v.Trouble = s.unhealthy(); v.Trouble != "" {
		return v
	}
	s.read(func(m *model.Model, now time.Time) {
		for _, g := range m.Groups() {
			v.Groups = append(v.Groups, groupView(g, now))
		}
		v.Hosts = hostsOf(m, now)
		for _, stage := range m.Stages() {
			v.Stages = append(v.Stages, stageView(stage, now))
		}
		entries := m.Entries()
		for i := len(entries) - 1; i >= max(0, len(entries)-shownEntries); i-- {
			v.Entries = append(v.Entries, entryView(entries[i]))
		}
	})
	return v
}

func groupView(g *model.Group, now time.Time) GroupView {
	v := GroupView{Name: g.Name(), VMs: []VMRow{}, Templates: []Count{}}
	n := g.Counts()
	v.Ready, v.Pending, v.Warm, v.Other = n.Ready, n.Launching, n.Warm, n.Other
	d, known := g.Decision()
	if known {
		v.Decision, v.Sentence, v.Rule, v.Guard = d.ID, d.Sentence, string(d.Rule), string(d.Guard)
		v.ByHand = dashboard.ControlsText(d.Controls, time.Local)
		v.Paused, v.DryRun, v.Scaled = d.Controls.Frozen(), d.Controls.DryRun, d.Controls.Desired != nil
		if d.Refresh.Active() || d.Refresh.Unresolved(d.Machine) {
			v.Refresh = dashboard.RefreshText(*d.Refresh, time.Local)
		}
	}
	if p, is := g.Now(); is {
		v.Now = &p
	}
	switch age, holds := g.DecisionAge(now); {
	case !known:
		v.Stale = "it has not been decided for yet"
	case !holds:
		v.Stale = fmt.Sprintf("its newest decision is %s old", age.Round(time.Second))
	}
	for _, h := range g.Hosts() {
		if h.Stale(now) {
			v.Stale = fmt.Sprintf("the host %s has sent no sample for %s", h.Sample().Host, h.Silence(now).Round(time.Second))
		}
		for _, vm := range h.Sample().VMs {
			v.VMs = append(v.VMs, vmRow(h, vm, d.Machine, now))
			v.count(vm.Template)
		}
	}
	return v
}

func (v *GroupView) count(template string) {
	if template == "" {
		template = "unknown"
	}
	for i := range v.Templates {
		if v.Templates[i].Name == template {
			v.Templates[i].VMs++
			return
		}
	}
	v.Templates = append(v.Templates, Count{template, 1})
}

func vmRow(h *model.Host, vm bus.VM, machine string, now time.Time) VMRow {
	row := VMRow{
		Name: vm.Name, UUID: vm.UUID, Host: h.Sample().Host, Phase: string(vm.Phase), State: string(vm.State), CPU: vm.CPUPercent,
		History: rounded(
			h.CPU(vm.Name, historyParts, now),
		), Created: vm.Created, Address: vm.Address, Template: vm.Template, Marks: []string{},
		Stale: h.Stale(now), StandsBy: vm.Phase.StandsBy(), MemoryMiB: vm.MemoryMiB, VCPUs: vm.VCPUs,
	}
	if row.Stale {
		row.CPU = nil
	}
	for _, mark := range []string{model.Ordered(vm), model.Age(vm, machine), vm.Error} {
		if mark != "" {
			row.Marks = append(row.Marks, mark)
		}
	}
	if vm.Protected {
		row.Marks = append(row.Marks, "protected")
	}
	return row
}

// rounded are whole percents: what more there is of hundreds of VMs would be most of what is sent.
func rounded(values []*float64) []*float64 {
	whole := make([]*float64, len(values))
	for i, v := range values {
		if v != nil {
			whole[i] = new(math.Round(*v))
		}
	}
	return whole
}

func stageView(stage *model.Stage, now time.Time) StageView {
	h := stage.Health()
	v := StageView{Stage: h.Stage, Instance: h.Instance, State: "ok", Message: h.Message, Version: h.Version}
	switch {
	case stage.Silent(now):
		v.State, v.Message = "silent", fmt.Sprintf("no sign of life for %s", stage.Silence(now).Round(time.Second))
	case !h.OK:
		v.State = "not ok"
	}
	return v
}

func entryView(e model.Entry) EntryView {
	v := EntryView{Time: e.Time, Group: e.Group, VM: e.VM, What: string(e.Event), Sentence: e.Sentence}
	if e.Decision {
		v.What = fmt.Sprintf("%d → %d", e.From, e.To)
		return v
	}
	if e.Error != "" {
		v.Sentence += ": " + e.Error
	}
	v.Bad = e.Event == bus.EventFailed || e.Event == bus.EventDied || e.Event == bus.EventUnhealthy
	return v
}
