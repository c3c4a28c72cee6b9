package simulate

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"math"
	"time"
)

//go:embed page.html
var page string

// chart is what the page draws of one trace: one value each for a run's points, and for each policy.
type chart struct {
	Trace   string    `json:"trace"`
	Hours   []float64 `json:"hours"`
	Demand  []float64 `json:"demand"` // VMs at full use
	Lines   []line    `json:"lines"`
	Boot    string    `json:"boot"`
	Planned float64   `json:"planned"` // the share of a VM that is planned for
}

type line struct {
	Policy string    `json:"policy"`
	Ready  []int     `json:"ready"`
	CPU    []float64 `json:"cpu"`
}

type row struct {
	Title   string // of a table that begins here, "" within one
	Policy  string
	Metrics Metrics
}

// WriteHTML writes one page that needs nothing else: demand and capacity over time for each policy, and the tables. The
// results are those of the plan, whose Keep was not 0.
func WriteHTML(w io.Writer, plan Plan, results []Result) error {
	t, err := template.New("page").
		Funcs(template.FuncMap{"f2": func(x float64) string { return fmt.Sprintf("%.2f", x) }}).
		Parse(page)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	rows := []row{}
	for i, r := range results {
		title := ""
		if i%len(plan.Policies) == 0 {
			title = fmt.Sprintf("%s, boot %s", r.Trace, r.Boot)
		}
		rows = append(rows, row{title, r.Policy, r.Metrics})
	}
	means := []row{}
	for _, r := range Overall(plan, results) {
		means = append(means, row{"", r.Policy, r.Metrics})
	}
	err = t.Execute(w, map[string]any{
		"Means": means, "Rows": rows, "Charts": charts(results), "World": plan.Params, "Seeds": plan.Seeds, "Policy": plan.Policies[0],
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// charts has one chart for each trace.
func charts(results []Result) []*chart {
	all := []*chart{}
	byTrace := map[string]*chart{}
	for _, r := range results {
		if len(r.Points) == 0 {
			continue
		}
		c := byTrace[r.Trace]
		if c == nil {
			c = &chart{Trace: r.Trace, Boot: r.Boot.Round(time.Second).String(), Planned: full}
			for _, p := range r.Points {
				c.Hours = append(c.Hours, tenths(float64(p.Second)/3600, 1e4))
				c.Demand = append(c.Demand, tenths(p.Demand, 100))
			}
			byTrace[r.Trace] = c
			all = append(all, c)
		}
		l := line{Policy: r.Policy}
		for _, p := range r.Points {
			l.Ready, l.CPU = append(l.Ready, p.Ready), append(l.CPU, math.Round(p.CPU))
		}
		c.Lines = append(c.Lines, l)
	}
	return all
}

// tenths rounds to one part in n, which keeps the page small.
func tenths(x, n float64) float64 { return math.Round(x*n) / n }
