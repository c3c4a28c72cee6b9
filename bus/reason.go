package bus

import "fmt"

// MaxReason is the longest reason that a person may give for a request, in bytes.
const MaxReason = 300

// CheckReason reports what is wrong with the reason that a person gives: it is one line of printable characters.
func CheckReason(text string) error {
	var b bounds
	b.reason(text)
	return b.err
}

func (b *bounds) reason(text string) { b.name("reason", text, MaxReason) }

// Attribution says who has asked for something and why, as part of a sentence: `by ann@kvm1 ("launch at 9")`.
func Attribution(by, reason string) string {
	if by == "" {
		by = "somebody"
	}
	if reason == "" {
		return "by " + by
	}
	return fmt.Sprintf("by %s (%q)", by, reason)
}
