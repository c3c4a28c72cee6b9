package simulate

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Columns says what of a CSV file is a trace. The zero value is for a file of two columns.
type Columns struct {
	Demand string  // the name of the demand's column; "" is the only one beside the time
	Scale  float64 // what the demand is multiplied by to be in vCPUs, such as 0.01 for percent of one; 0 is 1
}

// times are the names of a column with times; without one of them it is the first column.
var times = []string{"t_seconds", "time", "timestamp", "datetime", "date", "t", "seconds", "ts"}

// layouts are the times of a day that are read beside numbers; one without a zone is in UTC.
var layouts = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006/01/02 15:04:05"}

const (
	wantTime     = "whole seconds, milliseconds since 1970, or a time such as 2026-05-04 12:00:00"
	milliseconds = 1e11 // a number from which on it is of milliseconds, and not of seconds
)

// Read reads a CSV file: rows of a time and a demand, in the order of time. Lines that begin with '#' and empty ones are skipped;
// fields are separated by ',', ';' or a tab; the names of the columns come first, if there are any. A row that is missing, or has
// no demand, is put on the line between those beside it, as long as few are.
func (c Columns) Read(file string, r io.Reader) (Trace, error) {
	t := Trace{Name: strings.TrimSuffix(filepath.Base(file), ".csv")}
	p := table{file: file, columns: c}
	lines := bufio.NewScanner(io.LimitReader(r, maxBytes+1))
	lines.Buffer(nil, maxLine)
	for p.line = 1; lines.Scan(); p.line++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.read(line); err != nil {
			return Trace{}, err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Trace{}, fmt.Errorf("trace %s:%d: found a longer line, want at most %d bytes", file, p.line, maxLine)
	case err != nil:
		return Trace{}, fmt.Errorf("trace %s: %w", file, err)
	case len(p.rows) < 2:
		return Trace{}, fmt.Errorf("trace %s: found %d rows, want at least 2", file, len(p.rows))
	}
	return t, p.fill(&t)
}

// table is a file that is being read.
type table struct {
	file         string
	columns      Columns
	line         int
	separator    rune // 0 before the first row
	time, demand int  // the columns
	rows         []tableRow
}

type tableRow struct {
	line, second int
	vcpus        float64
}

func (p *table) wrong(found, want string) error {
	return fmt.Errorf("trace %s:%d: found %q, want %s", p.file, p.line, found, want)
}

func (p *table) read(line string) error {
	first := p.separator == 0
	if first {
		p.separator = ','
		for _, other := range ";\t" {
			if strings.ContainsRune(line, other) {
				p.separator = other
			}
		}
	}
	fields, err := p.split(line)
	if err != nil {
		return p.wrong(line, "fields separated by "+strconv.QuoteRune(p.separator))
	}
	if first {
		named, err := p.choose(fields)
		if err != nil || named {
			return err
		}
	}
	return p.add(line, fields)
}

func (p *table) split(line string) ([]string, error) {
	fields := strings.Split(line, string(p.separator))
	if strings.ContainsRune(line, '"') {
		r := csv.NewReader(strings.NewReader(line))
		r.Comma = p.separator
		var err error
		if fields, err = r.Read(); err != nil {
			return nil, err
		}
	}
	for i := range fields {
		fields[i] = strings.TrimSpace(fields[i])
	}
	return fields, nil
}

