package bus

import "fmt"

// RefusalCode is why a request is not granted, in HTTP's numbers; it is in the header Nats-Service-Error-Code of the answer.
type RefusalCode string

// The codes of refusals. Those of a later version mean no more than that it is refused.
const (
	RefusedMalformed RefusalCode = "400" // it is wrong in itself: asking again does not help
	RefusedUnknown   RefusalCode = "404" // it names what does not exist, such as a group
	RefusedState     RefusalCode = "409" // not as things are now: paused, protected, beyond max, in another phase
	RefusedTooBig    RefusalCode = "413" // it has too many bytes, or its answer would have
	RefusedFailed    RefusalCode = "500" // it is right, and doing it has failed: nothing is changed
	RefusedBusy      RefusalCode = "503" // who should answer is stopping, or has too much to answer: ask again
)

// RefusedError is a request that is not granted, as the one that was asked says.
type RefusedError struct {
	Code RefusalCode
	Text string
	Why  Refusal // of a request for one VM; "" of others
}

func (e *RefusedError) Error() string { return e.Text }

// Refuse is a *RefusedError.
func Refuse(code RefusalCode, format string, args ...any) error {
	return &RefusedError{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Code is that of a request for one VM which is refused for this.
func (r Refusal) Code() RefusalCode {
	switch r {
	case RefusalUnknownVM:
		return RefusedUnknown
	case RefusalAmbiguous, RefusalNoData, RefusalUnattended, RefusalDryRun, RefusalPaused, RefusalMin, RefusalNotReady,
		RefusalSuspended, RefusalBusy, RefusalIncomplete, RefusalLeaving, RefusalStandby, RefusalOff,
		RefusalMax, RefusalTaken, RefusalKept:
		return RefusedState
	}
	return RefusedState // of a later version
}
