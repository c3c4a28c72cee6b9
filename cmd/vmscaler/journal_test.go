package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/rs/zerolog"
)

// A line of the journal says by itself what it is about and why, harmlessly, and its fields stay.
func TestJournalLines(t *testing.T) {
	var out bytes.Buffer
	log := zerolog.New(journalLines{&out})
	log.Warn().Err(errors.New("no\x1b[31m room")).Str("group", "web").Int("desired", 3).Msg("cannot decide about it yet")
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := "web: cannot decide about it yet: no␛[31m room"; got["message"] != want {
		t.Errorf("message %q, want %q", got["message"], want)
	}
	if got["group"] != "web" || got["desired"] != 3.0 || got["level"] != "warn" {
		t.Errorf("fields %v", got)
	}
}
