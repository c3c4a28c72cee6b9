// Package bustest has what tests around the bus share: servers and clients for the length of a test, examples of each message,
// and waits that end.
package bustest
