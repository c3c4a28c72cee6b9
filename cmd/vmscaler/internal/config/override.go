package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// live are the fields of a group, beside those of its policy, that can be set while it runs. The others are part of the
// VMs, or of what several stages must agree on.
var live = []string{"min", "max", "idle_to_zero", "wake_for"}

// fixed are fields of a policy that are the file's alone: who may set policies over the bus must not send the decider's files
// to an address of their own.
var fixed = []string{
	"policy.prometheus.url", "policy.prometheus.token_file", "policy.prometheus.ca", "policy.prometheus.headers",
}

// LiveField is the path of a field that can be set while a group runs, such as policy.upper for "upper". The error
// says which there are.
func LiveField(name string) (string, error) {
	fields := LiveFields()
	for _, path := range fields {
		if name == path || name == strings.TrimPrefix(path, "policy.") {
			return path, nil
		}
	}
	short := make([]string, len(fields))
	for i, path := range fields {
		short[i] = strings.TrimPrefix(path, "policy.")
	}
	if near := nearest.Name(strings.TrimPrefix(name, "policy."), short); near != "" {
		return "", fmt.Errorf("field: found %q; did you mean %s? There are %s", name, near, strings.Join(fields, ", "))
	}
	return "", fmt.Errorf("field: found %q, want one of %s", name, strings.Join(fields, ", "))
}

// CheckLive reports what is wrong with the length of a value that is to be set.
func CheckLive(path, value string) error {
	if len(value) > maxValue {
		return fmt.Errorf("%s: found %d bytes, want at most %d", path, len(value), maxValue)
	}
	return nil
}

// LiveFields are the paths of all fields that can be set while a group runs.
func LiveFields() []string {
	g := bus.DefaultGroup()
	fields := slices.Clone(live)
	var walk func(path string, s section)
	walk = func(path string, s section) {
		for _, f := range s {
			if below, ok := f.value.(section); ok {
				walk(join(path, f.key), below)
			} else {
				fields = append(fields, join(path, f.key))
			}
		}
	}
	walk("policy", policyFields(&g.Policy))
	return slices.DeleteFunc(fields, func(path string) bool { return slices.Contains(fixed, path) })
}

// LiveWords are the words that a field may be set to while a group runs; none where it takes other values than words.
func LiveWords(path string) []string {
	g := bus.DefaultGroup()
	v := groupFields(&g).find(path)
	if v == nil {
		return nil
	}
	return v.schema().words()
}

// words are those that a value may be, of a list each that may be in it.
func (s *Schema) words() (all []string) {
	all = slices.Clone(s.Enum)
	if s.Type == "boolean" {
		all = append(all, "true", "false")
	}
	if s.Const != "" {
		all = append(all, s.Const)
	}
	for _, form := range s.AnyOf {
		if form.Type != "array" { // of what may be alone
			all = append(all, form.words()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// find is the value at a path below a section, nil if there is none.
func (s section) find(path string) value {
	key, rest, more := strings.Cut(path, ".")
	for _, f := range s {
		if f.key != key {
			continue
		}
		if below, ok := f.value.(section); ok && more {
			return below.find(rest)
		}
		if !more {
			return f.value
		}
	}
	return nil
}

// Override is a group with some fields set: each by its path below the group, and with its value as in the file. What
// is wrong is the error, as for a file; then the group is not to be used.
func Override(g bus.Group, set map[string]string) (bus.Group, error) {
	d := decoder{lines: map[string]position{g.Name + ".name": {}}}
	rates, load := g.Policy.FollowsRates(), g.Policy.FollowsLoad()
	for _, path := range slices.Sorted(maps.Keys(set)) {
		field := join(g.Name, path)
		d.lines[field] = position{}
		v := groupFields(&g).find(path)
		if name, err := LiveField(path); err != nil || name != path || v == nil {
			d.problem(field, "a field that cannot be set while the group runs", "one of "+strings.Join(LiveFields(), ", "))
			continue
		}
		if n := len(set[path]); n > maxValue {
			d.problem(field, fmt.Sprintf("a value of %d bytes", n), fmt.Sprintf("at most %d", maxValue))
			continue
		}
		body := (&decoder{}).document([]byte(set[path]))
		if body == nil {
			d.problem(field, fmt.Sprintf("%q", clip(set[path])), "a value as in the file")
			continue
		}
		v.decode(&d, field, body)
	}
	if len(d.problems) == 0 {
		d.group(g.Name, g)
		if g.Policy.FollowsRates() && !rates {
			d.problem(g.Name+".policy.signal", string(g.Policy.Signal),
				"it in the file, from which the collectors know that they must read it")
		}
		if g.Policy.FollowsLoad() && !load {
			d.problem(g.Name+".policy.signal", string(g.Policy.Signal),
				"it in the file, from which the actuators know that they must ask for it")
		}
	}
	if len(d.problems) > 0 {
		return g, d.problems
	}
	return g, nil
}

// Value is a group's field, as in the file; "" for a list of mappings, which has no short form, and for no field.
func Value(g bus.Group, path string) string {
	v := groupFields(&g).find(path)
	if v == nil {
		return ""
	}
	word, _ := v.render()
	return word
}
