//go:build fleet

package e2e

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// evidence is what was seen of the fleet since a moment: nothing from before it says that all is well after it.
type evidence struct {
	since  time.Time
	heard  map[string]time.Time // when the first sample of each host came that was taken since
	waited time.Duration        // until all was well
}

func newEvidence() evidence { return evidence{since: time.Now(), heard: map[string]time.Time{}} }

// take notes a sample of a host whose clock is ahead by so much.
func (e *evidence) take(s bus.Sample, ahead time.Duration) {
	if _, has := e.heard[s.Host]; !has && s.Time.Add(-ahead).After(e.since) {
		e.heard[s.Host] = time.Now()
	}
}

// covers reports whether a decision knows a sample that each host took since then. The decider may have heard it a moment after
// the test.
func (e *evidence) covers(d bus.Decision, hosts []*fleetHost) error {
	for _, h := range hosts {
		at, has := e.heard[h.name]
		if !has {
			return fmt.Errorf("no new sample of %s", h.name)
		}
		if d.Time.Before(at.Add(time.Second)) {
			return errors.New("no new decision")
		}
	}
	return nil
}

// settled waits until all hosts are up, each server answers, and the group has what it wants and runs; by what was seen after the
// call alone.
func (w *fleetWatch) settled() {
	w.f.t.Helper()
	w.evidence = newEvidence()
	w.until(fleetStep, "all hosts are up, and the group has what it wants", func() error {
		d := w.decision
		if err := w.evidence.covers(d, w.f.hosts); err != nil {
			return err
		}
		if n := running(w.f.hosts...); n != fleetVMs || count(w.f.hosts...) != n || d.Desired != fleetVMs || d.Inputs.Ready != n ||
			len(d.Hosts) > 0 || len(d.Shares) != len(w.f.hosts) || time.Since(d.Time) > 5*time.Second {
			return errors.New(w.where())
		}
		for i, c := range w.conns {
			if err := c.NATS().FlushTimeout(time.Second); err != nil {
				return fmt.Errorf("the server of %s: %w", w.f.hosts[i].name, err)
			}
		}
		return nil
	})
	w.evidence.waited = time.Since(w.evidence.since)
	for _, h := range w.f.hosts {
		h.excused = false
	}
}

// running is how many of the VMs of hosts run.
func running(hosts ...*fleetHost) int {
	n := 0
	for _, h := range hosts {
		vms, _ := h.vms()
		for _, vm := range vms {
			if vm.State == bus.StateRunning {
				n++
			}
		}
	}
	return n
}

// recoveries are how long it took after each fault's end until all was well.
type recoveries map[string][]time.Duration

// String is a table of the faults, and all of them together.
func (r recoveries) String() string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 4, 1, ' ', 0)
	fmt.Fprintln(table, "| fault\t| times\t| median s\t| longest s\t|")
	fmt.Fprintln(table, "|---\t|---\t|---\t|---\t|")
	var names []string
	var all []time.Duration
	for name, took := range r {
		names, all = append(names, name), append(all, took...)
	}
	slices.Sort(names)
	for _, name := range names {
		took := r[name]
		fmt.Fprintf(table, "| %s\t| %d\t| %.1f\t| %.1f\t|\n", name, len(took), percentile(took, 50), percentile(took, 100))
	}
	_ = table.Flush()
	return fmt.Sprintf("%d faults; all was well again after %.1f s (p50), %.1f s (p95), %.1f s (p99), at most %.1f s\n%s",
		len(all), percentile(all, 50), percentile(all, 95), percentile(all, 99), percentile(all, 100), text.String())
}

// percentile is the least of some durations, in seconds, that so many of a hundred do not exceed; 0 of none.
func percentile(of []time.Duration, p float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	return sorted[max(0, int(math.Ceil(p/100*float64(len(sorted))))-1)].Seconds()
}
