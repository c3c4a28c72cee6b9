package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/vmscaler/vmscaler/bus"
)

// scope is what the spans are of.
const scope = "github.com/vmscaler/vmscaler"

// Tracer makes the spans of a stage. A nil one makes none, and costs nothing.
type Tracer struct{ tracer trace.Tracer }

// New makes a tracer whose spans go to a provider.
func New(provider trace.TracerProvider) *Tracer {
	return &Tracer{provider.Tracer(scope)}
}

// Decided is the trace of a decision whose evaluation began at a moment and has just ended, as its message's header says it; ""
// where nothing is traced.
//
//nolint:contextcheck,nolintlint // a decision begins a trace; what contextcheck leaves out by this line nolintlint does not see
func (t *Tracer) Decided(d *bus.Decision, began time.Time) string {
	if t == nil {
		return ""
	}
	ctx, span := t.tracer.Start(context.Background(), "decide", trace.WithTimestamp(began), trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
			attribute.String("vmscaler.group", d.Group), attribute.String("vmscaler.decision_id", d.ID),
			attribute.String("vmscaler.direction", string(d.Direction)), attribute.Int("vmscaler.current", d.Current),
			attribute.Int("vmscaler.desired", d.Desired), attribute.String("vmscaler.rule", string(d.Rule)),
			attribute.String("vmscaler.reason", d.Sentence),
		))
	defer span.End()
	return Carried(ctx)
}

// Plan is a span of what an actuator thinks of a decision: from the moment at which it heard of that until now.
func (t *Tracer) Plan(traceparent, host string, heard time.Time) {
	if t == nil || traceparent == "" {
		return
	}
	_, span := t.tracer.Start(from(traceparent), "plan", trace.WithTimestamp(heard), trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(attribute.String("vmscaler.host", host)))
	span.End()
}

// Work is what is done about one VM.
type Work struct {
	Name, Group, VM, Host, Decision string
}

// Begin begins the span of a work, in a trace or, without one, in one of its own. The context has it for [Next] and [Steps]. The
// second result is the span as a message's header says it, "" where nothing is traced; end ends it with how the work ended.
func (t *Tracer) Begin(ctx context.Context, traceparent string, w Work) (traced context.Context, header string, end func(error)) {
	if t == nil {
		return ctx, "", func(error) {}
	}
	parent := trace.SpanContextFromContext(from(traceparent))
	ctx, span := t.tracer.Start(trace.ContextWithRemoteSpanContext(ctx, parent), w.Name, trace.WithAttributes(
		attribute.String("vmscaler.group", w.Group), attribute.String("vmscaler.vm", w.VM),
		attribute.String("vmscaler.host", w.Host), attribute.String("vmscaler.decision_id", w.Decision),
	))
	return ctx, Carried(ctx), func(err error) { finish(span, err) }
}

// Steps are steps of a work, one after the other. The zero value is before the first.
type Steps struct{ now trace.Span }

// Next ends the step before, if there is one, and begins another of the work whose context this is, unless its name is "". Where
// the context has no work that is traced it does nothing.
func (s *Steps) Next(ctx context.Context, name string) {
	s.End(nil)
	parent := trace.SpanFromContext(ctx)
	if name == "" || !parent.IsRecording() {
		return
	}
	_, s.now = parent.TracerProvider().Tracer(scope).Start(ctx, name)
}

// End ends the step, with what went wrong; nil is nothing.
func (s *Steps) End(err error) {
	if s.now != nil {
		finish(s.now, err)
		s.now = nil
	}
}

// finish ends a span.
func finish(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// from is a context with the span that a header names; an empty or malformed one is none.
func from(traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{bus.TraceHeader: traceparent})
}

// Carried is the span of a context as a header says it; "" where nothing is traced.
func Carried(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	header := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, header)
	return header[bus.TraceHeader]
}
