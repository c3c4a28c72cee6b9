package bus

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a message may contain. A receiver refuses more before it takes memory for it, as anyone with a role's credentials may
// send anything.
const (
	MaxHosts  = 256    // of a group
	MaxStages = 256    // instances
	MaxVMs    = 10_000 // in a sample
	MaxText   = 1 << 10
	MaxOrders = 100 // for VMs of a group

	MaxName      = 253 // bytes of a name, such as that of a VM
	maxHostName  = 255
	maxID        = 512 // of a decision or an instance, which contain names
	maxWord      = 64  // a phase, a state, a hash
	MaxVMError   = 100 // so that a sample with many of them fits
	maxVCPUs     = 4096
	maxMemoryMiB = 1 << 30
	maxPercent   = 1e6 // 100 is all of something; measuring overshoots, but not as much as this
	maxRate      = 1e9 // MiB/s
	maxDesired   = 1_000_000
	maxClockMS   = math.MaxInt64 / 1_000_000 // a clock may be as far off as a time.Duration can say
	maxProblems  = 16                        // in a health message
	maxElements  = 10_000                    // of a list or an object
	maxAll       = 400_000
	maxDepth     = 32
)

// Bytes of a message, by its kind. Those that are in the history are smaller than what its streams take.
const (
	// MaxPayload is the largest message: the sample of 10,000 VMs, with about 500 bytes each, and with 100 more for half
	// of them (long names, an error). A larger one is refused by the server, which ends the sender's connection.
	MaxPayload = 6 << 20
	// MaxDecisionBytes is the most of all that the history keeps.
	MaxDecisionBytes = 256 << 10
	maxEventBytes    = 32 << 10
	maxHealthBytes   = 16 << 10
	maxMetricBytes   = 4 << 10
	maxDemandBytes   = 32 << 10
	maxAnswerBytes   = 64 << 10
)

// ErrUnfit is why a message is not sent, whatever the state of the connection: its receivers would refuse it.
var ErrUnfit = errors.New("its receivers would refuse it")

// Cut is a text that is short enough for a message.
func Cut(text string) string { return cutTo(text, MaxText) }

func cutTo(text string, most int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	const rest = "..."
	end := most - len(rest)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + rest
}

// cutter is a message with texts of any length, which are cut where it is sent.
type cutter interface{ cut() }

func (s *Sample) cut() {
	for i := range s.VMs {
		if e := &s.VMs[i].Error; len(*e) > MaxVMError {
			*e = cutTo(*e, MaxVMError)
		}
	}
}

func (d *Decision) cut() {
	d.Sentence = Cut(d.Sentence)
	for i := range d.Recommendations {
		d.Recommendations[i].Sentence = Cut(d.Recommendations[i].Sentence)
	}
	for i := range d.Shadow {
		d.Shadow[i].Sentence = Cut(d.Shadow[i].Sentence)
	}
}

func (e *Event) cut() { e.Sentence, e.Error = Cut(e.Sentence), Cut(e.Error) }

func (h *Health) cut() { h.Message = Cut(h.Message) }

func (m *Metric) cut() { m.Error = Cut(m.Error) }

// The bytes that a message of each kind may have.
func (s *Sample) most() int     { return MaxPayload }
func (d *Decision) most() int   { return MaxDecisionBytes }
func (e *Event) most() int      { return maxEventBytes }
func (h *Health) most() int     { return maxHealthBytes }
func (m *Metric) most() int     { return maxMetricBytes }
func (d *Demand) most() int     { return maxDemandBytes }
func (s *Status) most() int     { return MaxPayload }
func (c *Controls) most() int   { return maxAnswerBytes }
func (r *Refresh) most() int    { return maxAnswerBytes }
func (a *HookAnswer) most() int { return maxAnswerBytes }
func (w *Wake) most() int       { return maxAnswerBytes }
func (f *Forecast) most() int   { return maxAnswerBytes }
func (l *Launch) most() int     { return maxAnswerBytes }
func (a *VMAnswer) most() int   { return maxAnswerBytes }

// Of as many VMs as a sample may have.
func (v *Victims) most() int       { return MaxPayload }
func (a *VictimsAnswer) most() int { return MaxPayload }

// CheckShape refuses JSON that would take much more memory than its bytes: lists of many small or empty things. It says
// nothing about whether the text is JSON at all.
func CheckShape(data []byte) error {
	var elements [maxDepth]int // in the lists and objects around the present byte
	depth, all := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth == maxDepth {
				return fmt.Errorf("it is nested deeper than %d", maxDepth-1)
			}
			elements[depth] = 1
			all++
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			all++
			if elements[depth]++; elements[depth] > maxElements {
				return fmt.Errorf("a list has more than %d elements", maxElements)
			}
		}
		if all > maxAll {
			return fmt.Errorf("it has more than %d elements", maxAll)
		}
	}
	return nil
}

// checkBytes checks what can be checked before decoding.
func checkBytes(data []byte, most int) error {
	if len(data) > most {
		return fmt.Errorf("it has %d bytes, %d are allowed", len(data), most)
	}
	return CheckShape(data)
}

// bounds checks a message's fields; it keeps the first violation.
type bounds struct{ err error }

func (b *bounds) refuse(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// name is for what is shown and becomes part of a subject.
func (b *bounds) name(field, s string, most int) {
	switch {
	case len(s) > most:
		b.refuse("%s: found %d bytes, %d are allowed", field, len(s), most)
	case !printable(s):
		b.refuse("%s: found %q, want printable characters", field, Clip(s, 80))
	}
}

// printable reports whether a text has only printable characters, as most have that are ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
		}
	}
	return true
}

// CheckDomainName reports what is wrong with the name of a domain that is to be a VM: without this no message could name it, nor
// the others beside it. libvirt allows more.
func CheckDomainName(name string) error {
	var b bounds
	b.name("name", name, MaxName)
	return b.err
}

func (b *bounds) text(field, s string) {
	if len(s) > MaxText {
		b.refuse("%s: found %d bytes, %d are allowed", field, len(s), MaxText)
	}
}

func (b *bounds) number(field string, v, most float64) {
	if v < 0 || v > most || math.IsNaN(v) {
		b.refuse("%s: found %v, want 0 to %v", field, v, most)
	}
}

func (b *bounds) known(field string, v *float64, most float64) {
	if v != nil {
		b.number(field, *v, most)
	}
}

func (b *bounds) knownInt(field string, v *int, most float64) {
	if v != nil {
		b.number(field, float64(*v), most)
	}
}

// address is "" or one in its canonical form.
func (b *bounds) address(field, s string) {
	if s == "" {
		return
	}
	var text [len("0000:0000:0000:0000:0000:0000:255.255.255.255")]byte // a sample has as many addresses as VMs: none is allocated
	if a, usable := UsableAddress(s); !usable || string(a.AppendTo(text[:0])) != s {
		b.refuse("%s: found %.80q, want an IP address in its canonical form", field, s)
	}
}

func (b *bounds) count(field string, n, most int) {
	if n > most {
		b.refuse("%s: found %d, %d are allowed", field, n, most)
	}
}

func (b *bounds) of(kind string) error {
	if b.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", kind, b.err)
}
