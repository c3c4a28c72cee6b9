// Package tracing makes a trace of each decision that changes how many VMs a group is to have: the decider begins it, the header
// traceparent of the decision's message carries it over the bus, and each step of a launch or removal that comes of it is a span.
package tracing
