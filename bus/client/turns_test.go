package client

import (
	"fmt"
	"slices"
	"testing"
)

func (n *newest) all() (subjects []string) {
	for {
		subject, _, ok := n.take()
		if !ok {
			return subjects
		}
		subjects = append(subjects, subject)
	}
}

// Only the newest of a subject waits, and it keeps the place of the one before.
func TestNewestOfEachSubject(t *testing.T) {
	n := newNewest()
	for i := range 1000 {
		for _, subject := range []string{"a", "b"} {
			if _, err := n.put(subject, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range []string{"a", "b"} {
		if subject, data, ok := n.take(); !ok || subject != want || string(data) != "999" {
			t.Errorf("got %s %s, want %s 999", subject, data, want)
		}
	}
	if subject, _, ok := n.take(); ok || n.bytes != 0 {
		t.Errorf("%s is left, and %d bytes", subject, n.bytes)
	}
}

// However many subjects are made up: those that were heard before are taken in their turn, and memory is bounded.
func TestNewestWithInventedSubjects(t *testing.T) {
	n := newNewest()
	n.heard("honest")
	refused := 0
	for i := range 100_000 {
		if _, err := n.put(fmt.Sprint("invented", i), []byte("x")); err != nil {
			refused++
		}
	}
	if _, err := n.put("honest", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if want := 100_000 - newestStrangers; refused != want {
		t.Errorf("%d are refused, want %d", refused, want)
	}
	if at := slices.Index(n.all(), "honest"); at > 1 {
		t.Errorf("the honest one is number %d", at)
	}
}

// Large messages push out large ones, whoever came first.
func TestNewestWithLargeMessages(t *testing.T) {
	n := newNewest()
	for i := range 1000 {
		n.heard(fmt.Sprint("large", i))
	}
	n.heard("honest")
	large := make([]byte, 1<<20)
	for i := range 1000 {
		_, _ = n.put(fmt.Sprint("large", i), large)
		if n.bytes > newestBytes {
			t.Fatalf("%d bytes wait", n.bytes)
		}
	}
	if refused, _ := n.put("honest", []byte("x")); refused == "honest" {
		t.Error("the honest one is refused")
	}
	if got := n.all(); !slices.Contains(got, "honest") || len(got) > newestBytes>>20+1 {
		t.Errorf("%d wait, the honest one among them: %v", len(got), slices.Contains(got, "honest"))
	}
	if n.bytes != 0 || len(n.waiting) != 0 {
		t.Errorf("%d bytes and %d messages are left", n.bytes, len(n.waiting))
	}
}

func TestNewestRemembersSoManySubjects(t *testing.T) {
	n := newNewest()
	for i := range 2 * newestRegulars {
		n.heard(fmt.Sprint(i))
	}
	if len(n.known) != newestRegulars {
		t.Errorf("%d subjects are remembered, want %d", len(n.known), newestRegulars)
	}
}
