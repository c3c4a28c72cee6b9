// Package metrics has what the stages publish as metrics of Prometheus. Like the dashboard it only hears, so its counters begin
// with each process.
package metrics
