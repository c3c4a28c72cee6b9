package bus

import (
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"time"
)

// VMVerb is what can be asked for one VM. It is also the last token of the request's subject, so that a role may have some of
// them.
type VMVerb string

// The verbs.
const (
	VMReplace   VMVerb = "replace"   // another takes its place, and then it goes
	VMRemove    VMVerb = "remove"    // it goes now; the group has one less from now on, or another with Query.KeepSize
	VMDrain     VMVerb = "drain"     // it leaves service now, and goes after the group's drain; another takes its place
	VMUnhealthy VMVerb = "unhealthy" // it counts as one that does not serve, and is replaced as such
	// VMStandby takes it out of service for a while; the group has one less, or another with Query.KeepSize. VMExitStandby has it
	// serve again, and the group one more, or as many as before with Query.KeepSize.
	VMStandby     VMVerb = "standby"
	VMExitStandby VMVerb = "exit-standby"
	// VMDetach gives it away as it is: it is no VM of vmscaler's any more. The group has one less, or another with Query.KeepSize.
	VMDetach VMVerb = "detach"
	// VMAttach makes a domain of a person's a VM of the group, which has one more, or as many as before with Query.KeepSize.
	VMAttach VMVerb = "attach"
)

// verbWords are what people read of a verb.
type verbWords struct {
	sentence string // what an order of it is, as part of a sentence
	ordered  string // in a word or two, what a VM is for which it is ordered
	summary  string // what who asks for it does
}

var vmVerbs = []struct {
	name VMVerb
	verbWords
}{
	{VMReplace, verbWords{
		"another is to take its place", "being replaced", "Put another VM in its place, and take it away once that serves",
	}},
	{VMRemove, verbWords{"it is to be removed", "to be removed", "Take it away now"}},
	{VMDrain, verbWords{
		"it is to drain and go", "to be drained", "Take it out of service now, and away after its group's drain",
	}},
	{VMUnhealthy, verbWords{"it is marked as unhealthy", "unhealthy", "Have it replaced as one that does not serve"}},
	{VMStandby, verbWords{"it is to stand by", "to stand by", "Take it out of service for a while"}},
	{VMExitStandby, verbWords{"it is to serve again", "to serve again", "Have it serve again"}},
	{VMDetach, verbWords{"it is to be detached", "to be detached", "Give it away as it is"}},
	{VMAttach, verbWords{"it is attached", "attached", "Have a domain be a VM of a group"}},
}

// VMVerbs are all verbs.
func VMVerbs() []VMVerb {
	var names []VMVerb
	for _, v := range vmVerbs {
		names = append(names, v.name)
	}
	return names
}

// words of a verb of a later version are the verb.
func (v VMVerb) words() verbWords {
	for _, known := range vmVerbs {
		if known.name == v {
			return known.verbWords
		}
	}
	return verbWords{fmt.Sprintf("%q is ordered", string(v)), string(v), string(v)}
}

// Ordered says in a word or two what a VM is for which this is ordered.
func (v VMVerb) Ordered() string { return v.words().ordered }

// Summary says what who asks for this does.
func (v VMVerb) Summary() string { return v.words().summary }

// VMOrder is what a person, or a program with the role, wants of a VM. It lasts until the VM is gone, or serves again after
// it stood by or was attached.
type VMOrder struct {
	Verb   VMVerb    `json:"verb"`
	By     string    `json:"by,omitempty"`     // who said so
	Reason string    `json:"reason,omitempty"` // and why
	At     time.Time `json:"at"`               // when
	VM     string    `json:"vm,omitempty"`     // in a decision, the VM's name
	Rest   Rest      `json:"rest,omitempty"`   // of VMStandby, how it stands by
	// Cause is why vmscaler itself says so; "": somebody asked for it.
	Cause OrderCause `json:"cause,omitempty"`
	// Shrinks reports, of VMRemove, that the group has one VM less for it, so that what is kept for the next one goes, too.
	Shrinks bool `json:"shrinks,omitempty"`
}

// OrderCause is why vmscaler orders something of a VM that nobody asked for.
type OrderCause string

// CauseRebalance is that the VM's host has more VMs of the group than another one; see [Group.Rebalance].
const CauseRebalance OrderCause = "rebalance"

// Rest is how a VM stands by; with "" it runs on.
type Rest string

// The ways to stand by.
const (
	RestSuspend Rest = "suspend" // it is paused, and keeps its memory
	RestStop    Rest = "stop"    // its guest is shut down
)

