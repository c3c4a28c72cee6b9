// Package prometheus asks Prometheus servers for the numbers that groups scale on.
//
// Ask is one instant query, with bounds on its time and its answer. Poller asks the queries that the decider names, each once
// for all groups that have it, and publishes what they answer as metrics; so the decider learns of it as of any other
// message. What is not exactly one number is unknown, with the reason, and never 0.
package prometheus
