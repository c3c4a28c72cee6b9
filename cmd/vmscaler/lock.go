package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

func holder(hv *libvirtHost, command, busURL, stateDir string, groups ...string) host.Holder {
	if stateDir != "" {
		stateDir = absolute(stateDir) // others read it in folders of their own
	}
	return host.Holder{
		PID: os.Getpid(), Command: command, URI: hv.uri, BusURL: busURL, StateDir: stateDir, Groups: groups, Since: time.Now(),
	}
}

func groupNames(groups []bus.Group) []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	return names
}

// acquire takes the lock that one process per libvirt holds.
func acquire(hv *libvirtHost, command, busURL, stateDir string, groups ...string) (*host.Lock, error) {
	target, err := lockTarget(hv.conn, hv.choice.URI)
	if err != nil {
		return nil, err
	}
	lock, err := host.Acquire(target, holder(hv, command, busURL, stateDir, groups...))
	return lock, withRemedy(err)
}

// acquireTrials takes the lock of those who make throw-away VMs on a libvirt: who has it knows that any which are there are
// left of one that was killed. The process that acts on the libvirt has another one, and is in nobody's way.
func acquireTrials(hv *libvirtHost, command string) (*host.Lock, error) {
	target, err := lockTarget(hv.conn, hv.choice.URI)
	if err != nil {
		return nil, err
	}
	for i := range target.Names {
		target.Names[i] += "-trials"
	}
	h := holder(hv, command, "", "")
	h.URI = "templates of " + h.URI // so that nobody takes it for who acts there
	lock, err := host.Acquire(target, h)
	return lock, withRemedy(err)
}

// claim makes the lock that of the libvirt that a new connection reaches.
func claim(lock *host.Lock, conn *libvirt.Connect, uri string) error {
	target, err := lockTarget(conn, uri)
	if err != nil {
		return err
	}
	return withRemedy(lock.Renew(target))
}

func lockTarget(conn *libvirt.Connect, uri string) (host.Target, error) {
	id, err := host.Identify(conn, uri)
	return host.Target{Names: id.Names(), SessionUID: id.SessionUID}, err
}

// withRemedy adds to the refusal of a lock what can be done.
func withRemedy(err error) error {
	var locked *host.LockedError
	if !errors.As(err, &locked) {
		return err
	}
	remedy := "stop it first, with Ctrl-C or `kill " + fmt.Sprint(locked.Holder.PID) + "`"
	switch locked.Holder.PID {
	case 0:
		remedy = "stop it first"
	case 1: // of a namespace of its own
		remedy = "stop its container first"
	}
	if url := locked.Holder.BusURL; url != "" {
		remedy += ", or watch it with `vmscaler dashboard --nats-url " + url + "`"
	}
	return fmt.Errorf("%w: %s", err, remedy)
}
