package decider

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// refreshFacts are what a refresh goes by.
type refreshFacts struct {
	kept     int // VMs of the group that are neither leaving, suspended nor retiring
	booting  int // of those, on their way to serve
	halted   int // suspended while they boot
	serving  int // of kept, ready and running
	updated  int // of those, up to date
	staying  int // of kept, outdated
	held     int // of staying, those that are protected
	mild     int // of staying, those for which a restart is enough
	restarts int // of mild, those that are not protected
	going    int // of retiring, those that restart
	leaving  int // a person has ordered that they go
	retiring int // outdated, and chosen to go; and leaving since
	standing int // of retiring, those that still serve
	failures int // launches that failed since the evaluation before
	average  *float64
	complete bool   // nothing is missing of the hosts
	clocks   string // the hosts whose clocks are not known, where it matters since when VMs are there
	from     string // the template of the outdated VMs, where it alone has changed
	needs    []need // of staying, in the order in which they were found
}

// need is what some of a group's VMs need to be up to date, and why.
type need struct {
	action bus.UpdateAction
	why    string
	vms    []string // their names
}

// refreshFacts counts the VMs by what they are made from.
func (s situation) refreshFacts(build bus.Build) refreshFacts {
	f := refreshFacts{complete: s.incomplete == "" && s.obs.Fresh > 0 && s.obs.Awaited == nil}
	templates := map[string]int{}
	if build.Before != nil || s.spec.MinReady > 0 { // times are compared
		f.clocks = s.obs.unclocked()
		f.complete = f.complete && f.clocks == ""
	}
	for _, h := range s.obs.Hosts {
		build := h.build(build)
		if seen, known := s.state.Failures[h.ID]; known {
			f.failures += max(0, h.Failures-seen)
		}
		for _, vm := range h.VMs {
			needs := build.Needs(vm.Made())
			serves := s.servesOn(&h, &vm) && h.Trouble != Silent // what a host that is silent has may be gone
			switch {
			case vm.Order.Leaves():
				f.leaving++
			case vm.Reimaging:
				f.retiring++
				f.going += one(vm.Restarting)
			case vm.Retiring:
				f.retiring++
				f.standing += one(serves)
			case !kept(&vm):
				if vm.Phase.Pending() {
					f.halted++
				}
			default:
				f.kept++
				if vm.Phase.Pending() {
					f.booting++
				}
				f.serving += one(serves)
				if needs == bus.UpdateNone {
					f.updated += one(serves)
					continue
				}
				f.stays(vm, needs, build)
				templates[vm.Template]++
			}
		}
	}
	if n := s.counts; n.readings > 0 {
		f.average = new(n.sum / float64(n.readings))
	}
	f.from = s.templateBefore(build, templates)
	return f
}

// stays adds a VM that is outdated.
func (f *refreshFacts) stays(vm bus.VM, needs bus.UpdateAction, build bus.Build) {
	f.staying++
	f.held += one(vm.Protected)
	if needs == bus.UpdateRestart {
		f.mild++
		f.restarts += one(!vm.Protected)
	}
	why := build.Why(vm.Made())
	i := slices.IndexFunc(f.needs, func(n need) bool { return n.action == needs && n.why == why })
	if i < 0 {
		i, f.needs = len(f.needs), append(f.needs, need{action: needs, why: why})
	}
	f.needs[i].vms = append(f.needs[i].vms, vm.Name)
}

// fresh are the VMs that are up to date, those that still boot among them.
func (f refreshFacts) fresh() int { return f.kept - f.staying }

// inPlace reports whether the next VM of a refresh leaves service itself, instead of another taking its place first: those that
// restart go before those that need more, and nothing is mixed with what was begun.
func (f refreshFacts) inPlace(r bus.Refresh) bool {
	return r.Strategy == bus.RefreshReimage || f.restartNext()
}

// restartNext reports whether the next VM of a refresh restarts with its disks.
func (f refreshFacts) restartNext() bool {
	return f.retiring == f.going && f.restarts+f.going > 0
}

// growing is how many VMs are on their way to serve beyond those that take the places of retiring ones, or that may be missing.
func (f refreshFacts) growing(spare int) int { return max(0, f.booting-f.standing-spare) }

// templateBefore is the template of most of the outdated VMs, "" where a group of that template would not be made of what they
// are.
func (s situation) templateBefore(build bus.Build, templates map[string]int) string {
	from := ""
	for name, n := range templates {
		if n > templates[from] || n == templates[from] && name < from {
			from = name
		}
	}
	before := s.spec
	before.Template = from
	hash := before.MachineHash()
	for _, h := range s.obs.Hosts {
		for _, vm := range h.VMs {
			if vm.Template == from && vm.Machine != "" && vm.Machine != hash {
				return ""
			}
		}
	}
	if from == build.Template {
		return ""
	}
	return from
}

// forbidden is why a refresh may not do what VMs need, "" if it may.
func (f refreshFacts) forbidden(r bus.Refresh) string {
	if r.MostDisruptive != bus.UpdateRestart || f.staying == f.mild {
		return ""
	}
	why := ""
	for _, n := range f.needs {
		if n.action != bus.UpdateRestart {
			why = fmt.Sprintf(" (%s: %s)", few(n.vms), n.why)
			break
		}
	}
	return fmt.Sprintf("%s would have to be replaced%s, and only restarts are allowed (refresh.most_disruptive)",
		bus.Count(f.staying-f.mild, "VM"), why)
}

// few are the first of some names.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// would is what a refresh would do, for a dry run.
func (f refreshFacts) would(r bus.Refresh) string {
	does := func(n need) string {
		vms := bus.Count(len(n.vms), "VM")
		switch {
		case n.action == bus.UpdateRestart && len(n.vms) == 1:
			return "restart " + vms + " with its disks"
		case n.action == bus.UpdateRestart:
			return "restart " + vms + " with their disks"
		case r.Strategy == bus.RefreshReimage:
			return "give new disks to " + vms
		}
		return "replace " + vms
	}
	var all []string
	for _, n := range f.needs {
		all = append(all, fmt.Sprintf("would %s (%s): %s", does(n), few(n.vms), n.why))
	}
	text := strings.Join(all, "; ")
	if f.forbidden(r) != "" {
		text += "; so it would fail, as only restarts are allowed (refresh.most_disruptive)"
	}
	return text
}
