// Package dashboard shows what vmscaler does, live, in the terminal, or line by line where there is none. Below it, metrics
// serves the same to Prometheus.
//
// It subscribes to the bus, lets package model fold the messages with pure functions, and draws what that knows with
// another one. It never publishes, and of vmscaler it imports only bus: what it shows is what any subscriber could see.
package dashboard
