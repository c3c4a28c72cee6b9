// Package figures collects what benchmarks measure, each way of doing something beside its rivals and its limit, so that
// `make bench` has one table of all of them. It is for tests.
package figures

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// Variable names the file to which Add adds, by lines of JSON. Without it Add does nothing.
const Variable = "VMSCALER_FIGURES"

// Kind is what a way of doing something is.
type Kind string

// The kinds.
const (
	Ours  Kind = "vmscaler"
	Rival Kind = "rival" // what people do without vmscaler
	Limit Kind = "limit" // what vmscaler cannot beat: the least that has to be done, or a machine that does nothing else
)

// Way is what one way of doing something took.
type Way struct {
	Figure string    `json:"figure"` // what is done, with how many VMs; the ways of one figure are compared
	Way    string    `json:"way"`
	Kind   Kind      `json:"kind"`
	Unit   string    `json:"unit"`
	Values []float64 `json:"values"` // of each round, the same round at the same place in each way
	// Aim is what is aimed at, 0 is nothing: of vmscaler's way the most, in Unit; of a rival how many times vmscaler's it should
	// take at least; of a limit how many times it vmscaler's may take at most.
	Aim float64 `json:"aim,omitempty"`
}

// Add adds ways; those that were not measured are left out.
func Add(tb testing.TB, ways ...Way) {
	tb.Helper()
	name := os.Getenv(Variable)
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	for _, w := range ways {
		if len(w.Values) > 0 {
			err = json.NewEncoder(f).Encode(w)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
}

// Spread is the median, the least and the most; of nothing 0.
func Spread(values []float64) (median, least, most float64) {
	if len(values) == 0 {
		return 0, 0, 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]
}
