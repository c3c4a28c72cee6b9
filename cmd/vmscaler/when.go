package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// wantTime is what parseTime takes.
const wantTime = `a time as vmscaler prints it (2026-11-24T03:10:00Z, "2026-11-24 03:10:00", 03:10) or how long ago (90s, 2h, 1d)`

// parseTime reads a time, in any form in which vmscaler prints one, or how long ago it was. One without a zone is local, and
// one without a date is the last such time.
func parseTime(text string, now time.Time) (time.Time, bool) {
	if ago, ok := parseAgo(text); ok {
		return now.Add(-ago), true
	}
	for _, layout := range []string{
		time.RFC3339, "2006-01-02 15:04:05Z07:00", time.DateTime, "2006-01-02 15:04",
		"2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly,
	} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, true
		}
	}
	for _, layout := range []string{time.TimeOnly, "15:04"} {
		if clock, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			at := func(day int) time.Time {
				return time.Date(now.Year(), now.Month(), day, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
			}
			if today := at(now.Day()); !today.After(now) {
				return today, true
			}
			return at(now.Day() - 1), true
		}
	}
	return time.Time{}, false
}

// parseAgo reads a time span; days and weeks are as many hours.
func parseAgo(text string) (time.Duration, bool) {
	for unit, hours := range map[string]float64{"d": 24, "w": 168} {
		if n, is := strings.CutSuffix(text, unit); is {
			count, err := strconv.ParseFloat(n, 64)
			if err == nil && count >= 0 && count <= 10_000 {
				return time.Duration(count * hours * float64(time.Hour)), true
			}
		}
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// since is a flag that is a time in the past.
type since struct {
	text string
	now  func() time.Time
	at   time.Time
}

func newSince(text string) *since {
	s := &since{now: time.Now}
	_ = s.Set(text)
	return s
}

func (s *since) String() string { return s.text }
func (s *since) Type() string   { return "time" }

func (s *since) Set(text string) error {
	now := s.now()
	at, ok := parseTime(text, now)
	if !ok || !at.Before(now) {
		return fmt.Errorf("found %q, want %s, in the past", text, wantTime)
	}
	s.text, s.at = text, at
	return nil
}
