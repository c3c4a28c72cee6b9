package check

import (
	"errors"
	"strings"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/shell"
)

func (f Facts) libvirt() []Finding {
	const area = "libvirt"
	l := f.Libvirt
	if l.Err != nil {
		return []Finding{f.unreachable()}
	}
	var found []Finding
	found = append(found, good(area, "%s answers: libvirt %s, %s", l.Choice, l.Version, l.Hypervisor))
	var second *host.SecondSetError
	if errors.As(l.Others.Refused, &second) {
		found = append(found, problem(area, second.Remedy(), "%s", second.Reason()))
	} else if l.Others.Refused != nil {
		found = append(found, problem(area, "name the one to use with --uri", "%s", l.Others.Refused))
	}
	if len(l.Others.Names) > 0 {
		remedy := "leave them alone where another vmscaler has them; if they are yours, go on there with --uri " +
			shell.Quote(l.Others.URI)
		if h := l.Others.Holder; h != nil {
			remedy = "leave them alone: " + h.Who()
		}
		found = append(found, warning(area, remedy, "VMs of vmscaler are also at %s, and do not count here: %s", l.Others.URI,
			strings.Join(l.Others.Names, ", ")))
	}
	for _, u := range f.Unread {
		found = append(found, problem(area, f.virsh("list")+" shows whether libvirt works", "%s", u))
	}
	if f.Host == nil {
		found = append(found, good(area, "the host's own files were not looked at: %s", f.HostUnknown))
	}
	return found
}

// unreachable reports why there is no connection. The dialer's error has a remedy of its own, which knows less.
func (f Facts) unreachable() Finding {
	const area = "libvirt"
	const session = "use --uri " + host.SessionURI + ", which needs no rights"
	l := f.Libvirt
	text := l.Err.Error()
	var dial *host.DialError
	if errors.As(l.Err, &dial) {
		text = dial.At(l.Choice.String())
	}
	remedy := "name a libvirt that answers: with --uri, or with uri in the config"
	switch {
	case f.Host == nil:
	case l.Choice.URI == host.SessionURI && f.Host.Daemon != "":
		remedy = "let HOME and XDG_RUNTIME_DIR name folders of this user's own"
	case l.Choice.URI == host.SessionURI:
		remedy = f.startDaemon("start")
	case errors.Is(l.Err, host.ErrPermission):
		switch listed, active := f.Host.member("libvirt"); {
		case active:
			remedy = session + ", or ask whoever set up who may use libvirt here"
		case listed:
			text += "; this login is older than the user's membership in group libvirt"
			remedy = "newgrp libvirt (in this shell), or log out and in again"
		default:
			remedy = f.sudo("usermod -aG libvirt "+f.user()) + ", then log out and in again; or " + session
		}
	case !errors.Is(l.Err, host.ErrDown):
	case l.Choice.URI != host.SystemURI: // a socket of its own
	case f.Host.DaemonRuns && f.Host.User.UID != 0:
		// polkit, which lets users in, needs the system's D-Bus.
		text += "; the daemon runs, but cannot find out whether it may let this user in"
		remedy = "run vmscaler as root, or " + session
	case f.Host.DaemonRuns:
		remedy = f.startDaemon("restart")
	default:
		remedy = f.startDaemon("start")
	}
	return problem(area, remedy, "%s", text)
}

// login finds groups that the user has and this login does not.
func (f Facts) login() []Finding {
	if f.Host == nil || f.Host.User.UID == 0 {
		return nil
	}
	listed, active := f.Host.member("libvirt")
	if !listed || active || errors.Is(f.Libvirt.Err, host.ErrPermission) { // said there
		return nil
	}
	return []Finding{warning("libvirt", "newgrp libvirt (in this shell), or log out and in again",
		"user %s is in group libvirt, but this login is older than that", f.Host.User.Name)}
}
