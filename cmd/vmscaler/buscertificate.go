package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus/server"
)

// certificateCmd is the command bus certificate.
type certificateCmd struct {
	g   *globals
	bus busFlags
}

func certificateCommand(g *globals) *cobra.Command {
	c := &certificateCmd{g: g}
	cmd := &cobra.Command{
		Use:   "certificate NAME...",
		Short: "Make the certificates by which the buses of some hosts are known",
		Long: long(`
Make a certificate for the bus of each host NAME, from an authority that is made here at the first time. A bus shows it to
clients, and to the other members of its cluster. Each is in a folder of its own, certificates/NAME of the state folder, which
is to be at the same place on its host. They hold for a year, and the buses that run have them renewed when a third of that is
left, by the one on this host, where the authority's key stays. NAME is the host's name or its IP address, by which others reach
it; what it had before is replaced, and a bus that runs shows the new one within seconds.`),
		Example: "  sudo vmscaler bus certificate kvm1 kvm2 kvm3",
		Args:    argsBetween(1, -1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) },
	}
	c.bus.addOnly(cmd, "state-dir")
	return cmd
}

func (c *certificateCmd) run(cmd *cobra.Command, names []string) error {
	for _, name := range names {
		if err := server.CheckAgentName(name); err != nil {
			return usageError{err}
		}
	}
	cfg, _, err := c.g.addressConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if _, err := c.bus.apply(&cfg); err != nil {
		return err
	}
	dir := stateDir(cfg)
	if err := server.MakeCertificates(dir, names, server.CertificateLife, time.Now()); err != nil {
		return err
	}
	for _, name := range names {
		own := filepath.Join(server.CertificatesDir(dir), name)
		fmt.Fprintf(cmd.OutOrStdout(), "%s, in its config:\n  bus:\n    cert: %s\n    key: %s\n"+
			"    cluster:   # of a member\n      ca: %s\n",
			name, filepath.Join(own, "bus.crt"), filepath.Join(own, "bus.key"), filepath.Join(own, "ca.crt"))
	}
	return nil
}
