package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// The requests that a running decider answers. They change nothing, so that everybody may ask.
const (
	VerbStatus  = "status"  // -> Status
	VerbExplain = "explain" // -> Decision, the newest of the group that the Query names
)

// Query is the body of a request. An empty body is an empty Query.
type Query struct {
	Group string `json:"group,omitempty"` // "" is all groups, or the only one
}

// Status is the whole picture at one moment, as the decider that answers sees it.
type Status struct {
	V      int           `json:"v"`
	Time   time.Time     `json:"time"`
	Groups []GroupStatus `json:"groups"`
	Stages []Health      `json:"stages"` // those that were heard in the last ten seconds
}

// GroupStatus is one group's newest messages.
type GroupStatus struct {
	Group    string    `json:"group"`
	Decision *Decision `json:"decision"` // null before the first evaluation
	Samples  []Sample  `json:"samples"`  // one for each host
}

func (s *Status) check() error {
	if s.Time.IsZero() {
		return errors.New("status without time")
	}
	return checkVersion(s.V)
}

// Request is a request that waits for its answer. Exactly one of Answer and Refuse must be called, once; the next request
// of the same verb comes after it.
type Request struct {
	Verb  string
	Query Query
	reply chan<- reply
}

// reply is an answer, or why there is none.
type reply struct {
	data    []byte
	refusal string
}

// Answer sends the reply.
func (r Request) Answer(m any) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("answer %s: %w", r.Verb, err)
	}
	r.reply <- reply{data: data}
	return nil
}

// Refuse says what is wrong with the request.
func (r Request) Refuse(format string, args ...any) error {
	r.reply <- reply{refusal: fmt.Sprintf(format, args...)}
	return nil
}

// Serve gives the requests to out, until ctx ends or the connection is closed. Each instance answers, without a
// queue, so that nobody can take requests away from those who know the answer. version is the program's.
func (c *Conn) Serve(ctx context.Context, stage, version string, out chan<- Request) error {
	service, err := micro.AddService(c.nc, micro.Config{
		Name: "vmscaler", Version: semver(version), Description: "autoscaler for groups of libvirt VMs",
		Metadata: map[string]string{"stage": stage, "program_version": version}, QueueGroupDisabled: true,
	})
	if err != nil {
		return fmt.Errorf("bus: serve requests: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = service.Stop() })
	endpoints := service.AddGroup("vmscaler.ctl")
	for _, verb := range []string{VerbStatus, VerbExplain} {
		err := endpoints.AddEndpoint(verb, micro.HandlerFunc(func(req micro.Request) {
			// The service must not be answered for after this function's end, as it looks at the outcome.
			if err := c.serveOne(ctx, verb, req, out); err != nil {
				c.log.Debug().Err(err).Msgf("bus: answer to %s lost", verb)
			}
		}))
		if err != nil {
			return fmt.Errorf("bus: serve %s: %w", verb, err)
		}
	}
	return c.announce()
}

// serveOne gives one request to out, waits for the answer, and sends it.
func (c *Conn) serveOne(ctx context.Context, verb string, req micro.Request, out chan<- Request) error {
	if !isInbox(req.Reply()) {
		c.Drop(req.Subject(), fmt.Errorf("its answer should go to %q, which is no inbox", clip(req.Reply())))
		return nil
	}
	answer := make(chan reply, 1)
	r := Request{Verb: verb, reply: answer}
	if len(req.Data()) > 0 {
		if err := json.Unmarshal(req.Data(), &r.Query); err != nil {
			c.Drop(req.Subject(), err)
			return req.Error("400", fmt.Sprintf(`found %q, want nothing or {"group": "NAME"}`, clip(string(req.Data()))), nil) //nolint:wrapcheck // logged
		}
	}
	select {
	case out <- r:
	case <-ctx.Done():
		return req.Error("503", stopping, nil) //nolint:wrapcheck // logged
	case <-c.closed:
		return nil
	}
	select {
	case a := <-answer:
		if a.refusal != "" {
			return req.Error("400", a.refusal, nil) //nolint:wrapcheck // logged
		}
		return req.Respond(a.data) //nolint:wrapcheck // logged
	case <-ctx.Done():
		return req.Error("503", stopping, nil) //nolint:wrapcheck // logged
	case <-c.closed:
	}
	return nil
}

const stopping = "the decider that was asked is stopping"

// isInbox says whether an answer may go there. Whoever asks names the subject; with one of the stages' or of JetStream,
// he could write there by our hand.
func isInbox(subject string) bool {
	return subject != "" && !strings.HasPrefix(subject, "vmscaler.") && !strings.HasPrefix(subject, "$")
}

// Ask sends a request and decodes its reply into T. A refusal is an error with its text.
func Ask[T any, PT interface {
	*T
	message
}](ctx context.Context, c *Conn, verb string, q Query,
) (T, error) {
	var none T
	body, err := json.Marshal(q)
	if err != nil {
		return none, fmt.Errorf("ask for %s: %w", verb, err)
	}
	msg, err := c.nc.RequestWithContext(ctx, "vmscaler.ctl."+verb, body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return none, fmt.Errorf("ask for %s: no decider is running", verb)
	case err != nil:
		return none, fmt.Errorf("ask for %s: %w", verb, err)
	case msg.Header.Get(micro.ErrorHeader) != "":
		return none, fmt.Errorf("ask for %s: %s", verb, msg.Header.Get(micro.ErrorHeader))
	}
	return Decode[T, PT](msg.Data)
}

// semver is the form that a service's version must have; ours may be a commit.
func semver(version string) string {
	clean := strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, version)
	if clean == "" {
		clean = "dev"
	}
	return "0.0.0+" + clean
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
