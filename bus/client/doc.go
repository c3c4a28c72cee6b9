// Package client is a stage's connection to the bus: it publishes and receives the messages of package bus over NATS, answers
// requests, reads the history, keeps state, and elects the decider that leads. It starts no server.
package client
