package model

import "github.com/vmscaler/vmscaler/bus"

// Ordered says in a word or two what a person wants of a VM; "" is nothing.
func Ordered(vm bus.VM) string {
	if vm.Order == nil || vm.Phase == bus.PhaseRetained && !vm.Order.Leaves() { // it is kept in spite of it
		return ""
	}
	if vm.Order.Is(bus.VMStandby) && vm.Phase.StandsBy() { // which its phase says
		return ""
	}
	return vm.Order.Verb.Ordered()
}

// Age says of a VM that is not what new ones are made as: that it gets new disks or restarts with its own, another is to take its
// place, or it is outdated; "" is of one that is up to date, or of which that is not known. machine is the newest decision's.
func Age(vm bus.VM, machine string) string {
	switch {
	case vm.Restarting:
		return "restarting"
	case vm.Reimaging:
		return "new disks"
	case vm.Retiring:
		return "retiring"
	case vm.Machine != "" && machine != "" && vm.Machine != machine:
		return "outdated"
	}
	return ""
}
