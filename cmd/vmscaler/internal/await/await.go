package await

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// Condition is one thing that is waited for.
type Condition interface {
	// String is the condition as it is typed.
	String() string
	// missing is what is missing yet, "" where the condition holds; the error is why it will not come any more.
	missing(p picture) (string, error)
}

// picture is a group at one moment, known as a whole.
type picture struct {
	decision bus.Decision
	vms      []bus.VM
}

// Missing is what is missing of the conditions, in words; "" where all hold at the same time. The error is why one of them
// will not come any more. What is not known, or is too old, does not hold.
func Missing(g *model.Group, now time.Time, conditions []Condition) (string, error) {
	p, unknown := look(g, now)
	if unknown != "" {
		return unknown, nil
	}
	for _, c := range conditions {
		text, err := c.missing(p)
		if err != nil {
			return "", fmt.Errorf("%s: %w", c, err)
		}
		if text != "" {
			return fmt.Sprintf("%s: %s", c, text), nil
		}
	}
	return "", nil
}

// look is the picture of a group, or why there is none.
func look(g *model.Group, now time.Time) (p picture, unknown string) {
	if g == nil {
		return p, "nothing is heard of it"
	}
	d, known := g.Decision()
	age, holds := g.DecisionAge(now)
	switch {
	case !known:
		return p, "no decision is heard"
	case !holds:
		return p, fmt.Sprintf("no decision is heard for %s", age.Round(time.Second))
	case !d.HasSample:
		return p, "its VMs are not known yet"
	}
	p.decision = d
	heard := map[bus.HostID]bool{}
	for _, h := range g.Hosts() {
		s := h.Sample()
		if h.Stale(now) {
			return p, fmt.Sprintf("host %s is silent for %s", s.Host, h.Silence(now).Round(time.Second))
		}
		heard[s.HostID] = true
		p.vms = append(p.vms, s.VMs...)
	}
	for id, share := range d.Shares {
		if !heard[id] {
			return p, fmt.Sprintf("host %s is not heard", share.Host)
		}
	}
	return p, ""
}

// serves reports whether a VM does its work.
func serves(vm bus.VM) bool { return vm.Phase.Serves() && vm.State == bus.StateRunning }

// ready is how many VMs serve.
func (p picture) ready() (n int) {
	for _, vm := range p.vms {
		if serves(vm) {
			n++
		}
	}
	return n
}

// moving are the VMs that are on their way somewhere, such as "web-3 is launching"; "" where none is.
func (p picture) moving() string {
	var all []string
	for _, vm := range p.vms {
		switch {
		case vm.Phase == bus.PhaseRetained: // until a person removes it
		case vm.Phase.Pending() || vm.Phase.Leaving() || vm.Phase == bus.PhaseFailed || !vm.Phase.Known():
			all = append(all, fmt.Sprintf("%s is %s", vm.Name, vm.Phase))
		case vm.Order != nil && vm.Phase.Capacity(): // else it is carried out, or is so as was ordered
			all = append(all, fmt.Sprintf("%s has the order %s", vm.Name, vm.Order.Verb))
		case vm.Restarting:
			all = append(all, vm.Name+" is restarting")
		case vm.Reimaging:
			all = append(all, vm.Name+" gets new disks")
		case vm.Retiring:
			all = append(all, vm.Name+" is retiring")
		case vm.Phase.Serves() && !serves(vm) && !vm.State.Suspended(): // a suspended one is left alone
			all = append(all, fmt.Sprintf("%s is %s", vm.Name, vm.State))
		}
	}
	return bus.List(all)
}

// Ready is that so many VMs serve.
type Ready struct {
	VMs    int
	OrMore bool
}

func (c Ready) String() string {
	more := ""
	if c.OrMore {
		more = "+"
	}
	return fmt.Sprintf("%s=%d%s", wordReady, c.VMs, more)
}

func (c Ready) missing(p picture) (string, error) {
	n := p.ready()
	if n == c.VMs || c.OrMore && n > c.VMs {
		return "", nil
	}
	return withMoving(fmt.Sprintf("%s ready", are(n)), p), nil
}

// Desired is that the group wants so many VMs.
type Desired struct{ VMs int }

func (c Desired) String() string { return fmt.Sprintf("%s=%d", wordDesired, c.VMs) }

func (c Desired) missing(p picture) (string, error) {
	if p.decision.Desired == c.VMs {
		return "", nil
	}
	return fmt.Sprintf("it wants %s: %s", bus.Count(p.decision.Desired, "VM"), p.decision.Sentence), nil
}

// Stable is that a group is what it wants to be: as many VMs serve as it wants, none is on its way, and no refresh goes on.
type Stable struct{}

func (Stable) String() string { return wordStable }

