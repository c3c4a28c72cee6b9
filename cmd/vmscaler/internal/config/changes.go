package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// ChangeKind is what becomes of a group by another config.
type ChangeKind string

// The kinds.
const (
	Joins   ChangeKind = "joins"   // it is new
	Changes ChangeKind = "changes" // some of its fields do
	Leaves  ChangeKind = "leaves"  // it is not there any more
)

// Change is how a group differs from one config to the next.
type Change struct {
	Group  string
	Kind   ChangeKind
	Fields []FieldChange // of one that changes
}

// FieldChange is a field, with its values as in the file; both are "" for one that has no short form.
type FieldChange struct{ Path, From, To string }

// Compare is what other groups change: those that leave first, then the others in their order.
func Compare(before, after []bus.Group) (all []Change) {
	find := func(groups []bus.Group, name string) int {
		return slices.IndexFunc(groups, func(g bus.Group) bool { return g.Name == name })
	}
	for _, g := range before {
		if find(after, g.Name) < 0 {
			all = append(all, Change{Group: g.Name, Kind: Leaves})
		}
	}
	for _, g := range after {
		i := find(before, g.Name)
		switch {
		case i < 0:
			all = append(all, Change{Group: g.Name, Kind: Joins})
		case before[i].Hash() != g.Hash():
			all = append(all, Change{Group: g.Name, Kind: Changes, Fields: compareFields(groupFields(&before[i]), groupFields(&g))})
		}
	}
	return all
}

// NotReloaded are the fields outside of the groups that differ: they are read at the start only.
func NotReloaded(before, after Config) (paths []string) {
	before.Groups, after.Groups = nil, nil
	for _, f := range compareFields(configFields(&before), configFields(&after)) {
		paths = append(paths, f.Path)
	}
	return paths
}

// compareFields are the fields that differ of two sections of the same form.
func compareFields(before, after section) (all []FieldChange) {
	now := map[string]string{}
	after.walk("", func(path, word string, below []string) { now[path] = written(word, below) })
	before.walk("", func(path, word string, below []string) {
		to := now[path]
		from := written(word, below)
		switch {
		case from == to:
		case strings.Contains(from+to, "\n"):
			all = append(all, FieldChange{Path: path})
		default:
			all = append(all, FieldChange{path, from, to})
		}
	})
	return all
}

func written(word string, below []string) string {
	return strings.Join(append([]string{word}, below...), "\n")
}

// walk visits the fields of a section and of those below it.
func (s section) walk(path string, visit func(path, word string, below []string)) {
	for _, f := range s {
		if below, is := f.value.(section); is {
			below.walk(join(path, f.key), visit)
			continue
		}
		word, below := f.value.render()
		visit(join(path, f.key), word, below)
	}
}

// said are fields whose values everybody may read; of the others, which may hold secrets, a sentence says that they differ.
func said(path string) bool {
	return slices.Contains([]string{"template", "vcpus", "memory", "disk", "dry_run"}, path) || slices.Contains(LiveFields(), path)
}

// Sentence is the change for everybody.
func (c Change) Sentence() string {
	switch c.Kind {
	case Joins:
		return "joins the config"
	case Leaves:
		return "leaves the config: its VMs stay as they are"
	case Changes:
		var parts []string
		for _, f := range c.Fields {
			if said(f.Path) && f.From+f.To != "" {
				parts = append(parts, fmt.Sprintf("%s %s (was %s)", f.Path, f.To, f.From))
			} else {
				parts = append(parts, f.Path+" is another")
			}
		}
		return "the config has changed: " + strings.Join(parts, ", ")
	}
	return fmt.Sprintf("is %q by the config", c.Kind)
}
