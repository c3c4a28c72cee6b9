package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// libvirt's event loop is one for the life of a process. No context of the user who runs the tests is theirs.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	if err := os.Setenv("XDG_CONFIG_HOME", "/nonexistent"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("libvirt.org/go/libvirt._Cfunc_virEventRunDefaultImplWrapper"))
}