// choose finds the columns by the first row, and reports whether that has their names.
func (p *table) choose(fields []string) (named bool, err error) {
	if len(fields) < 2 {
		return false, p.wrong(strings.Join(fields, ""), "a time and a demand, separated by ',', ';' or a tab")
	}
	if _, err := strconv.ParseFloat(fields[1], 64); err == nil && p.columns.Demand == "" {
		p.time, p.demand = 0, 1
		if len(fields) > 2 {
			return false, p.wrong(strings.Join(fields, string(p.separator)), "two columns, or their names in the first row")
		}
		return false, nil
	}
	p.time = max(0, slices.IndexFunc(fields, func(name string) bool { return slices.Contains(times, strings.ToLower(name)) }))
	others := slices.Delete(slices.Clone(fields), p.time, p.time+1)
	want := p.columns.Demand
	switch {
	case want == "" && len(others) > 1:
		return true, p.wrong(strings.Join(fields, string(p.separator)), "one column beside the time: name it with --column")
	case want == "":
		want = others[0]
	}
	if p.demand = slices.Index(fields, want); p.demand < 0 || p.demand == p.time {
		return true, fmt.Errorf("trace %s:%d: found the columns %q, want %q among them, beside the time", p.file, p.line, fields, want)
	}
	return true, nil
}

func (p *table) add(line string, fields []string) error {
	if len(fields) <= max(p.time, p.demand) {
		return p.wrong(line, fmt.Sprintf("%d fields", max(p.time, p.demand)+1))
	}
	second, err := seconds(fields[p.time])
	if err != nil {
		return p.wrong(fields[p.time], wantTime)
	}
	switch text := fields[p.demand]; strings.ToLower(text) {
	case "", "null", "nan", "undefined":
		return nil // it is not known
	default:
		vcpus, err := strconv.ParseFloat(text, 64)
		vcpus *= cmp.Or(p.columns.Scale, 1)
		if err != nil || !(vcpus >= 0 && vcpus <= maxDemand) { // not NaN either
			return p.wrong(text, fmt.Sprintf("vCPUs from 0 to %g", float64(maxDemand)))
		}
		p.rows = append(p.rows, tableRow{p.line, second, vcpus})
	}
	switch n := len(p.rows); {
	case n > maxRows:
		return p.wrong(line, fmt.Sprintf("at most %d rows", maxRows))
	case n > 1 && second <= p.rows[n-2].second:
		return p.wrong(fields[p.time], "a later time than the row above")
	case second-p.rows[0].second > int(maxSpan/time.Second):
		return p.wrong(fields[p.time], fmt.Sprintf("at most %d days after the first row", maxSpan/(24*time.Hour)))
	}
	return nil
}

// seconds are a row's time, since some moment.
func seconds(text string) (int, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		if n >= milliseconds {
			n /= 1000
		}
		if n != math.Trunc(n) || math.Abs(n) > maxSecond {
			return 0, strconv.ErrRange
		}
		return int(n), nil
	}
	for _, layout := range layouts {
		if at, err := time.Parse(layout, text); err == nil {
			return int(at.Unix()), nil
		}
	}
	return 0, strconv.ErrSyntax
}

// fill puts the rows on a fixed step, the shortest between two of them.
func (p *table) fill(t *Trace) error {
	step := int(maxSpan / time.Second)
	for i := 1; i < len(p.rows); i++ {
		step = min(step, p.rows[i].second-p.rows[i-1].second)
	}
	most := max(1, int(maxFilled*float64(len(p.rows))))
	t.Step, t.Demand = time.Duration(step)*time.Second, []float64{p.rows[0].vcpus}
	for i := 1; i < len(p.rows); i++ {
		from, to := p.rows[i-1], p.rows[i]
		n := (to.second - from.second) / step
		if n*step != to.second-from.second {
			return fmt.Errorf(
				"trace %s:%d: found a row %d s after the one above, want rows on a fixed step, here of %d s",
				p.file,
				to.line,
				to.second-from.second,
				step,
			)
		}
		if t.Filled += n - 1; t.Filled > most {
			return fmt.Errorf("trace %s:%d: found %d rows missing up to here, at a step of %d s, want at most %d of %d", p.file, to.line,
				t.Filled, step, most, len(p.rows))
		}
		for k := 1; k <= n; k++ {
			t.Demand = append(t.Demand, from.vcpus+(to.vcpus-from.vcpus)*float64(k)/float64(n))
		}
	}
	return nil
}
