package actuator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/ownfile"
)

const (
	// contactEvery is how often it is kept when deciders were heard, for the next process.
	contactEvery = 10 * time.Second
	// stopped is from when a process that did nothing was stopped, or its host asleep: it may not have heard what was said.
	stopped = 10 * time.Second
)

// contact is when deciders were heard last, by the clock that goes on since the machine's boot. One that decides about any group
// is there for all: a group that it says nothing of is held back by something else than a cut.
type contact struct {
	Heard  time.Duration           `json:"heard_ns"`
	Groups map[string]contactOfOne `json:"groups"`
}

// contactOfOne is what counts for one group alone.
type contactOfOne struct {
	Joined time.Duration `json:"joined_ns"` // when it came to the host's config: before that nobody was to decide about it
	// Held reports that no VM was to be removed by its last decision: a person had paused scaling in, or had asked for a dry run.
	Held bool `json:"held,omitempty"`
	// Holds is for how long its last decision held: some intervals of those in force, which a person may have set.
	Holds time.Duration `json:"holds_ns,omitempty"`
}

// isolated reports whether a group's VMs are removed here, as no decider was heard for its IsolateAfter. A process that has
// begun to listen, or goes on after it was stopped, hears whether one is there first: since is when it did.
func (c contact) isolated(g bus.Group, since, now time.Duration) bool {
	one := c.Groups[g.Name]
	listens := max(g.HeardWithin(), bus.ElectionTakes+one.Holds)
	return g.IsolateAfter > 0 && !one.Held && now-max(c.Heard, one.Joined) >= g.IsolateAfter && now-since >= listens
}

// contacts has the contact of the host, and keeps it in a file. That has the machine's boot: none of another one counts, as
// nothing tells how long the machine was off, and its VMs were, too. It is owned by one goroutine.
type contacts struct {
	contact
	file   string // "": none
	now    func() time.Duration
	boot   string        // this one; "": not known, and nothing is kept
	since  time.Duration // when this process began to listen
	turned time.Duration // the last turn of its loop
	saved  time.Duration
	said   string // what kept it from being written last
	log    zerolog.Logger
}

// keptContacts is what the file has.
type keptContacts struct {
	V    int    `json:"v"`
	Boot string `json:"boot_id"`
	contact
}

const keptContactsVersion = 2 // 1 had a time for each group

func newContacts(file string, now func() time.Duration, log zerolog.Logger) contacts {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // where there is none nothing is kept
	at := now()
	return contacts{
		contact: contact{Heard: at, Groups: map[string]contactOfOne{}}, file: file, now: now,
		boot: strings.TrimSpace(string(boot)), since: at, turned: at, saved: at - contactEvery, log: log,
	}
}

// load reads what the process before this one has kept, if the machine was not booted since.
func (c *contacts) load() {
	if c.file == "" || c.boot == "" {
		return
	}
	var kept keptContacts
	err := readState(c.file, &kept)
	if err == nil && kept.V != keptContactsVersion {
		err = fmt.Errorf("version: found %d, want %d", kept.V, keptContactsVersion)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		c.log.Warn().Err(err).Str("file", c.file).Msg("when deciders were heard last cannot be read: it counts from now on")
	case kept.Boot == c.boot && kept.Heard >= 0 && kept.Heard <= c.since:
		c.Heard = kept.Heard
		for name, one := range kept.Groups {
			if _, ours := c.Groups[name]; (ours || one.Held) && one.Joined >= 0 && one.Joined <= c.since {
				c.Groups[name] = one
			}
		}
	}
}

// turn notes that the process takes what comes, and returns the time.
func (c *contacts) turn() time.Duration {
	now := c.now()
	if now-c.turned >= stopped {
		c.since = now
	}
	c.turned = now
	return now
}

// join notes that a group came to the host's config, from when its time counts. What a person had wanted of it holds on.
func (c *contacts) join(group string) {
	one := c.Groups[group]
	one.Joined = c.now()
	c.Groups[group] = one
}

