package bus

import (
	"fmt"
	"slices"
	"strings"
)

// Subjects to subscribe to.
const (
	AllSamples     = "vmscaler.sample.>"
	AllDecisions   = "vmscaler.decision.>"
	AllEvents      = "vmscaler.lifecycle.>"
	AllHealth      = "vmscaler.health.>"
	ActuatorHealth = "vmscaler.health.actuator.>"
	AllMetrics     = "vmscaler.metric.>"
	AllDemand      = "vmscaler.demand.>"
	AllLoads       = "vmscaler.load.>"
	AllVictims     = "vmscaler.victims.>"
	AllWakes       = "vmscaler.wake.*"
)

// WakeSubject is vmscaler.wake.<group>, on which requests for it to be awake come.
func WakeSubject(group string) string { return RequestSubject(VerbWake, group) }

// GroupVerbs are the requests that change something of one group or of one of its VMs, so that their subject can name the group.
func GroupVerbs() []string {
	verbs := []string{VerbPause, VerbResume, VerbDryRun, VerbScale, VerbSet, VerbReset, VerbSchedule, VerbRefresh, VerbLaunch}
	for _, v := range VMVerbs() {
		verbs = append(verbs, string(v))
	}
	return verbs
}

// RequestSubject is where a request goes: vmscaler.ctl.<verb>, or vmscaler.ctl.<verb>.<group> of one of GroupVerbs that names a
// group, so that a server's permissions can tell groups apart. One that wakes a group has a subject of its own. The group "*" is
// each.
func RequestSubject(verb, group string) string {
	token := group
	if group != "*" {
		token = Token(group)
	}
	switch {
	case verb == VerbWake:
		return "vmscaler.wake." + token
	case group != "" && slices.Contains(GroupVerbs(), verb):
		return "vmscaler.ctl." + verb + "." + token
	}
	return "vmscaler.ctl." + verb
}

// Subject is vmscaler.sample.<group>.<host id>.
func (s *Sample) Subject() string {
	return "vmscaler.sample." + Token(s.Group) + "." + Token(string(s.HostID))
}

// Subject is vmscaler.decision.<group>.<out|in|hold>.
func (d *Decision) Subject() string {
	return "vmscaler.decision." + Token(d.Group) + "." + Token(string(d.Direction))
}

// SamplesOf are the samples of one group.
func SamplesOf(group string) string { return "vmscaler.sample." + Token(group) + ".*" }

// DecisionsOf are the decisions for one group.
func DecisionsOf(group string) string { return "vmscaler.decision." + Token(group) + ".*" }

// EventsOf are the events of one group.
func EventsOf(group string) string { return "vmscaler.lifecycle." + Token(group) + ".>" }

// EventsOfVM are the events of one VM.
func EventsOfVM(group, vm string) string {
	return "vmscaler.lifecycle." + Token(group) + "." + Token(vm) + ".>"
}

// Subject is vmscaler.lifecycle.<group>.<vm>.<event>, from an agent with .<host id> after it; an event of the whole group has "_"
// for its VM.
func (e *Event) Subject() string {
	vm := "_"
	if e.VM != "" {
		vm = Token(e.VM)
	}
	return "vmscaler.lifecycle." + Token(e.Group) + "." + vm + "." + Token(string(e.Event)) + boundTo(e.HostID)
}

// Subject is vmscaler.health.<stage>.<instance>, from an agent with .<host id> after it.
func (h *Health) Subject() string {
	return "vmscaler.health." + Token(h.Stage) + "." + Token(h.Instance) + boundTo(h.HostID)
}

// boundTo is the end of the subject of a message that is bound to a host.
func boundTo(id HostID) string {
	if id == "" {
		return ""
	}
	return "." + Token(string(id))
}

// Subject is vmscaler.metric.<group>.<name>.
func (m *Metric) Subject() string { return "vmscaler.metric." + Token(m.Group) + "." + Token(m.Name) }

// Subject is vmscaler.demand.<group>.
func (d *Demand) Subject() string { return "vmscaler.demand." + Token(d.Group) }

// Token makes one subject token of any name: letters, digits, '-' and '_' stay, every other byte becomes %XX
// (hexadecimal), and so does a name that is just "_", which means "the whole group", and the empty name ("%").
// Different names give different tokens. NATS itself does not refuse dots, blanks or wildcards from a publisher.
func Token(name string) string {
	switch name {
	case "":
		return "%"
	case "_":
		return "%5F"
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
