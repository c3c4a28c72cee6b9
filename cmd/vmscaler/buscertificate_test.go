package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/server"
)

// TestBusCertificate: a bus starts with the files that are printed, and a name that is none makes nothing.
func TestBusCertificate(t *testing.T) {
	state := filepath.Join(alone(t), "state")
	if out, err := command(t, "bus", "certificate", "kvm 1", "--state-dir", state); err == nil ||
		!strings.Contains(err.Error(), `found "kvm 1"`) {
		t.Errorf("got %v\n%s", err, out)
	}
	out, err := command(t, "bus", "certificate", "kvm1", "kvm2", "--state-dir", state)
	if err != nil {
		t.Fatal(err)
	}
	file := func(label string) string {
		_, rest, _ := strings.Cut(out, label+": ")
		path, _, _ := strings.Cut(rest, "\n")
		return path
	}
	s := bustest.StartWith(t, server.Config{StateDir: state, Cert: file("cert"), Key: file("key"), CA: file("ca")})
	if !strings.HasPrefix(s.URL(), "tls://") || !strings.Contains(out, filepath.Join(state, "certificates", "kvm2", "bus.crt")) {
		t.Errorf("it is at %s by\n%s", s.URL(), out)
	}
}
