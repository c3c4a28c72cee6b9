package simulate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// entry is a name that a comparison takes, and how to make its controller for one run.
type entry struct {
	name  string
	build func(Trace, Params) (Controller, error)
}

// entries are all of them, in the order in which they are shown: those that run on any trace, and then those of a group's own
// past.
func entries() []entry { return append(baselines(), ofThePast()...) }

func baselines() []entry {
	all := []entry{
		{"threshold", withDefaults(bus.PolicyThreshold, bus.SettingBalanced)},
		{"predictive", withDefaults(bus.PolicyPredictive, bus.SettingBalanced)},
	}
	for _, s := range policy.Settings() {
		if s != bus.SettingBalanced { // the default has no name of its own
			all = append(all, entry{"predictive:" + string(s), withDefaults(bus.PolicyPredictive, s)})
		}
	}
	return append(
		all,
		entry{"aws-step", alone(awsStep)},
		entry{"aws-target", alone(func() policy.Policy { return awsTarget(time.Minute) })},
		entry{"aws-target:10s", alone(func() policy.Policy { return awsTarget(10 * time.Second) })},
		entry{"hpa", alone(func() policy.Policy { return &hpa{target: 60} })},
		entry{"hpa:70", alone(func() policy.Policy { return &hpa{target: 70} })},
		entry{"gcp", alone(func() policy.Policy { return &gcp{} })},
		entry{"azure", alone(func() policy.Policy { return &azure{} })},
		entry{"oracle", knowing(0)},
		entry{"oracle-hold300", knowing(300)},
	)
}

func ofThePast() []entry {
	all := []entry{
		{"recorded", func(t Trace, _ Params) (Controller, error) {
			if t.Owned == nil {
				return nil, errors.New("policy: recorded is for a group's own past, want --history")
			}
			return recorded{t}, nil
		}},
		{"own", func(_ Trace, w Params) (Controller, error) {
			if w.Own == nil {
				return nil, errors.New("policy: own is of a group's config, want --history")
			}
			return ownController(w), nil
		}},
	}
	for _, kind := range policy.Kinds() {
		all = append(all, entry{OwnAs(kind), func(_ Trace, w Params) (Controller, error) {
			if w.Own == nil {
				return nil, fmt.Errorf("policy: %s is of a group's config, want --history", OwnAs(kind))
			}
			own := *w.Own
			own.Policy.Types = []bus.PolicyType{kind}
			w.Own = &own
			return ownController(w), nil
		}})
	}
	return all
}

// OwnAs is the name of a group's own config with another policy, such as a shadow of it.
func OwnAs(kind bus.PolicyType) string { return "own:" + string(kind) }

// withDefaults is the decider with a policy and the defaults of a group.
func withDefaults(p bus.PolicyType, setting bus.PolicySetting) func(Trace, Params) (Controller, error) {
	return func(_ Trace, w Params) (Controller, error) { return defaultController(w, p, setting), nil }
}

// alone is a policy without the decider around it.
func alone(build func() policy.Policy) func(Trace, Params) (Controller, error) {
	return func(Trace, Params) (Controller, error) { return policyOnly{build()}, nil }
}

// knowing knows the future, and keeps VMs for so many seconds.
func knowing(hold int) func(Trace, Params) (Controller, error) {
	return func(t Trace, w Params) (Controller, error) {
		return &oracle{trace: t, needed: needs(t, w), boot: int(w.Boot / time.Second), hold: hold}, nil
	}
}

// newController is the one of a name for one run.
func newController(name string, t Trace, w Params) (Controller, error) {
	for _, e := range entries() {
		if e.name == name {
			return e.build(t, w)
		}
	}
	return nil, fmt.Errorf("policy: found %q, want one of %v", name, Policies())
}

// Policies are the names that a comparison takes.
func Policies() []string { return names(entries()) }

// Baselines are the names that run on any trace.
func Baselines() []string { return names(baselines()) }

func names(entries []entry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.name)
	}
	return all
}

// CheckPolicies reports which name is not one of Policies.
func CheckPolicies(names []string) error {
	for _, name := range names {
		if !slices.Contains(Policies(), name) {
			return fmt.Errorf("policy: found %q, want one of %v", name, Policies())
		}
	}
	return nil
}
