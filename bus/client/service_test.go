package client

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/micro"
)

// NATS's tools leave out a service whose version is none; its library says which that is.
func TestSemver(t *testing.T) {
	t.Parallel()
	c := plainConn(t, plainServer(t, server.Options{}))
	for _, version := range []string{"", "v1.2.3", "unknown", "9866df6-dirty", "v1+2 3/é", strings.Repeat("x", 100)} {
		service, err := micro.AddService(c.nc, micro.Config{Name: serviceName, Version: semver(version)})
		if err != nil {
			t.Fatalf("%q: %v", version, err)
		}
		if err := service.Stop(); err != nil {
			t.Error(err)
		}
	}
}
