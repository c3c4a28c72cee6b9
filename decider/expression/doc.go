// Package expression makes one number of several signals of a group, by an expression such as
//
//	max(cpu / 60, metric("requests") / 100)
//
// Its value is how much each ready VM is asked for, relative to what it should be: 1 is right, 2 is twice as much as the VMs
// should have. All that it can name is a mean, or a share, of one VM, so that it does not change by itself with the number of
// VMs. An expression has numbers and conditions alone: no loop, no list, no text to build, so that it takes microseconds.
// An input that is not known makes the value unknown, whichever way a condition goes.
package expression
