package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
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

// What a trace may be at most; docs/policies.md names it. A year takes minutes.
const (
	maxBytes  = 64 << 20 // of all files of a folder together
	maxRows   = 1_000_000
	maxSpan   = 366 * 24 * time.Hour
	maxDemand = 1e6  // vCPUs
	maxSecond = 1e12 // either side of 0, so that also times since 1970 are taken
	maxLine   = 4096 // bytes
)

// ReadTrace reads a trace from a file: lines that begin with '#', the header, and rows on a fixed step of whole seconds.
func ReadTrace(file string, r io.Reader) (Trace, error) {
	t := Trace{Name: strings.TrimSuffix(filepath.Base(file), ".csv")}
	lines := bufio.NewScanner(io.LimitReader(r, maxBytes+1))
	lines.Buffer(nil, maxLine)
	header := false
	var first int
	n := 1
	for ; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		wrong := func(found, want string) (Trace, error) {
			return Trace{}, fmt.Errorf("trace %s:%d: found %q, want %s", file, n, found, want)
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
		if err != nil || second > maxSecond || second < -maxSecond {
			return wrong(at, "whole seconds")
		}
		vcpus, err := strconv.ParseFloat(demand, 64)
		if err != nil || !(vcpus >= 0 && vcpus <= maxDemand) { // not NaN either
			return wrong(demand, fmt.Sprintf("vCPUs from 0 to %g", float64(maxDemand)))
		}
		switch len(t.Demand) {
		case 0:
			first = second
		case 1:
			if second <= first {
				return wrong(at, "a later time than the row above")
			}
			t.Step = time.Duration(min(second-first, int(2*maxSpan/time.Second))) * time.Second
		case maxRows:
			return wrong(line, fmt.Sprintf("at most %d rows", maxRows))
		default:
			if want := first + len(t.Demand)*int(t.Step/time.Second); second != want {
				return wrong(at, fmt.Sprintf("%d: the rows are on a fixed step", want))
			}
		}
		if second-first > int(maxSpan/time.Second) {
			return wrong(at, fmt.Sprintf("at most %d days after the first row", maxSpan/(24*time.Hour)))
		}
		t.Demand = append(t.Demand, vcpus)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return Trace{}, fmt.Errorf("trace %s:%d: found a longer line, want at most %d bytes", file, n, maxLine)
	case err != nil:
		return Trace{}, fmt.Errorf("trace %s: %w", file, err)
	case len(t.Demand) < 2:
		return Trace{}, fmt.Errorf("trace %s: found %d rows, want at least 2", file, len(t.Demand))
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
	var bytes int64
	for _, file := range files {
		info, err := os.Stat(file)
		switch {
		case err != nil:
			return nil, fmt.Errorf("trace: %w", err)
		case !info.Mode().IsRegular(): // before it is opened, as that may wait for a writer, or have an effect
			return nil, fmt.Errorf("trace %s: found %s, want a regular file", file, kind(info.Mode()))
		}
		if bytes += info.Size(); bytes > maxBytes {
			return nil, fmt.Errorf("trace %s: found %d bytes with the files before it, want at most %d", file, bytes, maxBytes)
		}
		t, err := readFile(file)
		if err != nil {
			return nil, err
		}
		traces = append(traces, t)
	}
	return traces, nil
}

func readFile(file string) (Trace, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // also if it has become a FIFO since
	if err != nil {
		return Trace{}, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	return ReadTrace(file, f)
}

// kind is what a file that is not a regular one is.
func kind(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&os.ModeNamedPipe != 0:
		return "a FIFO"
	case m&os.ModeSocket != 0:
		return "a socket"
	case m&os.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}
