package main

import (
	"testing"

	"go.uber.org/goleak"
)

// libvirt's event loop is one for the life of a process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("libvirt.org/go/libvirt._Cfunc_virEventRunDefaultImplWrapper"))
}
