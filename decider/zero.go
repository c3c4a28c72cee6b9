package decider

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Idle is for how long a group's last VM has had nothing to do.
type Idle struct {
	Since time.Time // zero: it has, or it is not known
	Seen  time.Time // when that was known last
}

// Wake is a group that had no VM and keeps one at least for a while.
type Wake struct {
	Until time.Time `json:"until"` // zero: it was not woken
	By    string    `json:"by"`    // for people
}

// saveWakesEvery is how much later a wake must end to be kept once more: a gateway may ask for each of its requests.
const saveWakesEvery = 10 * time.Second

// worthSaving reports whether a wake says something else than what was saved.
func (w Wake) worthSaving(saved Wake) bool { return w.Until.Sub(saved.Until).Abs() >= saveWakesEvery }

// extended is a wake that lasts until then at least.
func (w Wake) extended(until time.Time, by string) Wake {
	if until.After(w.Until) {
		return Wake{until.UTC(), by}
	}
	return w
}

// shortened is a wake of a group whose wake_for is another one now: it ends sooner by as much as that is less.
func (w Wake) shortened(was, is time.Duration) Wake {
	if w.Until.IsZero() || is >= was {
		return w
	}
	w.Until = w.Until.Add(is - was)
	return w
}

// idle is the group's idleness with this observation. What is not known neither begins nor ends it, unless it lasts as long as
// makes a group blind.
func (s situation) idle() Idle {
	was := s.state.Idle
	if s.spec.Min > 0 || s.state.Desired != 1 {
		return Idle{}
	}
	switch busy, known := s.busy(); {
	case busy:
		return Idle{}
	case !known && s.now.Sub(was.Seen).Abs() >= s.spec.BlindAfter:
		return Idle{}
	case !known:
		return was
	case was.Since.IsZero() || s.now.Before(was.Since):
		return Idle{s.now, s.now}
	default:
		return Idle{was.Since, s.now}
	}
}

// busy reports whether the group's last VM has something to do, as far as is known: by the group's metric, and by its CPU. Where
// a metric alone says what there is to do, the CPU only counts as work where it is high, as the work in hand may not be in the
// metric any more.
func (s situation) busy() (busy, known bool) {
	c, p := s.counts, s.spec.Policy
	follows := policy.Follows(p)
	metricAlone := len(follows) > 0 && !slices.ContainsFunc(p.Types, func(t bus.PolicyType) bool { return policy.ReadsCPU(t, p) })
	known = s.obs.Fresh > 0 && s.incomplete == "" && s.obs.Awaited == nil && c.kept == 1 && c.ready == 1 && c.readings == 1
	if c.readings > 0 {
		average := max(c.sum, c.wanted) / float64(c.readings)
		busy = average >= p.LowerPercent && !metricAlone || average > p.UpperPercent
	}
	for _, name := range follows {
		value, _ := s.obs.metric(name, p, s.now)
		known = known && value != nil
		busy = busy || value != nil && *value > 0
	}
	if share, follows := s.ofTarget(); follows {
		known = known && share != nil
		busy = busy || share != nil && *share >= p.LowerPercent/100
	}
	return busy || s.protected(), known
}

// ofTarget is how much of its target a group has that follows what its VMs move, or an expression; nil is unknown.
func (s situation) ofTarget() (share *float64, follows bool) {
	c, p := s.counts, s.spec.Policy
	switch {
	case !p.Has(bus.PolicyTarget):
		return nil, false
	case p.Signal.IsRate():
		rates := c.moved.mean(c.ready)
		if rate := rates.Of(p.Signal); rate != nil && p.TargetMiBS > 0 {
			share = new(*rate / p.TargetMiBS)
		}
		return share, true
	case p.Signal == bus.SignalExpression:
		r := s.reading()
		if c.readings > 0 {
			r.CPUPercent = new(c.sum / float64(c.readings))
		}
		share, _ = policy.Expressed(p.Expression, r)
		return share, true
	}
	return nil, false
}

// protected reports whether a VM of the group is, which then stays.
func (s situation) protected() bool {
	for _, h := range s.obs.Hosts {
		for _, vm := range h.VMs {
			if vm.Protected && kept(&vm) {
				return true
			}
		}
	}
	return false
}

// woken is for a group without VMs that somebody wants awake.
func woken(s situation, r recommendation) (recommendation, bool) {
	r.wants, r.breaches = max(1, s.spec.Min), breaches{}
	return r, s.state.Desired == 0 && s.now.Before(s.state.Wake.Until)
}

