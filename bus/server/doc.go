// Package server is the embedded NATS server: its permissions and credentials for each role, its limits against clients that take
// too much, and its state folder, which one server has at a time. No other package imports nats-server.
package server
