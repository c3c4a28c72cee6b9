package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/vmscaler/vmscaler/bus"
)

// Request is a request that waits for its answer. Exactly one of Answer, Refuse and Ignore must be called, once; the next request
// of the same verb comes after it.
type Request struct {
	Verb  string
	Query bus.Query
	reply chan<- reply
	late  bool
}

// reply is an answer, or why there is none.
type reply struct {
	data    []byte
	refused *bus.RefusedError // nil: it is granted
	ignore  bool              // another answers
	late    bool              // another may know better
}

// lateAfter is how much later those answer who may not know what is right: a requester takes the first answer.
const lateAfter = 500 * time.Millisecond

// Late is the request for one who may know less than another that serves the same verb: what it answers, or refuses, counts only
// where the other one says nothing within half a second.
func (r Request) Late() Request {
	r.late = true
	return r
}

// Answer sends the reply.
func (r Request) Answer(m any) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("answer %s: %w", r.Verb, err)
	}
	r.reply <- reply{data: data, late: r.late}
	return nil
}

// Ignore leaves the request to another that serves the same verb.
func (r Request) Ignore() { r.reply <- reply{ignore: true} }

// Refuse reports what is wrong with the request. Its code is that of an error among args which has one, and else that the
// state of things does not allow it.
func (r Request) Refuse(format string, args ...any) error {
	code := bus.RefusedState
	for _, arg := range args {
		var coded *bus.RefusedError
		if err, is := arg.(error); is && errors.As(err, &coded) {
			code = coded.Code
		}
	}
	answer := refused(code, format, args...)
	answer.late = r.late
	r.reply <- answer
	return nil
}

// RefuseAs is Refuse of a request for one VM, with why for programs.
func (r Request) RefuseAs(why bus.Refusal, format string, args ...any) error {
	answer := refused(why.Code(), format, args...)
	answer.refused.Why, answer.late = why, r.late
	r.reply <- answer
	return nil
}

func refused(code bus.RefusalCode, format string, args ...any) reply {
	return reply{refused: &bus.RefusedError{Code: code, Text: fmt.Sprintf(format, args...)}}
}

// Serve gives the requests of some verbs to out, until ctx ends or the connection is closed. Each instance answers, without a
// queue, so that nobody can take requests away from those who know the answer. version is the program's; NATS's tools
// find it as the service "vmscaler", unless version is "".
func (c *Conn) Serve(ctx context.Context, stage, version string, verbs []string, out chan<- Request) error {
	service := newService(stage, version)
	answers := map[string]nats.MsgHandler{}
	for _, verb := range verbs {
		subject := bus.RequestSubject(verb, map[bool]string{true: "*"}[verb == bus.VerbWake])
		endpoint := service.add(verb, subject)
		answers[subject] = func(msg *nats.Msg) {
			start := time.Now()
			answer := c.serveOne(ctx, verb, msg, out)
			if answer == nil {
				return
			}
			endpoint.count(time.Since(start), answer.refused)
			if answer.late {
				c.respondLate(msg, answer)
			} else {
				c.respond(msg, answer)
			}
		}
		if slices.Contains(bus.GroupVerbs(), verb) {
			answers[bus.RequestSubject(verb, "*")] = answers[subject]
		}
	}
	for subject, describe := range service.discovery() {
		if version == "" {
			break
		}
		answers[subject] = func(msg *nats.Msg) {
			data, err := json.Marshal(describe())
			if err != nil {
				c.log.Error().Err(err).Msgf("bus: answer to %s", msg.Subject)
				return
			}
			c.respond(msg, &reply{data: data})
		}
	}
	for subject, answer := range answers {
		err := c.serveSubject(ctx, subject, maxQuery, answer)
		if err != nil {
			return fmt.Errorf("bus: serve %s: %w", subject, err)
		}
	}
	return c.announce()
}

// What may wait of a kind of request. Those without credentials may ask, so that it is little.
const (
	maxRequests = 64       // beyond it they are refused at once
	maxUnread   = 4096     // in front of that: beyond it they are not even refused
	maxQuery    = 16 << 10 // bytes of one
)

