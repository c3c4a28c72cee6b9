package policy

import "time"

// Steady is a number of VMs that rises at once, and falls only once it could have been less for a while. The zero value is none.
type Steady struct {
	VMs   int       `json:"vms"`
	Next  int       `json:"next,omitempty"` // the most since Since, less than VMs
	Since time.Time `json:"since,omitzero"` // since when fewer are enough; zero: they are not
}

// see takes how many are enough now. They must be less for hold until VMs is.
func (s *Steady) see(vms int, now time.Time, hold time.Duration) {
	switch {
	case vms >= s.VMs:
		*s = Steady{VMs: vms}
	case s.Since.IsZero(), now.Before(s.Since):
		s.Next, s.Since = vms, now
	default:
		s.Next = max(s.Next, vms)
		if now.Sub(s.Since) >= hold {
			*s = Steady{VMs: s.Next}
		}
	}
}
