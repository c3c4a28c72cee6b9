// Package trial boots throw-away clones of a template, to see whether the VMs of a group will work that are made from it.
//
// The clones are VMs of a group of their own, whose name no config has, made and removed as all VMs are. What a killed trial
// has left is found by that name, see Sweep.
package trial