// serveSubject answers the requests of a subject, of so many bytes at most, one after the other, so that a flood of one kind
// holds no other one up.
func (c *Conn) serveSubject(ctx context.Context, subject string, most int, answer func(*nats.Msg)) error {
	waiting := make(chan *nats.Msg, maxRequests)
	sub, err := c.nc.Subscribe(subject, func(msg *nats.Msg) {
		switch {
		case !isInbox(msg.Reply):
			c.Drop(msg.Subject, fmt.Errorf("its answer should go to %q, which is no inbox", bus.Clip(msg.Reply, 80)))
			return
		case len(msg.Data) > most:
			c.Drop(msg.Subject, fmt.Errorf("the request has %d bytes, %d are allowed", len(msg.Data), most))
			c.respond(msg, new(refused(bus.RefusedTooBig, "the request has %d bytes, %d are allowed", len(msg.Data), most)))
			return
		}
		select {
		case waiting <- msg:
		default:
			c.Drop(msg.Subject, fmt.Errorf("%d requests wait already", maxRequests))
			c.respond(msg, new(refused(bus.RefusedBusy, "busy: %d requests wait already; ask again in a moment", maxRequests)))
		}
	})
	if err != nil {
		return err //nolint:wrapcheck // the caller names the subject
	}
	go func() {
		for {
			select {
			case msg, more := <-waiting:
				if !more {
					return
				}
				answer(msg)
			case <-c.closed:
				return
			}
		}
	}()
	sub.SetClosedHandler(func(string) { close(waiting) }) // after the last call of the function above
	if err := sub.SetPendingLimits(maxUnread, bus.MaxPayload); err != nil {
		return err //nolint:wrapcheck // the caller names the subject
	}
	context.AfterFunc(ctx, func() { _ = sub.Drain() }) // which fails on a closed connection only
	return nil
}

// serveOne gives one request to out and waits for its answer. That is nil where another is to answer, or the connection
// was closed meanwhile.
func (c *Conn) serveOne(ctx context.Context, verb string, msg *nats.Msg, out chan<- Request) *reply {
	answer := make(chan reply, 1)
	r := Request{Verb: verb, reply: answer}
	if len(msg.Data) > 0 {
		err := bus.CheckShape(msg.Data)
		if err == nil {
			err = json.Unmarshal(msg.Data, &r.Query)
		}
		if err != nil {
			c.Drop(msg.Subject, err)
			return new(refused(bus.RefusedMalformed, `found %q, want nothing or {"group": "NAME"}`, bus.Clip(string(msg.Data), 80)))
		}
	}
	if msg.Subject != bus.RequestSubject(verb, "") { // by the subject alone is known what the requester may do
		r.Query.Group = msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:]
	}
	if err := r.Query.Check(); err != nil {
		c.Drop(msg.Subject, err)
		return new(refused(bus.RefusedMalformed, "%s", err))
	}
	stopping := new(refused(bus.RefusedBusy, "the stage that was asked is stopping"))
	select {
	case out <- r:
	case <-ctx.Done():
		return stopping
	case <-c.closed:
		return nil
	}
	select {
	case a := <-answer:
		if a.ignore {
			return nil
		}
		return &a
	case <-ctx.Done():
		return stopping
	case <-c.closed:
		return nil
	}
}

// respondLate is respond after others had time to. As many answers wait at most as requests may.
func (c *Conn) respondLate(msg *nats.Msg, answer *reply) {
	if c.late.Add(1) > maxRequests {
		c.late.Add(-1)
		c.Drop(msg.Subject, fmt.Errorf("%d answers wait already for others to come first", maxRequests))
		return
	}
	time.AfterFunc(lateAfter, func() {
		defer c.late.Add(-1)
		c.respond(msg, answer)
	})
}

