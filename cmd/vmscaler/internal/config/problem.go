package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	File    string // "" if the value is a default and there is no file
	Line    int    // from 1; 0 if the field is not in the file
	Column  int    // from 1; 0 if the field is not in the file
	Field   string // such as "groups[0].policy.lower"; "" if it is the file as a whole
	Found   string
	Allowed string
}

// String is one line, such as
//
//	vmscaler.yaml:12: groups[0].policy.lower: found 80, want less than upper (70)
func (p Problem) String() string { return p.Finding() + ", want " + p.Allowed }

// Finding is the line without what is wanted.
func (p Problem) Finding() string { return prefix(p.File, p.Line, p.Field) + "found " + p.Found }

// Problems is the error of a configuration that is wrong: all that is wrong with it, in the order of the file.
type Problems []Problem

// Error is one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// And is p with what was found in a later check. What that found in a field that had a problem already, or below one,
// is left out: it looked at a default there.
func (p Problems) And(later Problems) Problems {
	all := slices.Clone(p)
	for _, l := range later {
		if !slices.ContainsFunc(p, func(known Problem) bool { return within(l.Field, known.Field) }) {
			all = append(all, l)
		}
	}
	all.sort()
	return all
}

// within reports whether a field is another one or below it.
func within(field, outer string) bool {
	rest, ok := strings.CutPrefix(field, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// Warning is something that is allowed and will not do what its author wants.
type Warning struct {
	File  string
	Line  int // from 1; 0 if the field is not in the file
	Field string
	Text  string
	// Remedy is what to do; "" where the text says all.
	Remedy string
}

// String is one line, in the form of [Problem.String].
func (w Warning) String() string {
	if w.Remedy == "" {
		return w.Finding()
	}
	return w.Finding() + "; " + w.Remedy
}

// Finding is the line without the remedy.
func (w Warning) Finding() string { return prefix(w.File, w.Line, w.Field) + w.Text }

func prefix(file string, line int, field string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(file)
		if line > 0 {
			fmt.Fprintf(&b, ":%d", line)
		}
		b.WriteString(": ")
	}
	if field != "" {
		b.WriteString(field + ": ")
	}
	return b.String()
}

// position is a place in the file, both from 1.
type position struct{ line, column int }

// locate finds a field, or else the innermost of the sections around it that is there.
func locate(lines map[string]position, field string) position {
	for {
		if at, ok := lines[field]; ok || field == "" {
			return at
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
}
