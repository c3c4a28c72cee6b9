package main

import (
	"testing"
	"time"
)

// TestParseTime: every form in which vmscaler prints a time can be given back to it.
func TestParseTime(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	now := time.Date(2026, 11, 25, 22, 13, 15, 0, berlin)
	for text, want := range map[string]string{
		"2026-11-24T03:10:00Z":      "2026-11-24T03:10:00Z",
		"2026-11-24T03:10:00+02:00": "2026-11-24T01:10:00Z",
		"2026-11-24 03:10:00":       "2026-11-24T02:10:00Z",
		"2026-11-24 03:10":          "2026-11-24T02:10:00Z",
		"2026-11-24T03:10":          "2026-11-24T02:10:00Z",
		"2026-11-24":                "2026-11-23T23:00:00Z",
		"22:13:14":                  "2026-11-25T21:13:14Z",
		"22:14":                     "2026-11-24T21:14:00Z", // not yet today
		"03:10":                     "2026-11-25T02:10:00Z",
		"90s":                       "2026-11-25T21:11:45Z",
		"2h":                        "2026-11-25T19:13:15Z",
		"1d":                        "2026-11-24T21:13:15Z",
		"1.5d":                      "2026-11-24T09:13:15Z",
		"2w":                        "2026-11-11T21:13:15Z",
	} {
		got, ok := parseTime(text, now)
		if !ok || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %t, want %s", text, got.UTC().Format(time.RFC3339), ok, want)
		}
	}
	for _, text := range []string{"", "yesterday", "-1h", "1", "d", "NaNd", "1e300d", "25:00", "2026-13-01"} {
		if got, ok := parseTime(text, now); ok {
			t.Errorf("%q: %s", text, got)
		}
	}
}
