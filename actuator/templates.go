package actuator

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vmscaler/vmscaler/actuator/template/staging"
	"github.com/vmscaler/vmscaler/bus"
)

// specs are what the groups' VMs are made from now, by the groups' names.
func (a *Actuator) specs() (all []bus.Group) {
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		if g := a.groups[name]; !g.leaves {
			all = append(all, g.newest.Decision.Refresh.InForce(g.spec))
		}
	}
	return all
}

// templatesBefore are what the VMs beyond a canary are made from, of the groups that keep one.
func (a *Actuator) templatesBefore() (all []bus.Group) {
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		if g := a.groups[name]; !g.leaves && g.newest.Decision.Refresh.KeepsShare(g.spec) {
			all = append(all, g.newest.Decision.Refresh.Former(g.spec))
		}
	}
	return all
}

// stage says which templates the groups need, tells what has become of some, and returns how the host has them.
func (a *Actuator) stage() ([]bus.HostTemplate, *bus.TemplateServer) {
	t := a.cfg.Templates
	if t == nil {
		return nil, nil
	}
	specs := a.specs()
	t.Want(a.host, staging.WantedBy(slices.Concat(specs, a.templatesBefore())))
	for _, step := range t.Told() {
		for _, spec := range specs {
			if slices.Contains(spec.Templates(), step.Template) {
				a.tell(bus.Event{
					Group: spec.Name, Event: bus.EventTemplate, Sentence: step.Sentence, Error: step.Error,
					ElapsedMS: step.Elapsed.Milliseconds(),
				})
			}
		}
	}
	return t.Templates(), t.Serves()
}

// lacks is what a group lacks here of what its VMs are made from.
func (a *Actuator) lacks(g *group) (bus.HostTemplate, string) {
	if a.cfg.Templates == nil {
		return bus.HostTemplate{}, ""
	}
	return g.newest.Decision.Refresh.Lacks(g.spec, a.cfg.Templates.Templates())
}

// awaitsTemplate reports whether launches of a group wait for a template. They do not for one that comes from nowhere: a launch
// fails then, and says what there is.
func (a *Actuator) awaitsTemplate(g *group) bool {
	lacks, why := a.lacks(g)
	return why != "" && lacks.State != bus.TemplateMissing
}

// templateTroubles are that launches wait for a template, or would.
func (a *Actuator) templateTroubles(g *group) (all bus.Troubles) {
	lacks, why := a.lacks(g)
	if why != "" && (g.untemplated || lacks.State == bus.TemplateFailed || g.spec.WantsOther(lacks)) {
		all.Add(bus.ProblemNoTemplate, g.spec.Name, fmt.Sprintf("group %s: no VM is made: %s", g.spec.Name, why))
	}
	return all
}
