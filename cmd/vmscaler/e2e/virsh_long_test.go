//go:build long

package e2e

// mostVerbs are the verbs of TestVirsh that it tries: nil is all of them.
var mostVerbs []string
