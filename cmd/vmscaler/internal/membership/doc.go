// Package membership is how a host becomes one of a bus's, and what it keeps of that: a key of its own, the bus's certificates,
// and where the bus is, in a folder of the state folder.
package membership
