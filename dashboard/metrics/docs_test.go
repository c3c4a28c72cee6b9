package metrics

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

var update = flag.Bool("update", false, "write the table of metrics")

const page = "../../docs/metrics.md"

// TestDocs: the page has each metric, as it describes itself.
func TestDocs(t *testing.T) {
	e := heard(t, true)
	s := bustest.Sample()
	s.Time = s.Time.Add(time.Second)
	s.VMs[0].RunDelayPercent, s.VMs[0].MemoryUsedMiB = new(1.), new(1)
	e.Fold(*s)
	h := bustest.Health()
	h.Problems = []bus.Problem{{Code: bus.ProblemNoRoom, Subject: "web"}}
	e.Fold(*h)
	removed := bustest.EventAt("web", "web-2", s.Time)
	removed.Event, removed.ElapsedMS = bus.EventRemoved, 1
	e.Fold(*removed)
	rows := map[string]string{}
	d := bustest.Decision()
	d.Recommendations, d.Inputs.TargetPercent, d.Inputs.LowerPercent, d.Inputs.UpperPercent = nil, 0, 20, 70
	e.goOn(*s, *d, 5, 0)
	families, err := NewRegistry(e.Exporter, func() bool { return true }, func() uint64 { return 0 }).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), namespace+"_") {
			continue
		}
		labels := "none"
		for i, l := range f.GetMetric()[0].GetLabel() {
			if i == 0 {
				labels = "`" + l.GetName() + "`"
			} else {
				labels += ", `" + l.GetName() + "`"
			}
		}
		rows[f.GetName()] = fmt.Sprintf("| `%s` | %s | %s |\n", f.GetName(), labels, strings.TrimSuffix(f.GetHelp(), "."))
	}
	var names []string
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	var table strings.Builder
	for _, name := range names {
		table.WriteString(rows[name])
	}
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, rest, found := strings.Cut(string(data), "| metric | labels | what it is |\n|---|---|---|\n")
	if !found {
		t.Fatalf("%s has no table", page)
	}
	_, end, _ := strings.Cut(rest, "\n`--metrics-per-vm=false`")
	want := begin + "| metric | labels | what it is |\n|---|---|---|\n" + table.String() + "\n`--metrics-per-vm=false`" + end
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil { //nolint:gosec // a page of the docs
			t.Fatal(err)
		}
		return
	}
	if string(data) != want {
		t.Errorf("%s has other metrics; `go test ./dashboard/metrics -update` writes\n%s", page, table.String())
	}
}
