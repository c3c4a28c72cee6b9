package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/membership"
)

// hostJoinCmd is the command host join.
type hostJoinCmd struct {
	g     *globals
	bus   busFlags
	token string
}

func hostJoinCommand(g *globals) *cobra.Command {
	c := &hostJoinCmd{g: g}
	cmd := &cobra.Command{
		Use:   "join URL --token TOKEN",
		Short: "Make this host one of the bus at a URL, by a token of host add",
		Long: long(`
Make this host one of the bus at a URL, by a token that "vmscaler host add" has printed on the bus's machine. This host makes a
key of its own
and sends the public half alone, once the bus has shown the certificate that the token names; the bus lets that key speak for
this host's
libvirt and for no other. Key, certificate and address are kept in the folder agent of the state folder, for "vmscaler agent".`),
		Example: "  vmscaler host join tls://kvm1:4222 --token vmj1_...",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	cmd.Flags().StringVar(&c.token, "token", "", "what \"vmscaler host add\" has printed")
	c.bus.addOnly(cmd, "state-dir")
	return cmd
}

func (c *hostJoinCmd) run(cmd *cobra.Command, url string) error {
	if c.token == "" {
		return usageError{fmt.Errorf("--token: found nothing, want what `vmscaler host add NAME` prints on the bus's machine")}
	}
	cfg, _, err := c.g.addressConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if _, err := c.bus.apply(&cfg); err != nil {
		return err
	}
	dialer, err := host.NewDialer()
	if err != nil {
		return err
	}
	hv, err := c.g.reachBy(cmd.Context(), dialer.ReadOnly(), cfg.LibvirtURI, nil)
	if err != nil {
		return err
	}
	defer hv.close()
	id, err := host.Identify(hv.conn, hv.choice.URI)
	if err != nil {
		return err
	}
	m, err := membership.Join(cmd.Context(), stateDir(cfg), url, c.token, bus.HostID(id.ID))
	if err != nil {
		return err
	}
	// Which cluster it belonged to before does not matter any more.
	if err := os.Remove(app.TermFile(stateDir(cfg))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(cmd.ErrOrStderr(), "this host still keeps which bus it was of: %s\n", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), asCalled("this host is %s on the bus at %s\n"+
		"  with the groups of the other hosts in /etc/vmscaler/vmscaler.yaml, start it with: systemctl enable --now "+
		"vmscaler-agent\n"+
		"  or without systemd: `vmscaler agent -c FILE`\n"), m.Name, m.URL)
	return nil
}