// hear notes a decision of a decider that leads, about whatever group, and keeps it now and then, if any group isolates.
func (c *contacts) hear(d bus.Decision, isolates bool) {
	now := c.now()
	c.Heard = now
	changed := false
	if one, ours := c.Groups[d.Group]; ours {
		before := one
		one.Held, one.Holds = d.Controls.DryRun || d.Controls.IsPaused(bus.ScopeIn), max(0, d.ExpiresAt.Sub(d.Time))
		c.Groups[d.Group], changed = one, one != before
	}
	if !isolates || c.file == "" || c.boot == "" || !changed && now-c.saved < contactEvery {
		return
	}
	c.saved = now
	data, err := json.Marshal(keptContacts{keptContactsVersion, c.boot, c.contact})
	if err == nil {
		err = ownfile.Replace(c.file, append(data, '\n'))
	}
	switch {
	case err == nil:
		c.said = ""
	case err.Error() != c.said:
		c.said = err.Error()
		c.log.Warn().Err(err).Msg("when deciders were heard last is not kept over a restart of this actuator")
	}
}

// isolated reports whether a group's VMs are to go. It may be asked long after the last turn, with a stop between.
func (c *contacts) isolated(g bus.Group) bool {
	now := c.turn()
	return c.contact.isolated(g, c.since, now)
}

// sinceBoot is the time since the machine's boot, in which it may have slept.
func sinceBoot() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // it has one since Linux 2.6.39
	return time.Duration(now.Nano())
}

// isolates reports whether any group removes its VMs where no decider is heard.
func (a *Actuator) isolates() bool {
	for _, g := range a.groups {
		if g.spec.IsolateAfter > 0 {
			return true
		}
	}
	return false
}

// isolated reports whether a group's VMs are to go as no decider is heard.
func (a *Actuator) isolated(g *group) bool {
	return a.contacts.isolated(g.spec)
}

// tellIsolation says, once, that a group's VMs are removed for that.
func (a *Actuator) tellIsolation(g *group, isolated bool, plan Actions) {
	switch {
	case !isolated && g.isolated:
		g.isolated = false
		a.log.Info().Str("group", g.spec.Name).Msg("a decider is heard again")
	case isolated && !g.isolated && len(plan.Remove)+len(plan.Cancel) > 0:
		g.isolated = true
		a.tell(bus.Event{Group: g.spec.Name, Event: bus.EventIsolated, Sentence: fmt.Sprintf(
			"no decider was heard here for %s (isolate_after): %s that may serve are removed", g.spec.IsolateAfter,
			bus.Count(len(plan.Remove)+len(plan.Cancel), "VM"))})
	}
}

// isolate removes what serves or is on its way to, by its hooks and its drain. What is set aside by a person, waits in the warm
// pool or is off serves nobody, and stays; so does what is protected. A removal that has begun goes on.
func isolate(s Situation) (a Actions) {
	for _, v := range s.Owned {
		work := s.Work[v.UUID]
		phase := v.Meta.Phase
		switch {
		case work != Idle && work != BringingUp:
		case phase.Leaving(), phase == bus.PhaseFailed, phase == bus.PhaseCreating && work == Idle:
			if r, _ := nextStep(v); r != nil && work == Idle {
				a.Remove = append(a.Remove, *r)
			}
		case v.Protected, phase.Pooled(), !phase.Capacity(), v.Order.Is(bus.VMDetach), v.Order.Is(bus.VMAttach),
			work == Idle && (v.Off() || v.State.Suspended()):
		case work == BringingUp:
			a.Cancel = append(a.Cancel, isolation(v))
		default:
			a.Remove = append(a.Remove, isolation(v))
		}
	}
	return a
}

func isolation(v vm.VM) vm.Removal {
	return vm.Removal{VM: v, Kind: vm.Isolated, Reason: "no decider is heard here (isolate_after)", Graceful: v.Serves()}
}
