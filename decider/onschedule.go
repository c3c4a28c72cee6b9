package decider

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// onSchedule is the spec with the min and max that its schedule has set, and the desired capacity that it has set since
// the evaluation before. What a person has set holds in place of the schedule.
func onSchedule(spec bus.Group, st *State, now time.Time) (bus.Group, *int) {
	if len(spec.Schedule) == 0 {
		return spec, nil
	}
	least, most := schedule.InForce(spec, now)
	if _, set := st.Controls.Set["max"]; !set {
		spec.Max = most
	}
	if _, set := st.Controls.Set["min"]; !set {
		spec.Min = least
	}
	spec.Min = min(spec.Min, spec.Max)
	var desired *int
	var newest time.Time
	for _, a := range spec.Schedule {
		last := schedule.Last(a, now)
		if a.Desired > 0 && !st.Scheduled.IsZero() && last.After(st.Scheduled) && !last.Before(newest) {
			desired, newest = &a.Desired, last
		}
	}
	if st.Known { // before, nothing can be scaled
		st.Scheduled = now
	}
	return spec, desired
}