// respond sends an answer. A refusal goes into the headers, where NATS's tools look for it.
func (c *Conn) respond(msg *nats.Msg, answer *reply) {
	out := &nats.Msg{Subject: msg.Reply, Data: answer.data}
	if most := c.nc.MaxPayload(); int64(len(answer.data)) > most {
		out.Data = nil
		answer = new(refused(
			bus.RefusedTooBig, `the answer has %d bytes, %d are allowed: ask with {"group": "NAME"} for less`, len(answer.data), most,
		))
	}
	if r := answer.refused; r != nil {
		out.Header = nats.Header{micro.ErrorHeader: {r.Text}, micro.ErrorCodeHeader: {string(r.Code)}}
		if r.Why != "" {
			out.Header[refusalHeader] = []string{string(r.Why)}
		}
	}
	if err := c.nc.PublishMsg(out); err != nil {
		c.log.Debug().Err(err).Msgf("bus: answer to %s lost", msg.Subject)
	}
}

// refusalHeader is the header with the [bus.Refusal] of a request for one VM.
const refusalHeader = "Vmscaler-Refusal"

// isInbox reports whether an answer may go there. The requester names the reply subject; with one of a stage or of JetStream,
// he could write there by our hand.
func isInbox(subject string) bool {
	return subject != "" && !strings.HasPrefix(subject, "vmscaler.") && !strings.HasPrefix(subject, "$")
}

// NobodyError means that no stage is there to answer a request.
type NobodyError struct{ Role bus.Role }

func (e *NobodyError) Error() string {
	return fmt.Sprintf("the bus answers, but no %s is running: start it with `vmscaler run` or `vmscaler %s`", e.Role, e.Role)
}

// SilentError means that those who should answer a request did not in time.
type SilentError struct{ Role bus.Role }

func (e *SilentError) Error() string { return fmt.Sprintf("no %s has answered in time", e.Role) }

// Unwrap says that the time was over.
func (e *SilentError) Unwrap() error { return context.DeadlineExceeded }

// DeniedError means that the bus does not let this connection ask, whose credentials are of another role.
type DeniedError struct{ Err error }

func (e *DeniedError) Error() string {
	return fmt.Sprintf("the bus does not allow it with these credentials: %s", e.Err)
}

func (e *DeniedError) Unwrap() error { return e.Err }

// Ask sends a request and decodes its reply into T. A refusal is a *bus.RefusedError; that nobody is there to answer a
// *NobodyError, that nobody did before ctx's deadline a *SilentError, and that this connection may not ask a *DeniedError.
func Ask[T any, PT interface {
	*T
	bus.Message
}](ctx context.Context, c *Conn, verb string, q bus.Query,
) (T, error) {
	var none T
	body, err := json.Marshal(q)
	if err != nil {
		return none, fmt.Errorf("ask for %s: %w", verb, err)
	}
	began := time.Now()
	msg, err := c.nc.RequestWithContext(ctx, bus.RequestSubject(verb, q.Group), body)
	who := bus.RoleDecider
	if verb == bus.VerbHook {
		who = bus.RoleActuator
	}
	switch denied := c.deniedSince(began); {
	case errors.Is(err, nats.ErrNoResponders):
		return none, &NobodyError{who}
	case err != nil && denied != nil:
		return none, denied
	case errors.Is(err, context.DeadlineExceeded):
		return none, &SilentError{who}
	case err != nil:
		return none, fmt.Errorf("ask for %s: %w", verb, err)
	}
	if refusal := refusalOf(msg); refusal != nil {
		return none, refusal
	}
	return bus.Decode[T, PT](msg.Data)
}

// refusalOf is why an answer is none, a *bus.RefusedError; nil: it is one.
func refusalOf(msg *nats.Msg) error {
	text := msg.Header.Get(micro.ErrorHeader)
	if text == "" {
		return nil
	}
	return &bus.RefusedError{
		Code: bus.RefusalCode(msg.Header.Get(micro.ErrorCodeHeader)), Text: text, Why: bus.Refusal(msg.Header.Get(refusalHeader)),
	}
}
