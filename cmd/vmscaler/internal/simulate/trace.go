package simulate

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Trace is the CPU work that is asked of a group over time.
type Trace struct {
	Name   string
	Step   time.Duration // between two values; whole seconds
	Demand []float64     // in vCPUs, linear between two values
	Owned  []int         // VMs that there were, for the policy "recorded"; nil is not known
}

// Length is the time from the first value to the last.
func (t Trace) Length() time.Duration { return time.Duration(len(t.Demand)-1) * t.Step }

// At is the demand that many seconds after the start.
func (t Trace) At(second int) float64 {
	step := int(t.Step / time.Second)
	i, rest := second/step, second%step
	if i >= len(t.Demand)-1 {
		return t.Demand[len(t.Demand)-1]
	}
	return t.Demand[i] + (t.Demand[i+1]-t.Demand[i])*float64(rest)/float64(step)
}

const traceHeader = "t_seconds,demand_vcpus"

// ReadTrace reads a trace: lines that begin with '#', the header, and rows on a fixed step of whole seconds.
func ReadTrace(name string, r io.Reader) (Trace, error) {
	t := Trace{Name: name}
	lines := bufio.NewScanner(r)
	header := false
	var first int
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		wrong := func(found, want string) (Trace, error) {
			return Trace{}, fmt.Errorf("trace %s, line %d: found %q, want %s", name, n, found, want)
		}
		switch {
		case line == "", strings.HasPrefix(line, "#"):
			continue
		case !header:
			if line != traceHeader {
				return wrong(line, "the header "+traceHeader)
			}
			header = true
			continue
		}
		at, demand, _ := strings.Cut(line, ",")
		second, err := strconv.Atoi(strings.TrimSuffix(at, ".0"))
		if err != nil {
			return wrong(at, "whole seconds")
		}
		vcpus, err := strconv.ParseFloat(demand, 64)
		if err != nil || vcpus < 0 || math.IsInf(vcpus, 0) || math.IsNaN(vcpus) {
			return wrong(demand, "vCPUs of 0 or more")
		}
		switch len(t.Demand) {
		case 0:
			first = second
		case 1:
			t.Step = time.Duration(second-first) * time.Second
			if t.Step <= 0 {
				return wrong(at, "a later time than the row above")
			}
		default:
			if want := first + len(t.Demand)*int(t.Step/time.Second); second != want {
				return wrong(at, fmt.Sprintf("%d: the rows are on a fixed step", want))
			}
		}
		t.Demand = append(t.Demand, vcpus)
	}
	if err := lines.Err(); err != nil {
		return Trace{}, fmt.Errorf("trace %s: %w", name, err)
	}
	if len(t.Demand) < 2 {
		return Trace{}, fmt.Errorf("trace %s: found %d rows, want at least 2", name, len(t.Demand))
	}
	return t, nil
}

// ReadTraces reads a file, or each file *.csv of a folder, in the order of their names.
func ReadTraces(path string) ([]Trace, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	files := []string{path}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.csv")); err != nil {
			return nil, fmt.Errorf("traces in %s: %w", path, err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("traces in %s: found no *.csv", path)
		}
		slices.Sort(files)
	}
	var traces []Trace
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("trace: %w", err)
		}
		t, err := ReadTrace(strings.TrimSuffix(filepath.Base(file), ".csv"), f)
		_ = f.Close() // read only
		if err != nil {
			return nil, err
		}
		traces = append(traces, t)
	}
	return traces, nil
}
