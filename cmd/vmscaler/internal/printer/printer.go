// Package printer prints what commands list or show, in the form that --output names: as a table for people, or for programs
// as JSON, YAML, or names alone. It knows nothing of what that is.
package printer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/vmscaler/vmscaler/bus"
)

// Format is how something is printed.
type Format string

// The formats.
const (
	Table Format = "table" // for people
	Wide  Format = "wide"  // a table with more columns
	JSON  Format = "json"
	YAML  Format = "yaml"
	Name  Format = "name" // a name a line
)

// Lists are the formats of what is a list.
func Lists() []Format { return []Format{Table, Wide, JSON, YAML, Name} }

// Values are the formats of what is one thing, and no list.
func Values() []Format { return []Format{Table, JSON, YAML} }

// Output is the flag --output. Its zero value is a table.
type Output struct {
	format  Format
	allowed []Format
}

// As is an output in a format.
func As(f Format) Output { return Output{format: f} }

// Add adds the flag -o, with the formats that a command has.
func (o *Output) Add(flags *pflag.FlagSet, allowed []Format) {
	o.allowed = allowed
	flags.VarP(o, "output", "o", "how it is printed: "+strings.Join(o.Names(), ", "))
}

// Format is the one that is chosen.
func (o *Output) Format() Format {
	if o.format == "" {
		return Table
	}
	return o.format
}

// ForPeople reports whether it is a table.
func (o *Output) ForPeople() bool { return o.Format() == Table || o.format == Wide }

func (o *Output) String() string { return string(o.Format()) }

// Type is what the flag takes.
func (o *Output) Type() string { return "format" }

// Set takes a format; text is what a table was called once.
func (o *Output) Set(text string) error {
	format := Format(text)
	if text == "text" {
		format = Table
	}
	if !slices.Contains(o.allowed, format) {
		return fmt.Errorf("found %q, want one of %s", text, strings.Join(o.Names(), ", "))
	}
	o.format = format
	return nil
}

// Names are those of the formats that the command has.
func (o *Output) Names() []string {
	names := make([]string, len(o.allowed))
	for i, f := range o.allowed {
		names[i] = string(f)
	}
	return names
}

// Column is one of a table.
type Column[T any] struct {
	Head string
	Wide bool // it is in a wide table alone
	Of   func(T) string
}

// List is what a command lists.
type List[T any] struct {
	Rows    []T // which JSON and YAML have as they are
	Name    func(T) string
	Columns []Column[T]
}

// Print prints a list in a format.
func (l List[T]) Print(out io.Writer, o *Output) error {
	switch o.Format() {
	case JSON, YAML:
		if l.Rows == nil {
			l.Rows = []T{} // none is []
		}
		return Value(out, o, l.Rows)
	case Name:
		for _, row := range l.Rows {
			if _, err := fmt.Fprintln(out, l.Name(row)); err != nil {
				return fmt.Errorf("print: %w", err)
			}
		}
		return nil
	case Table, Wide:
		return l.table(out, o.Format() == Wide)
	}
	return fmt.Errorf("print: found the format %q", o.Format())
}

// table prints a table, with its heads unless it is empty.
func (l List[T]) table(out io.Writer, wide bool) error {
	columns := slices.DeleteFunc(slices.Clone(l.Columns), func(c Column[T]) bool { return c.Wide && !wide })
	if len(l.Rows) == 0 {
		return nil
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	cells := make([]string, len(columns))
	line := func(of func(Column[T]) string) {
		for i, c := range columns {
			cells[i] = bus.Line(of(c)) // a tab or a line's end in it would make another table
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	line(func(c Column[T]) string { return c.Head })
	for _, row := range l.Rows {
		line(func(c Column[T]) string { return c.Of(row) })
	}
	_ = w.Flush() // a Buffer takes everything
	for text := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(text, " \n")); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}

// Value prints one thing as JSON or YAML, with the fields' names of JSON.
func Value(out io.Writer, o *Output, value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(value)
	data := b.Bytes()
	if err == nil && o.Format() == YAML {
		data, err = yaml.JSONToYAML(data)
	}
	if err == nil {
		_, err = fmt.Fprintln(out, strings.TrimRight(string(data), "\n"))
	}
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Line prints one thing of many that come one after the other: JSON in a line, or a document of YAML.
func Line(out io.Writer, o *Output, value any) error {
	if o.Format() == YAML {
		if _, err := fmt.Fprintln(out, "---"); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return Value(out, o, value)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
