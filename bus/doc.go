// Package bus is what vmscaler's stages share: the contract (message types, subjects, names, the group
// spec, the metadata that marks a VM as ours) and its transport over NATS (an embedded server and typed
// publish and subscribe).
//
// It knows nothing about scaling and imports no other package of vmscaler. Messages are JSON. Every message
// carries "v" (the contract's version), times are RFC 3339 in UTC, units are part of a field's name, and an
// unknown number is null or absent, never 0.
package bus
