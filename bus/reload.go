package bus

// Reload is the groups that hold from now on in the stages of a process, in place of those that did.
type Reload struct {
	Groups []Group
	// Changes are, by group, what changes of it, in a sentence that everybody may read; a group that leaves is there, too.
	Changes    map[string]string
	By, Reason string // who has asked for it, and why
}

// Has reports whether a group is among those that hold.
func (r Reload) Has(name string) bool {
	for _, g := range r.Groups {
		if g.Name == name {
			return true
		}
	}
	return false
}