// idleForLong lets the last VM go. A group that was woken keeps it for the time that it was woken for.
func idleForLong(s situation, r recommendation) (recommendation, bool) {
	i := s.state.Idle
	r.wants, r.breaches = 0, breaches{}
	return r, s.spec.IdleToZero > 0 && !i.Since.IsZero() && i.Seen.Equal(s.now) && s.now.Sub(i.Since) >= s.spec.IdleToZero &&
		!s.now.Before(s.state.Wake.Until)
}

// asleep is for a group without VMs: there is no CPU to go by, so only a policy with a number of its own may want one.
func asleep(s situation, r recommendation) (recommendation, bool) {
	if s.state.Desired > 0 {
		return r, false
	}
	r.breaches = breaches{}
	if policy.NeedsCPU(s.spec.Policy) {
		return r, true
	}
	asked, _ := evaluatePolicies(s, r)
	if asked.limited && asked.wants > 0 {
		asked.rule = bus.RulePolicy
		return asked, true
	}
	r.policies, r.recommendations = asked.policies, asked.recommendations
	return r, true
}

// wakeAfter is what of the wake holds after a verdict: whatever gives a group its first VM keeps it for a while, and whatever
// takes the last one ends that.
func (s situation) wakeAfter(v verdict) Wake {
	w := s.state.Wake
	switch {
	case !v.hasSample:
	case v.changes() == bus.Out && v.current == 0:
		return w.extended(s.now.Add(s.spec.WakeFor), string(v.rule))
	case v.changes() == bus.In && v.desired == 0:
		return Wake{}
	}
	return w
}

// zeroInputs are what a decision says of idleness and waking.
func (s situation) zeroInputs() (idleMS *int64, idleToZeroMS int64, wokenUntil *time.Time) {
	if s.spec.Min > 0 {
		return nil, 0, nil
	}
	if i := s.state.Idle; !i.Since.IsZero() {
		idleMS = new(s.now.Sub(i.Since).Milliseconds())
	}
	if until := s.state.Wake.Until; s.now.Before(until) {
		wokenUntil = &until
	}
	return idleMS, s.spec.IdleToZero.Milliseconds(), wokenUntil
}

// lastVM is what becomes of the last VM of a group that may have none.
func (s situation) lastVM() string {
	text := "idle with its last VM"
	switch i := s.state.Idle; {
	case s.state.Desired != 1:
		return fmt.Sprintf("idle at min %d", s.spec.Min)
	case s.spec.IdleToZero == 0:
		return text + ", which stays"
	case s.protected():
		return text + ", which is protected"
	case i.Since.IsZero():
		return text + ", which goes after " + spell(s.spec.IdleToZero) + " of that"
	default:
		left := max(s.spec.IdleToZero-s.now.Sub(i.Since), s.state.Wake.Until.Sub(s.now), 0)
		return text + ", which goes in " + spell(left)
	}
}

// idleWork is what there was to do, in words.
func (s situation) idleWork() string {
	var parts []string
	for _, name := range policy.Follows(s.spec.Policy) {
		parts = append(parts, "metric "+name+" 0")
	}
	if s.counts.readings > 0 {
		parts = append(parts, fmt.Sprintf("average %.0f %%", s.counts.sum/float64(s.counts.readings)))
	}
	return strings.Join(parts, ", ")
}

// upcoming is how many of the schedule's next actions are looked at for one that wakes the group.
const upcoming = 20

// asleepSentence says what wakes a group.
func (s situation) asleepSentence() string {
	var by []string
	for _, name := range policy.Follows(s.spec.Policy) {
		text := fmt.Sprintf("the metric %s above 0", name)
		if _, why := s.obs.metric(name, s.spec.Policy, s.now); why != "" {
			text += " (" + why + ")"
		}
		by = append(by, text)
	}
	wakes := func(n *int) bool { return n != nil && *n > 0 }
	for _, m := range s.state.timetable.Upcoming(s.now, upcoming) {
		if wakes(m.Action.Min) || wakes(m.Action.Desired) {
			by = append(by, "its schedule, "+m.Time.Format("Mon 2006-01-02 15:04 MST"))
			break
		}
	}
	text := "asleep: woken by " + strings.Join(append(by, "a request for it, or `vmscaler scale`"), "; ")
	if s.counts.kept > 0 {
		return fmt.Sprintf("%s still to go; then %s", plural(s.counts.kept), text)
	}
	return text
}

// spell is a time for people, in whole seconds.
func spell(d time.Duration) string {
	text := (time.Duration(math.Ceil(d.Seconds())) * time.Second).String()
	for _, nothing := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, nothing) {
			text = text[:len(text)-len("0s")]
		}
	}
	return text
}
