package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/trial"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// manager is what makes VMs on a libvirt as the actuator does.
func manager(hv *libvirtHost, cfg config.Config) (vm.Manager, error) {
	acc, err := vm.ReadAcceleration(hv.conn, cfg.Acceleration)
	if err != nil {
		return vm.Manager{}, err
	}
	return vm.Manager{
		Conn: hv.conn, Pools: vm.Pools{Templates: cfg.Pool, Disks: cfg.Disks()},
		Machine: vm.Machine{VirtType: acc.VirtType, Arch: acc.Arch, Network: host.DefaultNetwork(hv.uri)},
		Calls:   vm.NewCalls(), LibvirtID: acc.HostUUID + vm.LibvirtPath(hv.uri), Tell: func(bus.Event) {},
	}, nil
}

// trialSpec is the machine of a template's VMs: as the first group of the config has it that has the template, or as the defaults
// say on the network of the first group. It has nothing of what a group tells its guests: that could fail where the template does
// not, would reach what those reach, and would be in what is made of the template. Nor has it a group's disks.
func trialSpec(cfg config.Config, of template.Info, uri string) bus.Group {
	groups := host.WithNetworks(cfg.Groups, uri)
	for _, g := range groups {
		if g.Template == of.Name {
			g.CloudInit, g.Hardware.Tags, g.Disks, g.DiskMiB = bus.CloudInit{}, nil, nil, 0
			return g
		}
	}
	spec := bus.DefaultGroup()
	spec.Template = of.Name
	if len(groups) > 0 {
		spec.Network = groups[0].Network
	}
	if of.Firmware == template.FirmwareUEFI {
		spec.Hardware.Firmware = bus.FirmwareUEFI
	}
	if spec.Network == "" {
		spec.Network = host.DefaultNetwork(uri)
	}
	return spec
}

// groupTrialSpec is all of a group of the config, with a template that need not be the group's yet.
func groupTrialSpec(cfg config.Config, group string, of template.Info, uri string) (bus.Group, error) {
	for _, g := range host.WithNetworks(cfg.Groups, uri) {
		if g.Name == group {
			g.Template = of.Name
			return g, nil
		}
	}
	return bus.Group{}, fmt.Errorf("--group: %w", noGroup("the config", group, groupNames(cfg.Groups)))
}

// beginTrial takes the lock of trials and removes what killed ones have left.
func beginTrial(ctx context.Context, hv *libvirtHost, cfg config.Config, command string, out io.Writer) (*host.Lock, error) {
	if err := template.HasRoom(ctx, hv.conn, cfg.Disks(), 0, cfg.Host.PoolReserveMiB); err != nil {
		return nil, err
	}
	lock, err := acquireTrials(hv, command)
	if err != nil {
		return nil, err
	}
	removed, err := trial.Sweep(ctx, hv.conn, cfg.Disks())
	if len(removed) > 0 {
		fmt.Fprintf(out, "removed %s, which a trial that was cut off had left\n", strings.Join(removed, ", "))
	}
	if err != nil {
		lock.Release()
		return nil, err
	}
	return lock, nil
}

// stepper says each step with the seconds since its making. It may be called from several goroutines.
func stepper(out io.Writer) func(what string) {
	var mu sync.Mutex
	start := time.Now()
	return func(what string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%6.1f s  %s\n", time.Since(start).Seconds(), bus.Line(what))
	}
}