func (r Rest) check() error {
	switch r {
	case "", RestSuspend, RestStop:
		return nil
	}
	return fmt.Errorf("rest: found %q, want suspend or stop, or none, with which it runs on", Clip(string(r), 40))
}

// Is reports whether there is an order, of one of these verbs.
func (o *VMOrder) Is(verbs ...VMVerb) bool { return o != nil && slices.Contains(verbs, o.Verb) }

// Leaves reports whether the VM is to go, whatever else becomes of the group: it counts in no number any more.
func (o *VMOrder) Leaves() bool { return o.Is(VMRemove, VMDrain, VMDetach) }

// Joins reports whether the VM is on its way to serve in the group, as a person wants, with its boot behind it.
func (o *VMOrder) Joins() bool { return o.Is(VMExitStandby, VMAttach) }

// Same reports whether two are the same order, given once.
func (o *VMOrder) Same(other *VMOrder) bool {
	if o == nil || other == nil {
		return o == other
	}
	return o.Verb == other.Verb && o.At.Equal(other.At)
}

// Sentence says what the order is, by whom and why.
func (o VMOrder) Sentence() string {
	text := o.Verb.words().sentence
	if o.Verb == VMStandby && o.Rest != "" {
		text += " (" + string(o.Rest) + ")"
	}
	return text + ", " + o.Attribution()
}

// Attribution says by whom the order is and why, as part of a sentence.
func (o VMOrder) Attribution() string {
	if o.Cause == "" {
		return Attribution(o.By, o.Reason)
	}
	return fmt.Sprintf("by %s (%s)", o.Cause, o.Reason)
}

// OrderURI and OrderKey are of the element with an order in a domain's metadata. It is one of its own, so that it can be written
// whatever else is being done about the VM, and outlives every process.
const (
	OrderURI = "urn:vmscaler:order:1"
	OrderKey = "vmscaler-order"
)

type orderXML struct {
	XMLName xml.Name  `xml:"order"`
	Verb    VMVerb    `xml:"verb,attr"`
	By      string    `xml:"by,attr,omitempty"`
	Reason  string    `xml:"reason,attr,omitempty"`
	At      time.Time `xml:"at,attr"`
	Rest    Rest      `xml:"rest,attr,omitempty"`

	Cause   OrderCause `xml:"cause,attr,omitempty"`
	Shrinks bool       `xml:"shrinks,attr,omitempty"`
}

// XML is the element without namespace, as libvirt's call for setting metadata wants it.
func (o VMOrder) XML() (string, error) {
	out, err := xml.Marshal(orderXML{
		Verb: o.Verb, By: o.By, Reason: o.Reason, At: o.At.UTC(), Rest: o.Rest, Cause: o.Cause, Shrinks: o.Shrinks,
	})
	if err != nil {
		return "", fmt.Errorf("encode an order: %w", err)
	}
	return string(out), nil
}

// ParseVMOrder reads the element; nil where it is none that this program wrote, which orders nothing.
func ParseVMOrder(element string) *VMOrder {
	var x orderXML
	if len(element) > longestMetadata || xml.Unmarshal([]byte(element), &x) != nil {
		return nil
	}
	o := VMOrder{
		Verb: x.Verb, By: x.By, Reason: x.Reason, At: x.At.UTC(), Rest: x.Rest, Cause: x.Cause, Shrinks: x.Shrinks,
	}
	if o.check() != nil {
		return nil
	}
	return &o
}

func (o *VMOrder) check() error {
	switch {
	case o == nil:
		return nil
	case o.Verb == "":
		return errors.New("order without a verb")
	case o.At.Year() < 1970 || o.At.Year() > 2200: // one that JSON cannot say would silence the collector
		return fmt.Errorf("at: found the year %d, want one from 1970 to 2200", o.At.Year())
	}
	if err := o.Rest.check(); err != nil {
		return err
	}
	var b bounds
	b.order("order", o)
	return b.err
}

func (b *bounds) order(field string, o *VMOrder) {
	if o == nil {
		return
	}
	b.name(field+".vm", o.VM, MaxName)
	b.name(field+".verb", string(o.Verb), maxWord)
	b.name(field+".by", o.By, maxHostName)
	b.name(field+".rest", string(o.Rest), maxWord)
	b.name(field+".cause", string(o.Cause), maxWord)
	b.reason(o.Reason)
}
