package bus

import (
	"fmt"
	"slices"
)

// Outcome is what becomes of a request for one VM.
type Outcome string

// The outcomes.
const (
	OutcomeBegun   Outcome = "begun"   // it is done from now on
	OutcomeQueued  Outcome = "queued"  // it is noted, and done once the sentence says
	OutcomeNoOp    Outcome = "no-op"   // it is so already, or is on its way
	OutcomeRefused Outcome = "refused" // nothing is done, and the refusal says why
)

// Refusal is why a request for one VM is refused.
type Refusal string

// The refusals.
const (
	RefusalUnknownVM  Refusal = "unknown-vm" // no group has such a VM
	RefusalAmbiguous  Refusal = "ambiguous"  // several hosts have one of that name
	RefusalNoData     Refusal = "no-data"    // what there is of the group, or of the VM, is not known at the moment
	RefusalUnattended Refusal = "unattended" // no actuator acts on the VM's host
	RefusalDryRun     Refusal = "dry-run"    // nothing is done for the group
	RefusalPaused     Refusal = "paused"     // a person has paused scaling in
	RefusalMin        Refusal = "min"        // the group would have fewer VMs than its min
	RefusalNotReady   Refusal = "not-ready"  // the VM does not serve yet
	RefusalSuspended  Refusal = "suspended"  // a person has suspended the VM, so that it counts in no number
	RefusalBusy       Refusal = "busy"       // something is wanted of too many VMs of the group already
	RefusalIncomplete Refusal = "incomplete" // something is missing of a host, so that no group gets smaller
	RefusalLeaving    Refusal = "leaving"    // the VM's removal has begun
	RefusalStandby    Refusal = "standby"    // the VM stands by
	RefusalOff        Refusal = "off"        // the VM does not run
	RefusalMax        Refusal = "max"        // the group would have, or want, more VMs than its max
	RefusalTaken      Refusal = "taken"      // the name is of a VM of the group, or another host has it to give
	RefusalKept       Refusal = "kept"       // the VM has disks that are kept for the one in its place
)

// VMFacts are what of a VM a request for it depends on.
type VMFacts struct {
	Phase     Phase
	State     State
	Order     VMVerb // what was ordered for it before; "" is nothing
	Retiring  bool   // it serves until another has taken its place in a refresh
	Reimaging bool   // it is being given new disks
	Protected bool   // from being scaled in, which is no protection from a person's request
	Attended  bool   // an actuator acts on its host, and the host is heard
	Foreign   bool   // it is no VM of a group, but a domain of a person's; nothing else of it is known
}

// GroupFacts are what of its group a request for a VM depends on.
type GroupFacts struct {
	Controls          Controls
	Desired, Min, Max int
	Owned             int  // VMs of the group in any phase and state, and domains that are about to be
	Coming            int  // VMs that are wanted and not there yet
	Surge             int  // VMs beyond desired that may be there while some are replaced
	Complete          bool // nothing is missing of the group's hosts
	Stateful          bool // its VMs have disks that outlive them
}

// Verdict is what becomes of a request for a VM.
type Verdict struct {
	Outcome  Outcome
	Refusal  Refusal // of a refused one
	Sentence string  // for people
	Shrinks  bool    // the group has one VM less from now on
	Grows    bool    // the group has one VM more from now on
}

