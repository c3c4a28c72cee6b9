package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/internal/figures"
)

func TestTable(t *testing.T) {
	dir := t.TempDir()
	in, page := filepath.Join(dir, "in"), filepath.Join(dir, "page.md")
	t.Setenv(figures.Variable, in)
	figures.Add(t,
		figures.Way{Figure: "a reading", Way: "vmscaler", Kind: figures.Ours, Unit: "ms", Values: []float64{9}},
		figures.Way{Figure: "a reading", Way: "not measured", Kind: figures.Rival, Unit: "ms"})
	figures.Add(t,
		figures.Way{Figure: "a reading", Way: "vmscaler", Kind: figures.Ours, Unit: "ms", Values: []float64{2, 1, 4}, Aim: 1.5},
		figures.Way{Figure: "a reading", Way: "virsh", Kind: figures.Rival, Unit: "ms", Values: []float64{20, 30, 40}, Aim: 10},
		figures.Way{Figure: "size", Way: "binary", Kind: figures.Ours, Unit: "MiB", Values: []float64{41}},
		figures.Way{Figure: "a reading", Way: "pread", Kind: figures.Limit, Unit: "ms", Values: []float64{1, 1}, Aim: 1.5})
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"old\n"+endMark+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(in, filepath.Join(dir, "json"), filepath.Join(dir, "svg"), page, "on a machine"); err != nil {
		t.Fatal(err)
	}
	want := "before\n" + beginMark + `on a machine

| figure | way | median | least–most | rounds | compared | aim | met |
|---|---|---|---|---|---|---|---|
| a reading | **vmscaler** | 2 ms | 1–4 | 3 |  | at most 1.50 | no |
| a reading | virsh (rival) | 30.0 ms | 20.0–40.0 | 3 | 10.0 times vmscaler's | 10.0 times or more | yes |
| a reading | pread (limit) | 1 ms | 1–1 | 2 | vmscaler takes 2 of it | within 1.50 times | no |
| size | **binary** | 41.0 MiB | 41.0–41.0 | 1 |  |  |  |
` + endMark + "after\n"
	if got, err := os.ReadFile(page); err != nil || string(got) != want {
		t.Errorf("the page is, with error %v:\n%s\nwant:\n%s", err, got, want)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "svg"))
	var root struct{}
	if err != nil || xml.Unmarshal(svg, &root) != nil || strings.Count(string(svg), "<circle") != 2 {
		t.Errorf("the plot is no XML with a point of each that is compared: %v\n%s", err, svg)
	}
	if _, err := between([]byte(endMark+beginMark), nil); err == nil {
		t.Error("a page with its markers in the wrong order is taken")
	}
}