func (Stable) missing(p picture) (string, error) {
	d := p.decision
	switch n := p.ready(); {
	case d.Refresh.Active():
		return fmt.Sprintf("a refresh goes on (%s)", d.Refresh.Phase), nil
	case n != d.Desired:
		return withMoving(fmt.Sprintf("%s ready, and it wants %d", are(n), d.Desired), p), nil
	}
	return p.moving(), nil
}

// Template is that all VMs of the group are made from a template.
type Template struct{ Name string }

func (c Template) String() string { return wordTemplate + "=" + c.Name }

func (c Template) missing(p picture) (string, error) {
	var others []string
	for _, vm := range p.vms {
		if vm.Template != c.Name {
			others = append(others, fmt.Sprintf("%s is made from %s", vm.Name, orUnknown(vm.Template)))
		}
	}
	if len(p.vms) == 0 && p.decision.Desired > 0 {
		return "it has no VM", nil
	}
	return bus.List(others), nil
}

// Phase is that a VM is in a phase; one that should be ready also runs.
type Phase struct {
	VM    string
	Phase bus.Phase
}

func (c Phase) String() string { return fmt.Sprintf("%s=%s:%s", wordVM, c.VM, c.Phase) }

func (c Phase) missing(p picture) (string, error) {
	for _, vm := range p.vms {
		switch {
		case vm.Name != c.VM:
		case vm.Phase != c.Phase:
			return fmt.Sprintf("it is %s", vm.Phase), nil
		case vm.Phase.Serves() && !serves(vm):
			return fmt.Sprintf("it is %s", vm.State), nil
		default:
			return "", nil
		}
	}
	return "there is no such VM", nil
}

// Gone is that nothing is left of a VM in its group. With a UUID another VM of its name is no matter.
type Gone struct{ VM, UUID string }

func (c Gone) String() string { return fmt.Sprintf("%s=%s:%s", wordVM, c.VM, wordGone) }

func (c Gone) missing(p picture) (string, error) {
	for _, vm := range p.vms {
		if vm.Name == c.VM && (c.UUID == "" || vm.UUID == c.UUID) {
			return fmt.Sprintf("it is %s", vm.Phase), nil
		}
	}
	return "", nil
}

// Refresh is that a refresh of the group is done: the one with that ID, which began then; without an ID its last one.
type Refresh struct {
	ID      string
	Started time.Time
	Ends    bus.RefreshPhase // as what a person has it end: taken back it has failed; "" is as done
}

func (Refresh) String() string { return wordRefresh + "=" + wordDone }

func (c Refresh) missing(p picture) (string, error) {
	r := p.decision.Refresh
	switch {
	case r == nil && c.ID == "":
		return "", errors.New("the group has had no refresh")
	case r == nil || c.ID != "" && r.Started.Before(c.Started):
		return "it is not heard of yet", nil
	case c.ID != "" && r.ID != c.ID:
		return "", errors.New("another refresh has taken its place")
	}
	text := string(r.Phase)
	if r.Sentence != "" {
		text += ": " + r.Sentence
	}
	switch r.Phase {
	case bus.RefreshDone, c.Ends:
		return "", nil
	case bus.RefreshFailed, bus.RefreshCanceled:
		return "", fmt.Errorf("it was %s", text)
	case bus.RefreshRunning, bus.RefreshCheckpoint, bus.RefreshCanary, bus.RefreshBaking, bus.RefreshPaused, bus.RefreshReturning:
		return text, nil
	}
	return "", fmt.Errorf("it is %s, which this program does not know", text)
}

// Canary is that the group's refresh stands at its canary: that serves, and a person is to say what becomes of it.
type Canary struct{}

func (Canary) String() string { return wordRefresh + "=" + wordCanary }

func (Canary) missing(p picture) (string, error) {
	r := p.decision.Refresh
	switch {
	case r == nil:
		return "", errors.New("the group has had no refresh")
	case r.Phase == bus.RefreshCanary && r.Updated >= max(1, r.CanaryOf(p.decision.Desired)): // it stands while one of it boots
		return "", nil
	case !r.Active() || r.Returned:
		return "", fmt.Errorf("it is %s: %s", r.Phase, r.Sentence)
	case r.Canary == 0 && r.CanaryPercent == 0:
		return "", errors.New("it has no canary, or a person has let it go on")
	}
	return fmt.Sprintf("%s: %s", r.Phase, r.Sentence), nil
}

// DecidedAfter is that the group was evaluated after a moment on the decider's clock, such as that of a request.
type DecidedAfter struct{ Time time.Time }

func (DecidedAfter) String() string { return "decided" }

func (c DecidedAfter) missing(p picture) (string, error) {
	if p.decision.Time.After(c.Time) {
		return "", nil
	}
	return "its next evaluation is still to come", nil
}

// withMoving adds what is on its way.
func withMoving(text string, p picture) string {
	if moving := p.moving(); moving != "" {
		text += "; " + moving
	}
	return text
}

func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}

func orUnknown(name string) string {
	if strings.TrimSpace(name) == "" {
		return "an unknown template"
	}
	return name
}
