package bus

import (
	"errors"
	"time"
)

// Victims asks a listener which of a group's VMs on a host may be scaled in now. It is a request of an actuator, which takes the
// first answer that is one.
type Victims struct {
	V     int    `json:"v"`
	Group string `json:"group"`
	Hook  string `json:"hook"` // the listener's name, of the group's scale_in
	Count int    `json:"count"`
	// Candidates are those that may be named, all of which serve; the first to go by the orders before the hook comes first.
	Candidates []Candidate `json:"candidates"`
	HostID     HostID      `json:"host_id"`
	Host       string      `json:"host"`
	DecisionID string      `json:"decision_id"`
	Time       time.Time   `json:"time"`
	Deadline   time.Time   `json:"deadline"` // until then an answer is taken
}

// Candidate is a VM that may be scaled in.
type Candidate struct {
	Name     string    `json:"name"`
	UUID     string    `json:"uuid"`
	Created  time.Time `json:"created"`
	Template string    `json:"template"`
	// CPUPercent is its last reading; nil is unknown.
	CPUPercent *float64 `json:"cpu_percent"`
	Outdated   bool     `json:"outdated"` // made from something else than the config says now
}

// VictimsAnswer says which VMs may go now. All others stay.
type VictimsAnswer struct {
	V   int      `json:"v"`
	VMs []string `json:"vms"` // the UUIDs of candidates; none is []
}

// Subject is vmscaler.victims.<group>.<hook>.
func (v *Victims) Subject() string {
	return "vmscaler.victims." + Token(v.Group) + "." + Token(v.Hook)
}

// VictimsInbox is below which subject the answers come: one of its own, so that those who may answer can write nothing else to
// an actuator.
const VictimsInbox = "_VMSCALER.victims"

func (v *Victims) check() error {
	if v.Group == "" || v.Hook == "" || len(v.Candidates) == 0 || v.Time.IsZero() {
		return errors.New("question for victims without group, hook, candidates or time")
	}
	if err := checkVersion(v.V); err != nil {
		return err
	}
	return v.bounds()
}

func (v *Victims) bounds() error {
	var b bounds
	b.name("group", v.Group, MaxName)
	b.name("hook", v.Hook, MaxName)
	b.name("host_id", string(v.HostID), maxHostName)
	b.name("host", v.Host, maxHostName)
	b.name("decision_id", v.DecisionID, maxID)
	b.number("count", float64(v.Count), maxDesired)
	b.count("candidates", len(v.Candidates), MaxVMs)
	for i := range v.Candidates {
		c := &v.Candidates[i]
		b.name("candidates.name", c.Name, MaxName)
		b.name("candidates.uuid", c.UUID, maxWord)
		b.name("candidates.template", c.Template, longestName)
		b.known("candidates.cpu_percent", c.CPUPercent, maxPercent)
	}
	return b.of("question for victims")
}

func (a *VictimsAnswer) check() error {
	if a.VMs == nil {
		return errors.New("answer about victims without vms")
	}
	if err := checkVersion(a.V); err != nil {
		return err
	}
	var b bounds
	b.count("vms", len(a.VMs), MaxVMs)
	for _, uuid := range a.VMs {
		b.name("vms", uuid, maxWord)
	}
	return b.of("answer about victims")
}
