package main

import (
	"strings"
	"testing"
	"time"
)

func TestTransfer(t *testing.T) {
	for _, tt := range []struct {
		transfer transfer
		want     string
	}{
		{transfer{what: "fetching", total: 100 << 20}, "fetching   0 % of 100 MiB"},
		{transfer{what: "fetching", done: 1 << 20, total: 100 << 20, elapsed: time.Millisecond}, "fetching   1 % of 100 MiB"},
		{
			transfer{what: "fetching", done: 20 << 20, total: 100 << 20, elapsed: 4 * time.Second},
			"fetching  20 % of 100 MiB, 5.0 MiB/s, 16s left",
		},
		{
			transfer{what: "fetching", done: 60 << 20, from: 50 << 20, total: 100 << 20, elapsed: 10 * time.Second},
			"fetching  60 % of 100 MiB, 1.0 MiB/s, 40s left",
		},
		{
			transfer{what: "fetching", done: 100 << 20, total: 100 << 20, elapsed: 20 * time.Second},
			"fetching 100 MiB in 20s, 5.0 MiB/s",
		},
		{transfer{what: "fetching", done: 20 << 20, elapsed: 4 * time.Second}, "fetching 20 MiB, 5.0 MiB/s"},
		{transfer{what: "fetching", done: 99, total: 100, from: 99, elapsed: time.Hour}, "fetching  99 % of 0 MiB"},
	} {
		if got := tt.transfer.String(); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.transfer, got, tt.want)
		}
	}
}

// A terminal has one line that changes, a file a line now and then, and both the end once.
func TestBars(t *testing.T) {
	for live, want := range map[bool]string{
		true: "\rfetching  50 % of 4 MiB, 2.0 MiB/s, 1s left\rfetching 4 MiB in 2s, 2.0 MiB/s            \n" +
			"\rreading 1 MiB in 0s\n",
		false: "fetching 4 MiB in 2s, 2.0 MiB/s\nreading 1 MiB in 0s\n",
	} {
		var out strings.Builder
		now := time.Unix(0, 0)
		b := &bars{out: &out, live: live, clock: func() time.Time { return now }}
		b.show("fetching", 0, 4<<20)
		b.show("fetching", 1, 4<<20)
		now = now.Add(time.Second)
		b.show("fetching", 2<<20, 4<<20)
		b.show("fetching", 2<<20+1, 4<<20)
		now = now.Add(time.Second)
		b.show("fetching", 4<<20, 4<<20)
		b.show("fetching", 4<<20, 4<<20)
		b.show("reading", 1<<20, 1<<20)
		if got := out.String(); got != want {
			t.Errorf("on a terminal %v: %q, want %q", live, got, want)
		}
	}
	var out strings.Builder
	now := time.Unix(0, 0)
	b := &bars{out: &out, clock: func() time.Time { return now }}
	for i := range 25 {
		b.show("fetching", int64(i)<<20, 0)
		now = now.Add(time.Second)
	}
	if got := out.String(); got != "fetching 10 MiB, 1.0 MiB/s\nfetching 20 MiB, 1.0 MiB/s\n" {
		t.Errorf("elsewhere: %q", got)
	}
}
