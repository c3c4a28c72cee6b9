package model

import "github.com/vmscaler/vmscaler/bus"

// Age says of a VM that is not what new ones are made as: that it gets new disks, another is to take its place, or it is
// outdated; "" is of one that is up to date, or of which that is not known. machine is the newest decision's.
func Age(vm bus.VM, machine string) string {
	switch {
	case vm.Reimaging:
		return "new disks"
	case vm.Retiring:
		return "retiring"
	case vm.Machine != "" && machine != "" && vm.Machine != machine:
		return "outdated"
	}
	return ""
}
