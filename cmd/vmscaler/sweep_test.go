package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/orphan"
)

// orphans are what a fake sweeper finds; it notes what is deleted, and fails on one path.
type orphans struct {
	found   []orphan.Orphan
	deleted []string
}

func (o *orphans) List(time.Duration) ([]orphan.Orphan, error) { return o.found, nil }

func (o *orphans) Delete(one orphan.Orphan) (bool, error) {
	if one.Path == "/stuck" {
		return false, errors.New("it is stuck")
	}
	o.deleted = append(o.deleted, one.Path)
	return true, nil
}

func TestSweep(t *testing.T) {
	mine := orphan.Orphan{Path: "/mine", Action: orphan.Delete}
	stuck := orphan.Orphan{Path: "/stuck", Action: orphan.Delete}
	theirs := orphan.Orphan{Path: "/theirs", Action: orphan.Keep}
	for name, tt := range map[string]struct {
		c       sweepCmd
		found   []orphan.Orphan
		answer  bool
		out     string // the last line
		deleted string
		err     string
	}{
		"nothing":        {found: nil, out: "nothing is without its counterpart at test:///"},
		"dry run":        {c: sweepCmd{dryRun: true}, found: []orphan.Orphan{mine, theirs}, out: "1 to be deleted"},
		"none of ours":   {found: []orphan.Orphan{theirs}, answer: true, out: "0 to be deleted"},
		"refused":        {found: []orphan.Orphan{mine}, err: "not confirmed"},
		"confirmed":      {found: []orphan.Orphan{mine, theirs}, answer: true, out: "deleted /mine", deleted: "/mine"},
		"one is stuck":   {found: []orphan.Orphan{stuck, mine}, answer: true, out: "deleted /mine", deleted: "/mine", err: "stuck"},
		"without a word": {c: sweepCmd{yes: true}, found: []orphan.Orphan{mine}, out: "deleted /mine", deleted: "/mine"},
	} {
		var out bytes.Buffer
		s := &orphans{found: tt.found}
		err := tt.c.sweep(&out, s, "test:///", func(string) (bool, error) { return tt.answer, nil })
		if tt.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v, want %q", name, err, tt.err)
		}
		if got := strings.Join(s.deleted, " "); got != tt.deleted || !strings.HasSuffix(out.String(), tt.out+"\n") && tt.out != "" {
			t.Errorf("%s: deleted %q, said %q", name, got, &out)
		}
	}
	if err := (&sweepCmd{grace: -1}).validate(); err == nil {
		t.Error("a negative grace is allowed")
	}
}
