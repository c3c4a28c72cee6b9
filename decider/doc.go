// Package decider turns samples into the number of VMs that each group should have, with the reason.
//
// Decide is the whole calculation, a pipeline of values: the rules recommend a number (recommend.go; where it comes from the
// load, threshold.go and evaluate.go with decider/policy), the limits let through what they allow of it (limits.go), an override
// applies what holds whatever the rule, and the verdict is rendered as a decision (decide.go) with its sentence
// (sentence.go). The order of rules and limits is that of the two slices. State comes in and goes out, with one exception: a
// policy learns in place, so a state with State.Policy is used up by the evaluation that it is given to.
//
// Around it, Window gathers the samples between two evaluations, decider/schedule says what is due, stepRefresh replaces outdated
// VMs step by step, OrderVM takes what a person wants of one VM, and split, allot and Numbers share the result among hosts.
// Decider is the thin loop that feeds Decide from the bus; of several one leads (lead.go) and answers requests (status.go,
// control.go).
//
// What Prometheus answers comes over the bus, too: decider/prometheus asks what Config.Ask is told.
//
// The package does no I/O but the bus, does not know libvirt, and reads no clock inside Decide.
package decider
