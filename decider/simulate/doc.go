// Package simulate runs the decider's own code, and what other autoscalers are documented to do, against a simulated group on
// virtual time, and measures how well each follows a demand.
package simulate
