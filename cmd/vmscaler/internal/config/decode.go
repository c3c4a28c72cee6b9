package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// decoder walks the syntax tree. The YAML library's own strict decoder stops at the first problem.
type decoder struct {
	file     string
	lines    map[string]position // of the keys seen
	problems Problems
	ports    map[int]string // of the host, which VMs have -> the field that says so
}

// problem reports on a field, at its line.
func (d *decoder) problem(path, found, allowed string) {
	d.report(locate(d.lines, path), path, found, allowed)
}

func (d *decoder) report(at position, path, found, allowed string) {
	d.problems = append(d.problems, Problem{
		File: d.file, Line: at.line, Column: at.column, Field: path, Found: found, Allowed: allowed,
	})
}

// has reports whether the file sets the field.
func (d *decoder) has(path string) bool {
	_, ok := d.lines[path]
	return ok
}

// bad reports whether the field itself has a problem.
func (d *decoder) bad(path string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Field == path })
}

// document is the file's one document; nil if it is empty or has a problem that hides all others.
func (d *decoder) document(data []byte) ast.Node {
	if at, found, allowed := excess(data); found != "" {
		d.report(at, "", found, allowed)
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // some editors begin a file with this mark
	if !utf8.Valid(data) {
		good := bytes.ToValidUTF8(data, nil)
		at := 0
		for at < len(good) && good[at] == data[at] {
			at++
		}
		d.report(position{1 + bytes.Count(data[:at], []byte("\n")), 1}, "", "bytes that are not UTF-8", "UTF-8")
		return nil
	}
	// Duplicate keys are allowed here and reported by section.decode, with the rest.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(data, err)
		return nil
	}
	var body ast.Node
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.DirectiveType:
		case body != nil:
			d.report(positionOf(doc.Body), "", "a second document", "one document: no line --- between settings")
			return nil
		default:
			body = doc.Body
		}
	}
	return body
}

// syntax reports a file that is not YAML. Tabs come first, since the parser's message for many of them is about
// something else.
func (d *decoder) syntax(data []byte, err error) {
	number := 0
	for line := range bytes.Lines(data) {
		number++
		indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
		if tab := bytes.IndexByte(indent, '\t'); tab >= 0 && len(bytes.TrimSpace(line)) > 0 {
			d.report(position{number, tab + 1}, "", "a tab before the first word", "spaces")
		}
	}
	if len(d.problems) > 0 {
		return
	}
	at, message := position{1, 1}, err.Error()
	if e := yaml.Error(nil); errors.As(err, &e) {
		message = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			at = position{t.Position.Line, t.Position.Column}
		}
	}
	d.report(at, "", "a syntax error ("+clip(message)+")", "YAML")
}

// section is a mapping with known keys.
type section []field

func (s section) decode(d *decoder, path string, n ast.Node) {
	n = d.plain(path, n)
	if n == nil || n.Type() == ast.NullType {
		return // a key whose fields are all commented out
	}
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		at := locate(d.lines, path)
		if path == "" {
			at = positionOf(n)
		}
		d.report(at, path, describe(n), "a mapping with "+strings.Join(s.keys(), ", "))
		return
	}
	for _, entry := range mapping.Values {
		at := positionOf(entry.Key)
		if entry.Key.IsMergeKey() {
			d.report(at, path, "a merge key (<<)", "the fields written out")
			continue
		}
		key := clip(entry.Key.GetToken().Value)
		child := join(path, key)
		i := slices.IndexFunc(s, func(f field) bool { return f.key == key })
		if _, isString := entry.Key.(*ast.StringNode); !isString || i < 0 {
			d.report(at, child, "an unknown field", s.suggest(key))
			continue
		}
		if first, again := d.lines[child]; again {
			d.report(at, child, "it again", fmt.Sprintf("it once: line %d has it too", first.line))
			continue
		}
		d.lines[child] = at
		if value := d.plain(child, entry.Value); value != nil {
			s[i].value.decode(d, child, value)
		}
	}
}

