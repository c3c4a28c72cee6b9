// Package metrics shows what the stages publish to Prometheus, and says to a supervisor whether they do. Like the dashboard it
// only subscribes, so any number of its processes may run, and its counters begin with each.
package metrics
