package web

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// TemplateState is a template of the host that the server's process reaches. What is not known is absent.
type TemplateState struct {
	Name          string     `json:"name"`
	State         string     `json:"state"` // ready, incomplete, removing or broken
	Problem       string     `json:"problem,omitempty"`
	Pool          string     `json:"pool"`
	Format        string     `json:"format,omitempty"`
	CapacityBytes uint64     `json:"capacity_bytes,omitempty"`
	UsedBytes     uint64     `json:"used_bytes,omitempty"`
	Clones        int        `json:"clones"` // disks that need its file
	Changed       *time.Time `json:"changed,omitempty"`
}

// How long what libvirt says of templates is repeated to all who ask, and that it could not be asked.
const (
	templatesFor  = 30 * time.Second
	noTemplateFor = 2 * time.Second
)

// templates are what libvirt has said last. At most one question is on its way.
type templates struct {
	mu    sync.Mutex
	asked *templatesAnswer // the last question; nil: there was none
}

// templatesAnswer is one question's answer, which is there once done is closed.
type templatesAnswer struct {
	at   time.Time // when it was asked
	done chan struct{}
	all  []TemplateState
	err  error
}

func (s *Server) listTemplates(r *http.Request) (any, error) {
	if s.c.Templates == nil {
		return nil, problem(ReasonNobody, "this process reaches no libvirt, which has the templates: ask `vmscaler run` on the host")
	}
	a := s.askTemplates(r.Context())
	limit := time.NewTimer(answerWithin)
	defer limit.Stop()
	select {
	case <-a.done:
		return a.all, a.err
	case <-r.Context().Done():
		return nil, r.Context().Err() //nolint:wrapcheck // nobody reads it any more
	case <-limit.C:
		return nil, problem(ReasonSilent, "libvirt has not answered within %s", answerWithin)
	}
}

// askTemplates is the question that is on its way, or the last one where it is not old, or else a new one.
func (s *Server) askTemplates(ctx context.Context) *templatesAnswer {
	s.templates.mu.Lock()
	defer s.templates.mu.Unlock()
	now := s.c.Now()
	if a := s.templates.asked; a != nil {
		select {
		case <-a.done:
			repeated := templatesFor
			if a.err != nil {
				repeated = noTemplateFor
			}
			if now.Sub(a.at) < repeated {
				return a
			}
		default:
			return a
		}
	}
	a := &templatesAnswer{at: now, done: make(chan struct{})}
	s.templates.asked = a
	go func() { // libvirt's calls have no deadline
		defer close(a.done)
		a.all, a.err = s.c.Templates(context.WithoutCancel(ctx))
	}()
	return a
}
