package simulate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// Trace is the CPU work that is asked of a group over time.
type Trace struct {
	Name   string
	Step   time.Duration // between two values; whole seconds
	Demand []float64     // in vCPUs, linear between two values
	Owned  []int         // VMs that there were, for the policy "recorded"; nil is not known
	Filled int           // rows that were missing, and are on the line between those beside them
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

// What a trace may be at most; docs/policies.md names it. A year takes minutes.
const (
	maxBytes  = 64 << 20 // of all files of a folder together
	maxRows   = 1_000_000
	maxSpan   = 366 * 24 * time.Hour
	maxDemand = 1e6  // vCPUs
	maxSecond = 1e12 // either side of 0, so that also times since 1970 are taken
	maxLine   = 4096 // bytes
	maxFilled = 0.05 // of the rows that there should be: those that are missing
)

// ReadTraces reads a file, or each file *.csv of a folder, in the order of their names; or standard input, which is called "-".
func ReadTraces(path string, c Columns) ([]Trace, error) {
	if path == "-" {
		t, err := c.Read("standard input", os.Stdin)
		return []Trace{t}, err
	}
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
		t, err := c.readFile(file)
		if err != nil {
			return nil, err
		}
		traces = append(traces, t)
	}
	return traces, nil
}

func (c Columns) readFile(file string) (Trace, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // also if it has become a FIFO since
	if err != nil {
		return Trace{}, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	return c.Read(file, f)
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
