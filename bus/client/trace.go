package client

import (
	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
)

// setTrace has a message that stands in a trace say so in its header.
func setTrace(msg *nats.Msg, m bus.Message) {
	if t, is := m.(bus.Traced); is && t.Traceparent() != "" {
		msg.Header.Set(bus.TraceHeader, t.Traceparent())
	}
}

// traced is a message with what its header says of its trace.
func traced[T any, PT interface {
	*T
	bus.Message
}](m T, header string,
) T {
	if t, is := any(PT(&m)).(bus.Traced); is {
		t.SetTraceparent(header)
	}
	return m
}
