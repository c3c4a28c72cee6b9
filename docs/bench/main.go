// Command bench makes one table of what the benchmarks have measured: as text on standard output, and with flags as JSON, as a
// plot, and in a page between two markers. `make bench` calls it.
//
//	go run ./docs/bench -in figures.jsonl -json bench.json -svg docs/bench.svg -page docs/performance.md
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vmscaler/vmscaler/internal/figures"
)

func main() {
	in := flag.String("in", "", "what the benchmarks have added to, a line of JSON each")
	asJSON := flag.String("json", "", "write the table to this file, as JSON")
	svg := flag.String("svg", "", "write a plot of the ratios to this file")
	page := flag.String("page", "", "write the table into this page, between its markers")
	status := flag.Int("status", 0, "the exit status of the benchmarks: if it is not 0, the table says that it is not complete")
	flag.Parse()
	about := fmt.Sprintf("Measured on %s, %d cores (%s), %s.", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.GOARCH,
		runtime.Version())
	if *status != 0 {
		about += " Some benchmarks failed, so that the table is not complete."
		fmt.Println(about)
	}
	if err := run(*in, *asJSON, *svg, *page, about); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(in, asJSON, svg, page, about string) error {
	data, err := os.ReadFile(in)
	if err != nil {
		return fmt.Errorf("read what the benchmarks have measured: %w", err)
	}
	ways, err := read(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	rows := compare(ways)
	if err := text(os.Stdout, rows); err != nil {
		return err
	}
	if asJSON != "" {
		data, err := json.MarshalIndent(map[string]any{"about": about, "rows": rows}, "", "  ")
		if err == nil {
			err = os.WriteFile(asJSON, append(data, '\n'), 0o644)
		}
		if err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	if svg != "" {
		if err := os.WriteFile(svg, plot(rows), 0o644); err != nil {
			return fmt.Errorf("-svg: %w", err)
		}
	}
	if page == "" {
		return nil
	}
	old, err := os.ReadFile(page)
	if err == nil {
		old, err = between(old, markdown(rows, about))
	}
	if err == nil {
		err = os.WriteFile(page, old, 0o644)
	}
	if err != nil {
		return fmt.Errorf("-page %s: %w", page, err)
	}
	return nil
}

// read reads the ways; a benchmark that is repeated has added one more time, and the last counts.
func read(in io.Reader) (ways []figures.Way, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var w figures.Way
		if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
			return nil, fmt.Errorf("want a line of JSON for each way: %w", err)
		}
		again := false
		for i := range ways {
			if ways[i].Figure == w.Figure && ways[i].Way == w.Way {
				ways[i], again = w, true
			}
		}
		if !again {
			ways = append(ways, w)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the file
	}
	if len(ways) == 0 {
		return nil, errors.New("no benchmark has added anything")
	}
	return ways, nil
}

// Row is a line of the table.
type Row struct {
	Figure string       `json:"figure"`
	Way    string       `json:"way"`
	Kind   figures.Kind `json:"kind"`
	Unit   string       `json:"unit"`
	Median float64      `json:"median"`
	Least  float64      `json:"least"`
	Most   float64      `json:"most"`
	Rounds int          `json:"rounds"`
	// Times is how many times vmscaler's a rival takes, or how many times the limit vmscaler takes: the median of the rounds'.
	// 0 is of vmscaler's own, or where vmscaler's is missing.
	Times float64 `json:"times,omitempty"`
	Aim   string  `json:"aim,omitempty"`
	Met   *bool   `json:"met,omitempty"` // nil: nothing is aimed at, or nothing to compare with
}

// compare makes rows, those of one figure together.
func compare(ways []figures.Way) (rows []Row) {
	done := map[string]bool{}
	for _, first := range ways {
		if done[first.Figure] {
			continue
		}
		done[first.Figure] = true
		var ours []float64
		for _, w := range ways {
			if w.Figure == first.Figure && w.Kind == figures.Ours && ours == nil {
				ours = w.Values
			}
		}
		for _, w := range ways {
			if w.Figure == first.Figure {
				rows = append(rows, row(w, ours))
			}
		}
	}
	return rows
}

func row(w figures.Way, ours []float64) Row {
	r := Row{Figure: w.Figure, Way: w.Way, Kind: w.Kind, Unit: w.Unit, Rounds: len(w.Values)}
	r.Median, r.Least, r.Most = figures.Spread(w.Values)
	switch w.Kind {
	case figures.Ours:
		if w.Aim > 0 {
			r.Aim, r.Met = "at most "+number(w.Aim), new(r.Median <= w.Aim)
		}
	case figures.Rival:
		r.Times = ratio(w.Values, ours)
		if w.Aim > 0 && r.Times > 0 {
			r.Aim, r.Met = number(w.Aim)+" times or more", new(r.Times >= w.Aim)
		}
	case figures.Limit:
		r.Times = ratio(ours, w.Values)
		if w.Aim > 0 && r.Times > 0 {
			r.Aim, r.Met = "within "+number(w.Aim)+" times", new(r.Times <= w.Aim)
		}
	}
	return r
}

// ratio is of the rounds' medians: round by round where both have as many, as what disturbs one disturbs the other.
func ratio(a, b []float64) float64 {
	if len(a) != len(b) {
		over, _, _ := figures.Spread(a)
		under, _, _ := figures.Spread(b)
		return quotient(over, under)
	}
	var all []float64
	for i := range a {
		all = append(all, quotient(a[i], b[i]))
	}
	median, _, _ := figures.Spread(all)
	return median
}

func quotient(a, b float64) float64 {
	if b <= 0 {
		return 0
	}
	return a / b
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1 || v == 0:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
	}
	return fmt.Sprintf("%.3f", v)
}

var heads = []string{"figure", "way", "median", "least–most", "rounds", "compared", "aim", "met"}

// cells are a row's, in the order of the heads.
func (r Row) cells() []string {
	compared, met := "", ""
	switch {
	case r.Times == 0:
	case r.Kind == figures.Limit:
		compared = "vmscaler takes " + number(r.Times) + " of it"
	default:
		compared = number(r.Times) + " times vmscaler's"
	}
	if r.Met != nil {
		met = map[bool]string{true: "yes", false: "no"}[*r.Met]
	}
	way := r.Way
	if r.Kind != figures.Ours {
		way += " (" + string(r.Kind) + ")"
	}
	return []string{
		r.Figure, way, number(r.Median) + " " + r.Unit, number(r.Least) + "–" + number(r.Most), fmt.Sprint(r.Rounds), compared,
		r.Aim, met,
	}
}

func text(out io.Writer, rows []Row) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(heads, "\t"))
	before := ""
	for _, r := range rows {
		cells := r.cells()
		if r.Figure == before {
			cells[0] = ""
		}
		before = r.Figure
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush() //nolint:wrapcheck // standard output
}

func markdown(rows []Row, about string) []byte {
	var b bytes.Buffer
	if about != "" {
		fmt.Fprintf(&b, "%s\n\n", about)
	}
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(heads, " | "), strings.Repeat("---|", len(heads)))
	for _, r := range rows {
		cells := r.cells()
		if r.Kind == figures.Ours {
			cells[1] = "**" + cells[1] + "**"
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	return b.Bytes()
}

// The markers between which a page has the table.
const (
	beginMark = "<!-- bench begins: written by make bench -->\n"
	endMark   = "<!-- bench ends -->\n"
)

// between is a page with something else between its markers.
func between(page, inside []byte) ([]byte, error) {
	before, rest, begun := bytes.Cut(page, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !begun || !ended {
		return nil, fmt.Errorf("want the lines %q and %q, in this order", strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return bytes.Join([][]byte{before, []byte(beginMark), inside, []byte(endMark), after}, nil), nil
}
