// Package web serves over HTTP what the stages publish: to people, to Prometheus, and to a supervisor that wants to know whether
// all is well. Like the dashboard it hears the bus and keeps nothing, so any number of its processes may run.
package web
