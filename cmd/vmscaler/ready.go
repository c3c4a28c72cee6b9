package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vmscaler/vmscaler/actuator/vm"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// readyHost refuses a host that lacks what the config names, sets it up where that is wanted, and says how its VMs run.
func (g *globals) readyHost(ctx context.Context, hv *libvirtHost, cfg config.Config, setup bool) error {
	acc, err := prepare(hv, cfg, setup)
	if err != nil {
		return err
	}
	if setup {
		if err := setUp(ctx, hv, cfg, os.Stderr); err != nil {
			return err
		}
	}
	for _, w := range host.UnreadSeeds(hv.conn, cfg) {
		fmt.Fprintf(os.Stderr, "warning: %s\n", w)
	}
	if acc.Reason != "" {
		fmt.Fprintf(os.Stderr, "VMs are emulated, many times slower than with KVM: %s\n", acc.Reason)
	} else {
		fmt.Fprintln(os.Stderr, "VMs run with KVM")
	}
	return nil
}

// prepare refuses what the host does not have and will not get by setting up, and says how its VMs run.
func prepare(hv *libvirtHost, cfg config.Config, willSetUp bool) (vm.Acceleration, error) {
	cfg.Groups = host.WithNetworks(cfg.Groups, hv.uri)
	problems, err := host.Problems(hv.conn, cfg, hv.choice.URI, willSetUp)
	if err != nil {
		return vm.Acceleration{}, err
	}
	acc, err := vm.ReadAcceleration(hv.conn, cfg.Acceleration)
	if err != nil {
		problems = append(problems, cfg.Problem("libvirt.acceleration", err.Error(), "auto or qemu"))
	} else {
		lacks, err := host.MachineProblems(hv.conn, cfg, acc)
		if err != nil {
			return acc, err
		}
		problems = append(problems, lacks...)
	}
	if len(problems) > 0 {
		return acc, problems
	}
	return acc, nil
}

// withHostProblems adds to the problems of a config file what the host lacks for the rest of it, so that the user
// learns of all at once. Where the host cannot be asked, it is the file's problems alone.
func (g *globals) withHostProblems(ctx context.Context, cfg config.Config, err error, willSetUp bool) error {
	var inFile, onHost config.Problems
	if !errors.As(err, &inFile) {
		return err
	}
	hv, reachErr := g.reach(ctx, cfg.LibvirtURI, io.Discard, false)
	if reachErr != nil {
		return err
	}
	defer hv.close()
	if _, hostErr := prepare(hv, cfg, willSetUp); !errors.As(hostErr, &onHost) {
		return err
	}
	return inFile.And(onHost)
}
