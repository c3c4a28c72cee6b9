package bus

import "time"

// Attachment is a domain that a person wants to be a VM of a group. It has a place in the group's max from then on. The actuator
// of its host looks at the domain's disks before it takes it in, and not after Until.
type Attachment struct {
	VM     string    `json:"vm"`      // the domain's name, which is that of a VM of the group
	HostID HostID    `json:"host_id"` // where it is
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"` // when it was asked for
	Until  time.Time `json:"until"`
	// KeepSize leaves what the group wants as it is; else that is one VM more once the domain is the group's.
	KeepSize bool `json:"keep_size,omitempty"`
}

// Order is what the VM's metadata says of it until it serves.
func (a Attachment) Order() VMOrder {
	return VMOrder{Verb: VMAttach, By: a.By, Reason: a.Reason, At: a.At}
}

// Same reports whether two are the same request.
func (a Attachment) Same(b Attachment) bool {
	return a.VM == b.VM && a.HostID == b.HostID && a.At.Equal(b.At)
}

// MaxAttach is how many domains a decision has to attach.
const MaxAttach = 10

func (b *bounds) attach(all []Attachment) {
	b.count("attach", len(all), MaxAttach)
	for _, a := range all {
		if a.VM == "" || a.HostID == "" || a.Until.IsZero() {
			b.refuse("attach without vm, host_id or until")
		}
		b.name("attach.vm", a.VM, MaxName)
		b.name("attach.host_id", string(a.HostID), maxWord)
		b.order("attach", new(a.Order()))
	}
}
