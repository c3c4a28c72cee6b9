package bus

// TraceHeader is the header of a message that says where it stands in a trace, as W3C's Trace Context has it.
const TraceHeader = "traceparent"

// maxTraceparent is how many bytes the header may have that is kept.
const maxTraceparent = 64

// Traced is a message that may stand in a trace. Its traceparent travels in its header, and "" is none.
type Traced interface {
	Traceparent() string
	SetTraceparent(header string)
}

// Traceparent is where the decision stands in a trace.
func (d *Decision) Traceparent() string { return d.trace }

// SetTraceparent keeps what the message's header said, unless it is too long.
func (d *Decision) SetTraceparent(header string) { d.trace = traceparent(header) }

// Traceparent is where the event stands in a trace.
func (e *Event) Traceparent() string { return e.trace }

// SetTraceparent keeps what the message's header said, unless it is too long.
func (e *Event) SetTraceparent(header string) { e.trace = traceparent(header) }

func traceparent(header string) string {
	if len(header) > maxTraceparent {
		return ""
	}
	return header
}
