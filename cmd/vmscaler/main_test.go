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
	config, err := os.MkdirTemp("", "vmscaler-test-config-") // the go command, which tests run, makes its own folder in it
	if err != nil {
		panic(err)
	}
	if err := os.Setenv("XDG_CONFIG_HOME", config); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("libvirt.org/go/libvirt._Cfunc_virEventRunDefaultImplWrapper"),
		goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(config)
			os.Exit(code)
		}))
}
