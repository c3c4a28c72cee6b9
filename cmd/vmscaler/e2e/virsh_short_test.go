//go:build !long

package e2e

// mostVerbs are the verbs of TestVirsh that it tries.
var mostVerbs = []string{"reset", "edit", "suspend", "managedsave", "shutdown", "destroy", "undefine", "metadata", "net-start"}