// Judge is what becomes of a request for a VM, by what is known of the VM and of its group. keepSize is of VMRemove, VMStandby,
// VMExitStandby, VMDetach and VMAttach.
func (v VMVerb) Judge(vm VMFacts, g GroupFacts, keepSize bool) Verdict {
	switch {
	case !vm.Attended:
		return refused(RefusalUnattended, "no actuator acts on its host, or the host is not heard")
	case g.Controls.DryRun:
		return refused(RefusalDryRun, "the group is in a dry run: nothing is done")
	case v == VMAttach && vm.Foreign:
		return judgeAttach(g, keepSize)
	case vm.Foreign:
		return refused(RefusalUnknownVM, "it is no VM of the group")
	case !vm.Phase.Known() || vm.State == StateUnknown:
		return refused(RefusalNoData, "what state it is in is not known at the moment")
	case v == VMAttach && slices.Contains([]VMVerb{VMDetach, VMRemove, VMDrain}, vm.Order):
		return refused(RefusalBusy, "it is a VM of the group that is about to leave it: ask again once it has")
	case v == VMAttach:
		return noOp("it is a VM of the group already")
	case vm.Phase == PhaseStopping && !vm.Reimaging, vm.Phase == PhaseFailed:
		return v.gone("it is being removed already")
	case vm.Phase == PhaseRetained && v != VMRemove && v != VMDrain && v != VMDetach:
		return noOp("it is retained, and out of its group: `vmscaler remove` takes it away")
	case vm.Order == VMDrain && v == VMRemove && !keepSize: // which a drain does not do
	case vm.Order == VMRemove, vm.Order == VMDrain:
		return v.gone("it leaves already, as was ordered before")
	case vm.Order == VMDetach:
		return noOp("it is being detached already")
	case vm.Phase.Pooled() && v != VMRemove && v != VMDrain:
		return refused(RefusalNotReady, "it is of the warm pool, and does not serve: `vmscaler remove` has the pool make another")
	case vm.Phase.Pooled():
		return begun("it goes now; as it was of the warm pool, it did not count")
	}
	verdict := v.judge(vm, g, keepSize)
	if g.Controls.Frozen() && (verdict.Outcome == OutcomeBegun || verdict.Outcome == OutcomeQueued) {
		verdict.Outcome, verdict.Sentence = OutcomeQueued, "everything is paused for the group: it is done once something is resumed"
	}
	if verdict.Outcome == OutcomeBegun && vm.Protected {
		verdict.Sentence += "; it is protected from scaling in, not from this"
	}
	return verdict
}

func (v VMVerb) judge(vm VMFacts, g GroupFacts, keepSize bool) Verdict {
	switch v {
	case VMReplace:
		return judgeReplace(vm, g)
	case VMRemove:
		return judgeRemove(vm, g, keepSize)
	case VMDrain:
		return judgeDrain(vm)
	case VMUnhealthy:
		return judgeUnhealthy(vm, g)
	case VMStandby:
		return judgeStandby(vm, g, keepSize)
	case VMExitStandby:
		return judgeExitStandby(vm, g, keepSize)
	case VMDetach:
		return judgeDetach(vm, g, keepSize)
	case VMAttach: // see Judge
	}
	return refused(RefusalNoData, fmt.Sprintf("this version does not know %q", Clip(string(v), 40)))
}

// gone is what becomes of a request for a VM that leaves already: nothing where it is to leave, else it is too late.
func (v VMVerb) gone(why string) Verdict {
	if slices.Contains([]VMVerb{VMStandby, VMExitStandby, VMDetach}, v) {
		return refused(RefusalLeaving, why)
	}
	return noOp(why)
}

func judgeReplace(vm VMFacts, g GroupFacts) Verdict {
	switch {
	case vm.Phase.StandsBy():
		return standsBy()
	case vm.Retiring, vm.Order == VMReplace, vm.Order == VMUnhealthy:
		return noOp("another is to take its place already")
	case vm.Reimaging, vm.Phase.Pending():
		return Verdict{Outcome: OutcomeQueued, Sentence: "it is replaced once it is ready"}
	case vm.Phase.Leaving():
		return noOp("it is leaving already")
	}
	if v, is := notRunning(vm, g); is {
		return v
	}
	switch {
	case g.Controls.IsPaused(ScopeRepair):
		return Verdict{Outcome: OutcomeQueued, Sentence: "replacing VMs is paused for the group: it is done once that is resumed"}
	case g.Owned >= g.Max:
		return begun("it goes before another takes its place, as the group has max %d VMs", g.Max)
	case g.Surge == 0:
		return begun("it goes before another takes its place, as the group's maintenance lets no VM be there beside the desired ones")
	}
	return begun("another serves before it goes")
}

func judgeRemove(vm VMFacts, g GroupFacts, keepSize bool) Verdict {
	verdict := begun("it goes now, and another takes its place")
	switch {
	case vm.Reimaging:
		verdict = Verdict{Outcome: OutcomeQueued, Sentence: "it goes once it is ready again"}
	case vm.Phase == PhaseRetained:
		return begun("it goes now; as it was retained, it did not count")
	case vm.Phase.Leaving() && vm.Order != VMDrain: // which has another take its place
		return begun("it is leaving already, and does not stay after all")
	case vm.Phase.StandsBy():
		return begun("it goes now; as it stood by, it did not count")
	case vm.State.Suspended() && !vm.Phase.Pending(): // libvirt itself starts one paused, for a moment
		return begun("it goes now; as it was suspended, it did not count")
	}
	if keepSize {
		return verdict
	}
	return shrinks(verdict, g, "it goes now")
}

