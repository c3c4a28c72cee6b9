package decider

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// onSchedule is the spec with the min and max that its schedule, with what a person has added to it, has set, and the desired
// capacity that it has set since the evaluation before. What a person has set holds in place of the schedule, and one that is
// paused stands where it did.
func onSchedule(spec bus.Group, st State, now time.Time) (bus.Group, State, *int) {
	actions := st.Controls.Over(spec.Schedule)
	if len(actions) == 0 {
		return spec, st, nil
	}
	if !st.timetable.Is(actions) {
		st.timetable, _ = schedule.New(actions) // what takes them has refused those that cannot be read
	}
	since := st.ScheduleSeenAt
	if since.IsZero() {
		since = now
	}
	at := now
	if c := st.Controls; c.IsPaused(bus.ScopeSchedule) && c.ScheduleAt != nil {
		at, since = *c.ScheduleAt, *c.ScheduleAt // what has come due since is skipped, also once it is resumed
	}
	least, most, desired := st.timetable.InForce(spec, since, at)
	if _, set := st.Controls.Set["max"]; !set {
		spec.Max = most
	}
	if _, set := st.Controls.Set["min"]; !set {
		spec.Min = least
	}
	spec.Min = min(spec.Min, spec.Max)
	if st.HasSample { // before, nothing can be scaled
		st.ScheduleSeenAt = now
	}
	return spec, st, desired
}
