// Package otlp sends traces to an OpenTelemetry collector.
package otlp