// shrinks is a verdict by which a group has one VM less, or the reason why it may not have that. does is what is done to the VM.
func shrinks(verdict Verdict, g GroupFacts, does string) Verdict {
	verdict.Shrinks = true
	switch {
	case g.Controls.IsPaused(ScopeIn):
		return refused(RefusalPaused, "scaling in is paused for the group; with --keep-size another takes its place")
	case !g.Complete:
		return refused(RefusalIncomplete, "not all is known of the group's hosts, so that it does not get smaller; with --keep-size "+
			"another takes its place")
	case g.Desired <= g.Min:
		return refused(RefusalMin, fmt.Sprintf("the group wants %s, and its min is %d; with --keep-size another takes its place",
			Count(g.Desired, "VM"), g.Min))
	case verdict.Outcome == OutcomeBegun:
		verdict.Sentence = fmt.Sprintf("%s, and the group wants %s", does, Count(g.Desired-1, "VM"))
	}
	return verdict
}

func judgeDrain(vm VMFacts) Verdict {
	switch {
	case vm.Reimaging:
		return Verdict{Outcome: OutcomeQueued, Sentence: "it drains once it is ready again"}
	case vm.Phase.Leaving():
		return begun("it is leaving already, and does not stay after all")
	case vm.Phase.StandsBy():
		return begun("it goes now; as it stood by, it did not count")
	case vm.Phase.Pending(), vm.State.Off():
		return begun("it does not serve, so that it goes now; another takes its place")
	case vm.State.Suspended():
		return suspended(vm.State)
	}
	return begun("it leaves service now, and goes after its drain; another takes its place")
}

func judgeUnhealthy(vm VMFacts, g GroupFacts) Verdict {
	switch {
	case vm.Reimaging, vm.Phase.Pending():
		return refused(RefusalNotReady, "it does not serve yet: until it does, its checks and boot_timeout say whether it is well")
	case vm.Phase.StandsBy():
		return standsBy()
	case vm.Phase.Leaving():
		return noOp("it is leaving already")
	case vm.Retiring, vm.Order == VMReplace, vm.Order == VMUnhealthy:
		return noOp("another is to take its place already")
	}
	if v, is := notRunning(vm, g); is {
		return v
	}
	if g.Controls.IsPaused(ScopeRepair) {
		return Verdict{Outcome: OutcomeQueued, Sentence: "replacing VMs is paused for the group: it is replaced once that is resumed"}
	}
	return begun("it is replaced as one that does not serve, repair.at_once at a time")
}

func judgeStandby(vm VMFacts, g GroupFacts, keepSize bool) Verdict {
	switch {
	case vm.Phase.StandsBy(), vm.Order == VMStandby:
		return noOp("it stands by already, or is about to")
	case vm.Phase.Leaving() && !vm.Reimaging:
		return refused(RefusalLeaving, "its removal has begun")
	case vm.Reimaging, vm.Phase.Pending():
		return refused(RefusalNotReady, "it does not serve yet: it can stand by once it is ready")
	case vm.State.Off():
		return refused(RefusalOff, fmt.Sprintf("it is %s, and is replaced for that", vm.State))
	case vm.State.Suspended():
		return suspended(vm.State)
	case !keepSize:
		return shrinks(begun(""), g, "it leaves service now and stands by")
	case g.Owned >= g.Max:
		return begun("it leaves service now and stands by; no other takes its place, as it counts toward the group's "+
			"max of %d VMs", g.Max)
	}
	return begun("it leaves service now and stands by; another takes its place")
}

