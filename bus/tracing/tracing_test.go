package tracing_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

// record is a tracer, and what it has recorded so far, by name.
func record(t *testing.T) (*tracing.Tracer, func() map[string]tracetest.SpanStub) {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(kept))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return tracing.New(provider), func() map[string]tracetest.SpanStub {
		all := map[string]tracetest.SpanStub{}
		for _, span := range kept.GetSpans() {
			all[span.Name] = span
		}
		return all
	}
}

func TestOneTraceFromDecisionToStep(t *testing.T) {
	tracer, recorded := record(t)
	d := bustest.Decision()
	header := tracer.Decided(d, time.Now().Add(-time.Millisecond))
	tracer.Plan(header, "kvm1", time.Now())
	ctx, carried, end := tracer.Begin(t.Context(), header, tracing.Work{Name: "launch", Group: "web", VM: "web-3"})
	var steps tracing.Steps
	steps.Next(ctx, "define")
	steps.Next(ctx, "clone")
	steps.End(errors.New("no space"))
	steps.Next(ctx, "")
	steps.End(nil)
	end(errors.New("no space"))

	spans := recorded()
	if len(spans) != 5 {
		t.Fatalf("recorded %d spans, want decide, plan, launch, define and clone: %v", len(spans), spans)
	}
	root := spans["decide"]
	for name, parent := range map[string]string{"plan": "decide", "launch": "decide", "define": "launch", "clone": "launch"} {
		got := spans[name]
		if got.SpanContext.TraceID() != root.SpanContext.TraceID() || got.Parent.SpanID() != spans[parent].SpanContext.SpanID() {
			t.Errorf("%s is not a child of %s in its trace: %+v", name, parent, got)
		}
	}
	if root.Parent.IsValid() {
		t.Errorf("decide has the parent %v, want none", root.Parent)
	}
	if spans["define"].Status.Code == codes.Error || spans["clone"].Status.Description != "no space" {
		t.Errorf("status of define %+v, of clone %+v, want the clone to have failed alone", spans["define"].Status,
			spans["clone"].Status)
	}
	if carried == header || len(carried) != len(header) {
		t.Errorf("the launch is carried as %q, want its own span, not %q", carried, header)
	}
}

// TestWorkWithoutDecision: what no decision has caused, or one whose header cannot be read, has a trace of its own.
func TestWorkWithoutDecision(t *testing.T) {
	for _, header := range []string{"", "nonsense", "00-00000000000000000000000000000000-0000000000000000-01"} {
		tracer, recorded := record(t)
		_, _, end := tracer.Begin(t.Context(), header, tracing.Work{Name: "remove"})
		end(nil)
		if span := recorded()["remove"]; span.Parent.IsValid() || !span.SpanContext.IsValid() {
			t.Errorf("header %q: recorded %+v, want a trace of its own", header, span)
		}
	}
}

// TestNoTracerCostsNothing: without a tracer nothing is made.
func TestNoTracerCostsNothing(t *testing.T) {
	var tracer *tracing.Tracer
	d, ctx, now, steps := bustest.Decision(), t.Context(), time.Now(), tracing.Steps{}
	if n := testing.AllocsPerRun(100, func() {
		header := tracer.Decided(d, now)
		tracer.Plan(header, "kvm1", now)
		ctx, _, end := tracer.Begin(ctx, header, tracing.Work{})
		steps.Next(ctx, "define")
		steps.End(nil)
		end(nil)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
