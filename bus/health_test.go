package bus

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// runReporter runs a reporter for the length of the test and returns what it publishes.
func runReporter(t *testing.T, before ...error) (*Reporter, <-chan Health) {
	t.Helper()
	s := startServer(t)
	health := subscribe[Health](t, join(t, s, "watcher"), AllHealth)
	r := NewReporter(join(t, s, "collector"), "collector", "v1.2", quiet)
	for _, err := range before {
		r.Report(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r, health
}

// change is the next report that differs from the one before; those of the tick repeat it.
func change(t *testing.T, health <-chan Health, before string) Health {
	t.Helper()
	for {
		if h := receive(t, health, "health"); h.Message != before {
			return h
		}
	}
}

func TestReporterPublishesAtOnceAndOnChange(t *testing.T) {
	r, health := runReporter(t)
	h := receive(t, health, "health")
	if !h.OK || h.Message != "" || h.Stage != "collector" || h.Version != "v1.2" || h.V != Version || h.Since.IsZero() || h.Time.Before(h.Since) {
		t.Errorf("first: %+v", h)
	}
	if !strings.HasSuffix(h.Instance, "-"+strconv.Itoa(os.Getpid())) {
		t.Errorf("instance %s does not end in the process id", h.Instance)
	}
	for _, step := range []struct {
		report error
		before string
	}{
		{errors.New("libvirt is away"), ""},
		{errors.New("libvirt is back, its pool is not"), "libvirt is away"},
		{nil, "libvirt is back, its pool is not"},
	} {
		r.Report(step.report)
		h := change(t, health, step.before)
		want := ""
		if step.report != nil {
			want = step.report.Error()
		}
		if h.Message != want || h.OK != (step.report == nil) {
			t.Errorf("after %v: %+v", step.report, h)
		}
	}
}

func TestReporterNewestReportWins(t *testing.T) {
	_, health := runReporter(t, errors.New("first"), nil, errors.New("second"), errors.New("newest"))
	if h := change(t, health, ""); h.Message != "newest" || h.OK {
		t.Errorf("got %+v", h)
	}
}

// Reports come from stages that must not wait for the bus.
func TestReportNeverBlocks(*testing.T) {
	r := &Reporter{reports: make(chan report, 1)}
	for range 1000 {
		r.Report(errors.New("again"))
	}
}
