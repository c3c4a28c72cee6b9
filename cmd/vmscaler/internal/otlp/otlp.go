package otlp

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/vmscaler/vmscaler/bus/tracing"
)

// The environment variables that turn traces on, as OpenTelemetry has them: a collector's URL, to which v1/traces is added, and
// one that is used as it is.
const (
	Endpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	TracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

const (
	farewell  = 2 * time.Second // for the spans that are left at the end
	sayAgain  = time.Minute     // between two lines of the log about what cannot be sent
	tracePath = "v1/traces"
)

// Want is what a collector's URL must be.
const Want = "the URL of an OpenTelemetry collector, such as http://127.0.0.1:4318"

// Target is where traces are to go: by the flag, or else by the environment; "" is nowhere. The error names what is wrong with
// it.
func Target(flag string, getenv func(string) string) (string, error) {
	switch {
	case flag != "":
		return target("--otlp", flag, tracePath)
	case getenv(TracesEndpoint) != "":
		return target(TracesEndpoint, getenv(TracesEndpoint), "")
	case getenv(Endpoint) != "":
		return target(Endpoint, getenv(Endpoint), tracePath)
	}
	return "", nil
}

func target(name, value, path string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%s: found %q, want %s", name, value, Want)
	}
	if path != "" {
		u = u.JoinPath(path)
	}
	return u.String(), nil
}

// Start makes a tracer whose spans go to a target, and what ends it. What cannot be sent is logged, and lost when too much waits.
// What else there is to be said, such as headers with a token, is in OpenTelemetry's environment variables.
func Start(ctx context.Context, target, version string, log zerolog.Logger) (t *tracing.Tracer, stop func(), err error) {
	log = log.With().Str("otlp", target).Logger()
	otel.SetErrorHandler(&complaints{log: log, now: time.Now})
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(target))
	if err != nil {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	about, err := resource.New(ctx, resource.WithHost(), resource.WithAttributes(
		attribute.String("service.name", "vmscaler"), attribute.String("service.version", version),
	), resource.WithFromEnv())
	if err != nil {
		return nil, nil, fmt.Errorf("traces: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter, sdk.WithBatchTimeout(time.Second)), sdk.WithResource(about))
	return tracing.New(provider), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			log.Warn().Err(err).Msg("the last spans are lost")
		}
	}, nil
}

// complaints logs what OpenTelemetry complains of, once in a while.
type complaints struct {
	log zerolog.Logger
	now func() time.Time

	mu   sync.Mutex
	said time.Time
}

// Handle logs an error, unless one was logged lately.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.said.IsZero() || now.Sub(c.said) >= sayAgain {
		c.said = now
		c.log.Warn().Err(err).Msg("spans could not be sent")
	}
}
