package bus

import "errors"

// MaxLaunch is how many VMs one request may launch.
const MaxLaunch = 100

// Launch is the answer to a request for more VMs, all of which the group has from now on; else it is refused.
type Launch struct {
	V        int        `json:"v"`
	Group    string     `json:"group"`
	Desired  int        `json:"desired"` // VMs that it wants from now on, those among them
	VMs      []Launched `json:"vms"`
	Sentence string     `json:"sentence"`
}

// Launched is a VM that is to come.
type Launched struct {
	VM   string `json:"vm,omitempty"` // "": it may be one of the warm pool, and has the name of that
	Host string `json:"host"`
}

func (l *Launch) check() error {
	if l.Group == "" || len(l.VMs) == 0 {
		return errors.New("answer to a launch without group or vms")
	}
	var b bounds
	b.name("group", l.Group, MaxName)
	b.count("vms", len(l.VMs), MaxLaunch)
	for _, vm := range l.VMs {
		b.name("vms.vm", vm.VM, MaxName)
		b.name("vms.host", vm.Host, maxHostName)
	}
	b.text("sentence", l.Sentence)
	if err := b.of("launch"); err != nil {
		return err
	}
	return checkVersion(l.V)
}