func judgeExitStandby(vm VMFacts, g GroupFacts, keepSize bool) Verdict {
	switch {
	case vm.Order == VMExitStandby:
		return noOp("it is on its way to serve again")
	case vm.Phase.Leaving():
		return refused(RefusalLeaving, "its removal has begun")
	case !vm.Phase.StandsBy():
		return noOp("it does not stand by")
	}
	verdict := begun("it serves again once it is ready")
	if vm.State.Off() || vm.State.Suspended() {
		verdict = begun("it is %s: it is woken, and serves again once it is ready", vm.State)
	}
	switch {
	case keepSize:
		verdict.Sentence += "; the group keeps its size, so that another may go for it"
	case g.Desired < g.Max:
		verdict.Grows = true
		verdict.Sentence += fmt.Sprintf(", and the group wants %s", Count(g.Desired+1, "VM"))
	}
	return verdict
}

func judgeDetach(vm VMFacts, g GroupFacts, keepSize bool) Verdict {
	const does = "it becomes a domain of yours, with its disks"
	verdict := begun(does + "; another takes its place")
	switch {
	case g.Stateful:
		return refused(RefusalKept, "the group keeps disks of its VMs for those in their places, which cannot be given away")
	case vm.State == StateSaved: // its memory would say for ever whose it was
		return refused(RefusalOff, "its memory is saved: start it first, which has it serve again, and then detach it")
	case vm.Phase == PhaseRetained:
		return begun(does + "; as it was retained, it did not count")
	case vm.Phase.Leaving() && !vm.Reimaging:
		return refused(RefusalLeaving, "its removal has begun")
	case vm.Reimaging, vm.Phase.Pending():
		return refused(RefusalNotReady, "its launch is not over: it can be detached once it is ready")
	case vm.Phase.StandsBy(), vm.State.Suspended():
		return begun(does + "; as it did not serve, it did not count")
	case keepSize:
		return verdict
	}
	return shrinks(verdict, g, does)
}

func judgeAttach(g GroupFacts, keepSize bool) Verdict {
	const does = "its disks are looked at, and then it is the group's"
	switch {
	case g.Controls.Frozen():
		return refused(RefusalPaused, "everything is paused for the group")
	case !g.Complete:
		return refused(RefusalIncomplete, "not all is known of the group's hosts")
	case g.Owned+g.Coming >= g.Max:
		return refused(RefusalMax, fmt.Sprintf("the group has %s, whatever their state, and %d are still to come; its max is %d",
			Count(g.Owned, "VM"), g.Coming, g.Max))
	case keepSize:
		return begun(does + "; the group keeps its size, so that another may go for it")
	case g.Controls.IsPaused(ScopeOut):
		return refused(RefusalPaused,
			"scaling out is paused for the group; with --keep-size it keeps its size, and another may go for it")
	case g.Desired >= g.Max:
		return refused(RefusalMax, fmt.Sprintf("the group wants %s, and its max is %d; with --keep-size it keeps its size",
			Count(g.Desired, "VM"), g.Max))
	}
	verdict := begun(does+", which wants %s from then on", Count(g.Desired+1, "VM"))
	verdict.Grows = true
	return verdict
}

func standsBy() Verdict {
	return refused(RefusalStandby, "it stands by: `vmscaler resume` has it serve again, and `vmscaler remove` takes it away")
}

// notRunning is what becomes of a request for a VM that is to be replaced and does not run, and whether it does not.
func notRunning(vm VMFacts, g GroupFacts) (v Verdict, is bool) {
	switch {
	case vm.State.Suspended():
		return suspended(vm.State), true
	case !vm.State.Off():
		return Verdict{}, false
	case g.Controls.IsPaused(ScopeRepair):
		return Verdict{Outcome: OutcomeQueued, Sentence: fmt.Sprintf(
			"it is %s, and replacing VMs is paused for the group: it is replaced once that is resumed", vm.State)}, true
	}
	return noOp(fmt.Sprintf("it is %s, and is replaced for that", vm.State)), true
}

func suspended(state State) Verdict {
	return refused(RefusalSuspended, fmt.Sprintf(
		"it is %s, and counts in no number of the group: virsh lets it serve again, and `vmscaler remove` takes it away", state))
}

func begun(format string, args ...any) Verdict {
	return Verdict{Outcome: OutcomeBegun, Sentence: fmt.Sprintf(format, args...)}
}

func noOp(sentence string) Verdict { return Verdict{Outcome: OutcomeNoOp, Sentence: sentence} }

func refused(why Refusal, sentence string) Verdict {
	return Verdict{Outcome: OutcomeRefused, Refusal: why, Sentence: sentence}
}
