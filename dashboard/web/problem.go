package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// RequestProblem is why a request failed, as of RFC 9457. A program reads Reason and Refusal; the words are for people.
type RequestProblem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Reason Reason `json:"reason"`
	// Refusal is why a request for one VM is refused.
	Refusal bus.Refusal `json:"refusal,omitempty"`
	// after is in what time to ask again, for the header Retry-After; 0 is not known.
	after time.Duration
}

// Reason is what kind of problem it is.
type Reason string

// The reasons.
const (
	ReasonMalformed Reason = "malformed"  // the request is wrong in itself: asking again does not help
	ReasonNoToken   Reason = "no-token"   // it needs a token, and has none that is valid
	ReasonForbidden Reason = "forbidden"  // its token's role may not, or the page that sent it
	ReasonReadOnly  Reason = "read-only"  // this server has no operator's credentials for the bus
	ReasonUnknown   Reason = "unknown"    // it names what does not exist
	ReasonMethod    Reason = "method"     // what it names is there, and takes other methods: the header Allow has them
	ReasonState     Reason = "state"      // not as things are now
	ReasonTooBig    Reason = "too-big"    // it, or its answer, has too many bytes
	ReasonFailed    Reason = "failed"     // it is right, and doing it has failed
	ReasonBusy      Reason = "busy"       // who should answer has too much to do: ask again
	ReasonNoBus     Reason = "no-bus"     // there is no connection to the bus
	ReasonNobody    Reason = "nobody"     // nobody is there on the bus to answer
	ReasonSilent    Reason = "silent"     // nobody has answered in time; it may still be done
	ReasonNoHistory Reason = "no-history" // this bus keeps none
)

// Reasons are all reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonMalformed, ReasonNoToken, ReasonForbidden, ReasonReadOnly, ReasonUnknown, ReasonMethod, ReasonState, ReasonTooBig,
		ReasonFailed, ReasonBusy, ReasonNoBus, ReasonNobody, ReasonSilent, ReasonNoHistory,
	}
}

// Error makes it an error.
func (p *RequestProblem) Error() string { return p.Detail }

func problem(reason Reason, format string, args ...any) *RequestProblem {
	status := reason.status()
	return &RequestProblem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...), Reason: reason}
}

// busyFor is the problem that something is too busy, for so long.
func busyFor(after time.Duration, format string, args ...any) *RequestProblem {
	p := problem(ReasonBusy, format, args...)
	p.after = after
	return p
}

func (r Reason) status() int {
	switch r {
	case ReasonMalformed:
		return http.StatusBadRequest
	case ReasonNoToken:
		return http.StatusUnauthorized
	case ReasonForbidden, ReasonReadOnly:
		return http.StatusForbidden
	case ReasonUnknown:
		return http.StatusNotFound
	case ReasonMethod:
		return http.StatusMethodNotAllowed
	case ReasonState:
		return http.StatusConflict
	case ReasonTooBig:
		return http.StatusRequestEntityTooLarge
	case ReasonFailed:
		return http.StatusInternalServerError
	case ReasonBusy, ReasonNoBus, ReasonNobody, ReasonNoHistory:
		return http.StatusServiceUnavailable
	case ReasonSilent:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError // which no test lets be
}

// problemOf is any error as a problem.
func problemOf(err error) *RequestProblem {
	var own *RequestProblem
	var refused *bus.RefusedError
	var tooLong *http.MaxBytesError
	var denied *client.DeniedError
	var nobody *client.NobodyError
	var silent *client.SilentError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &refused):
		p := problem(reasonOf(refused.Code), "%s", refused.Text)
		p.Refusal = refused.Why
		return p
	case errors.As(err, &tooLong):
		return problem(ReasonTooBig, "the body has more than %d bytes", tooLong.Limit)
	case errors.As(err, &denied):
		return problem(ReasonReadOnly, "%s", err)
	case errors.As(err, &nobody):
		return problem(ReasonNobody, "%s", err)
	case errors.As(err, &silent), errors.Is(err, context.DeadlineExceeded):
		return problem(ReasonSilent, "%s", err)
	case errors.Is(err, client.ErrNoHistory):
		return problem(ReasonNoHistory, "%s", err)
	}
	return problem(ReasonFailed, "%s", err)
}

func reasonOf(code bus.RefusalCode) Reason {
	switch code {
	case bus.RefusedMalformed:
		return ReasonMalformed
	case bus.RefusedUnknown:
		return ReasonUnknown
	case bus.RefusedState:
		return ReasonState
	case bus.RefusedTooBig:
		return ReasonTooBig
	case bus.RefusedFailed:
		return ReasonFailed
	case bus.RefusedBusy:
		return ReasonBusy
	}
	return ReasonState // of a later version
}

func (p *RequestProblem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if p.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.after.Seconds()))))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
