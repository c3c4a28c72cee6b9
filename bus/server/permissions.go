package server

import (
	"slices"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/vmscaler/vmscaler/bus"
)

// serverPermissions is the permissions as the NATS server wants them.
func serverPermissions(p bus.Permissions) *server.Permissions {
	list := func(allowed []string) *server.SubjectPermission {
		if len(allowed) == 0 {
			return &server.SubjectPermission{Deny: []string{">"}}
		}
		return &server.SubjectPermission{Allow: allowed}
	}
	perms := &server.Permissions{Publish: list(p.Publish), Subscribe: list(p.Subscribe)}
	if slices.Contains(p.Subscribe, "vmscaler.>") {
		// Who listens there could also join the responders' queue and swallow requests.
		perms.Subscribe.Deny = []string{"vmscaler.ctl.>", "vmscaler.wake.>", "vmscaler.join.>"}
	}
	return perms
}
