package main

import (
	"fmt"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// anyGroup is the name of the only group, or a word for one of several.
func anyGroup(groups []string) string {
	if len(groups) == 1 {
		return groups[0]
	}
	return "GROUP"
}

// watchHint reports how to listen to the bus of this process.
func watchHint(url string, taps bool) string {
	switch {
	case strings.HasPrefix(url, "tls:") || !taps:
		return asCalled(" (how to watch it says `vmscaler bus credentials tap`)")
	case url == "nats://"+bus.DefaultListen:
		return " (watch it with: nats sub 'vmscaler.>')"
	}
	return " (watch it with: nats sub -s " + url + " 'vmscaler.>')"
}

// stopped reports what of the groups is left when the stages have ended.
func stopped(hv *libvirtHost, groups []string) string {
	owned := make(chan int, 1)
	go func() {
		inv, err := vm.ReadInventory(hv.conn)
		if err != nil {
			owned <- 1 // there may be some
			return
		}
		n := 0
		for _, group := range groups {
			n += len(inv.Group(group))
		}
		owned <- n
	}()
	select {
	case n := <-owned:
		if n == 0 {
			return "stopped"
		}
	case <-time.After(2 * time.Second): // libvirt does not answer
	}
	return asCalled(fmt.Sprintf("stopped; the VMs keep running\n"+
		"  to list them:   virsh -c %s list\n"+
		"  to remove them: `vmscaler down %s --uri %s`", hv.choice.URI, anyGroup(groups), hv.choice.URI))
}

// stagesLibvirt is what the stages know of a libvirt.
func stagesLibvirt(hv *libvirtHost) app.Libvirt {
	return app.Libvirt{
		Dial: hv.dialer.To(hv.choice.URI), DialReadOnly: hv.dialer.ReadOnly().To(hv.choice.URI),
		Identify: func(conn *libvirt.Connect) (bus.HostID, string, error) {
			id, err := host.Identify(conn, hv.choice.URI)
			return bus.HostID(id.ID), id.Name, err
		},
		URI: hv.uri, Local: vm.IsLocal(hv.uri), Network: host.DefaultNetwork(hv.uri),
	}
}
