package actuator

import (
	"context"
	"time"

	"github.com/vmscaler/vmscaler/bus/tracing"
)

// idle reports whether a plan begins nothing and waits for nothing.
func (p Actions) idle() bool {
	return len(p.Create)+len(p.Await)+len(p.Remove)+len(p.Cancel)+len(p.Reimage)+len(p.Restart) == 0 &&
		len(p.Prepare)+len(p.HandOver)+len(p.Park)+len(p.Promote) == 0 && p.Missing == 0 && p.Kept == 0 && p.Ask == nil
}

// traced takes a plan of a group into its decision's trace. That ends with what the decision has caused: later decisions say the
// same again, without a trace, and what is done then, such as to replace a VM that died, is not its doing.
func (a *Actuator) traced(g *group, idle bool) {
	if !g.heard.IsZero() {
		a.cfg.Tracer.Plan(g.trace, a.host, g.heard)
		g.heard = time.Time{}
		return
	}
	if g.trace == "" || g.newest.Decision.Traceparent() != "" || !idle {
		return
	}
	for _, w := range a.workers {
		if w.group == g.spec.Name {
			return
		}
	}
	g.trace = ""
}

// beginTrace begins the span of what a worker does, with which its events travel.
func (a *Actuator) beginTrace(ctx context.Context, w worker) (context.Context, func(error)) {
	g := a.groups[w.group]
	if a.cfg.Tracer == nil || g == nil || w.marks && !w.attaches {
		return ctx, func(error) {}
	}
	ctx, header, end := a.cfg.Tracer.Begin(ctx, g.trace, tracing.Work{
		Name: w.span(), Group: w.group, VM: w.name, Host: a.host, Decision: g.newest.Decision.ID,
	})
	a.traces.Store(w.name, header)
	return ctx, func(err error) {
		a.traces.CompareAndDelete(w.name, header)
		end(err)
	}
}

// span is what the work is called in traces.
func (w *worker) span() string {
	switch {
	case w.attaches:
		return "attach"
	case w.aside:
		return "set aside"
	case w.restarts:
		return "restart"
	case w.reimages:
		return "reimage"
	case w.pooled:
		return "prepare"
	case w.handed:
		return "hand over"
	case w.up:
		return "launch"
	}
	return "remove"
}
