package client_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
)

// runReporter runs a reporter for the length of the test and returns what it publishes.
func runReporter(t *testing.T, before ...error) (*client.Reporter, <-chan bus.Health) {
	t.Helper()
	s := bustest.StartServer(t)
	health := bustest.Subscribe[bus.Health](t, bustest.Join(t, s, "watcher"), bus.AllHealth)
	r := client.NewReporter(bustest.Join(t, s, "collector"), "collector", "v1.2", bustest.Quiet)
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
func change(t *testing.T, health <-chan bus.Health, before string) bus.Health {
	t.Helper()
	for {
		if h := bustest.Receive(t, health, "health"); h.Message != before {
			return h
		}
	}
}

func TestReporterPublishesAtOnceAndOnChange(t *testing.T) {
	r, health := runReporter(t)
	h := bustest.Receive(t, health, "health")
	if !h.OK || h.Message != "" || h.Stage != "collector" || h.Version != "v1.2" || h.V != bus.Version || h.Since.IsZero() ||
		h.Time.Before(h.Since) {
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

// TestReporterLogsEachCauseOnce: that something lasts is published each time, and is no line of the log each second.
func TestReporterLogsEachCauseOnce(t *testing.T) {
	s := bustest.StartServer(t)
	health := bustest.Subscribe[bus.Health](t, bustest.Join(t, s, "watcher"), bus.AllHealth)
	var log bytes.Buffer
	r := client.NewReporter(bustest.Join(t, s, "collector"), "collector", "v1.2", zerolog.New(&log))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	before := ""
	for _, message := range []string{"no sample for 9 s", "no sample for 10 s", "no actuator for 11 s", "no sample for 12 s"} {
		code, _, _ := strings.Cut(message, " for ")
		r.Report(bus.Troubles{{Problem: bus.Problem{Code: bus.ProblemCode(code)}, Text: message}})
		if h := change(t, health, before); h.Message != message || h.OK || len(h.Problems) != 1 || string(h.Problems[0].Code) != code {
			t.Errorf("published %+v, want %q", h, message)
		}
		before = message
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for message, want := range map[string]bool{"no sample for 9 s": true, "for 10 s": false, "for 11 s": true, "for 12 s": true} {
		if got := strings.Contains(log.String(), message); got != want {
			t.Errorf("logged %q: %v, want %v", message, got, want)
		}
	}
}

// A note that is too long for a message is cut where it is sent, and is logged once all the same.
func TestReporterLogsALongNoteOnce(t *testing.T) {
	s := bustest.StartServer(t)
	health := bustest.Subscribe[bus.Health](t, bustest.Join(t, s, "watcher"), bus.AllHealth)
	var log bytes.Buffer
	r := client.NewReporter(bustest.Join(t, s, "actuator"), "actuator", "v1.2", zerolog.New(&log))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	for _, host := range []bus.HostID{"a", "b", "c"} {
		r.Acts(bus.Acts{HostID: host})
		r.Report(client.Note(strings.Repeat("left alone; ", bus.MaxText/8)))
		for {
			if h := bustest.Receive(t, health, "health"); h.Acts != nil && h.Acts.HostID == host {
				break
			}
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

// Reports come from stages that must not wait for the bus.
func TestReportNeverBlocks(t *testing.T) {
	conn, err := client.Dial(client.Remote{URL: "nats://127.0.0.1:1"}, "stage", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	r := client.NewReporter(conn, "stage", "", bustest.Quiet)
	for range 1000 {
		r.Report(errors.New("again"))
	}
}

// What calls have taken is part of the health that follows.
func TestReporterSaysWhatCallsTake(t *testing.T) {
	s := bustest.StartServer(t)
	health := bustest.Subscribe[bus.Health](t, bustest.Join(t, s, "watcher"), bus.AllHealth)
	conn := bustest.Join(t, s, "collector")
	conn.Calls().Observe(bus.APILibvirt, "pass", 3*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- client.NewReporter(conn, "collector", "v1.2", bustest.Quiet).Run(ctx) }()
	if h := bustest.Receive(t, health, "health"); len(h.Calls) != 1 || h.Calls[0].Call != "pass" || h.Calls[0].SumMS != 3 {
		t.Errorf("it says %+v", h.Calls)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