// plain reports what is YAML but more than a configuration needs, and then returns nil.
func (d *decoder) plain(path string, n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.AnchorNode:
		d.problem(path, "an anchor (&)", "the value without it")
	case *ast.AliasNode:
		d.problem(path, "an alias (*)", "the value written out")
	case *ast.TagNode:
		d.problem(path, "a tag ("+clip(n.GetToken().Value)+")", "the value without it")
	default:
		return n
	}
	return nil
}

func (s section) render() (string, []string) { return "", s.lines() }

// lines is the section as YAML.
func (s section) lines() []string {
	var lines []string
	for _, f := range s {
		word, below := f.value.render()
		lines = append(lines, strings.TrimSuffix(f.key+": "+word, " "))
		for _, line := range below {
			lines = append(lines, "  "+line)
		}
	}
	return lines
}

// word is the value of one of the section's scalars.
func (s section) word(key string) string {
	i := slices.IndexFunc(s, func(f field) bool { return f.key == key })
	word, _ := s[i].value.render()
	return word
}

func (s section) keys() []string {
	keys := make([]string, len(s))
	for i, f := range s {
		keys[i] = f.key
	}
	return keys
}

// suggest reports which fields there are, and which one an unknown one was probably meant to be: one that is right elsewhere in
// the file, near by at best, or one that is spelled almost so.
func (s section) suggest(key string) string {
	allowed := "one of " + strings.Join(s.keys(), ", ")
	best := s.placeOf(key)
	if best == "" {
		best = configFields(&Config{}).placeOf(key)
	}
	if best == "" {
		best = nearest.Name(key, s.keys())
	}
	if best == "" {
		return allowed
	}
	return allowed + "; did you mean " + best + "?"
}

// placeOf is where a key is right in a section and below it, the outermost place first; "" is nowhere.
func (s section) placeOf(key string) string {
	if slices.Contains(s.keys(), key) {
		return key
	}
	for _, f := range s {
		below, sep := section(nil), "."
		switch v := f.value.(type) {
		case section:
			below = v
		case interface{ inside() section }:
			below, sep = v.inside(), "[]."
		}
		if place := below.placeOf(key); place != "" {
			return f.key + sep + place
		}
	}
	return ""
}

// list is a list of mappings.
type list[T any] struct {
	items  *[]T
	want   string // what is allowed
	empty  bool   // it may have no item
	fields func(*T) section
	fresh  func() T // an item with its defaults
}

func groupList(groups *[]bus.Group) list[bus.Group] {
	unnamed := func() bus.Group {
		g := bus.DefaultGroup()
		g.Name = "" // the one field without a default
		return g
	}
	const want = "a list of at least one group; without the key there is the default group"
	return list[bus.Group]{groups, want, false, groupFields, unnamed}
}

func (l list[T]) decode(d *decoder, path string, n ast.Node) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok || len(seq.Values) == 0 && !l.empty {
		found := describe(n)
		if ok {
			found = "an empty list"
		}
		d.problem(path, found, l.want)
		return
	}
	items := make([]T, len(seq.Values))
	for i, item := range seq.Values {
		items[i] = l.fresh()
		child := path + "[" + strconv.Itoa(i) + "]"
		d.lines[child] = positionOf(item)
		l.fields(&items[i]).decode(d, child, item)
	}
	if len(items) > 0 || len(*l.items) > 0 { // else none, as by default
		*l.items = items
	}
}

// inside is what an item has.
func (l list[T]) inside() section {
	item := l.fresh()
	return l.fields(&item)
}

func (l list[T]) render() (string, []string) {
	if len(*l.items) == 0 {
		return "[]", nil
	}
	var lines []string
	for i := range *l.items {
		mark := "- "
		for _, line := range l.fields(&(*l.items)[i]).lines() {
			lines = append(lines, mark+line)
			mark = "  "
		}
	}
	return "", lines
}

// positionOf is where a node begins.
func positionOf(n ast.Node) position {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		n = m.Values[0].Key // the mapping's own token is the colon
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return position{t.Position.Line, t.Position.Column}
	}
	return position{}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
