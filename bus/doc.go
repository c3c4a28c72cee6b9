// Package bus is the contract of vmscaler's stages: message types, subjects, names, roles, the group spec, and the metadata that
// marks a VM as ours. Package client carries it over NATS, package server is the embedded server.
//
// It knows nothing about scaling and imports the standard library alone. Messages are JSON. Every message carries "v" (the
// contract's version), times are RFC 3339 in UTC, units are part of a field's name, and an unknown number is null or absent,
// never 0.
package bus
