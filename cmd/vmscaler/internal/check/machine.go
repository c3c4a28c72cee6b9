package check

import (
	"fmt"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

// readLacks compares what the groups' VMs are to have with what the host offers.
func (f *Facts) readLacks(conn *libvirt.Connect) {
	acc := f.Libvirt.Acceleration
	if f.Libvirt.AccelerationErr != nil || acc.VirtType == "" {
		return
	}
	f.Lacks = map[string][]vm.Lack{}
	for _, g := range f.Groups {
		lacks, err := vm.Lacks(conn, vm.Machine{VirtType: acc.VirtType, Arch: acc.Arch}, g)
		if err != nil {
			f.unread(fmt.Errorf("group %s: %w", g.Name, err))
			continue
		}
		f.Lacks[g.Name] = lacks
	}
}

// machine reports what the groups' VMs cannot have here; that they can have all needs no word.
func (f Facts) machine() []Finding {
	var found []Finding
	for _, g := range f.Groups {
		for _, l := range f.Lacks[g.Name] {
			found = append(found, problem("machine", fmt.Sprintf("in the config, %s: %s", l.Field, l.Allowed),
				"group %s: %s is %s, which this host cannot give its VMs", g.Name, l.Field, l.Found))
		}
	}
	return found
}
