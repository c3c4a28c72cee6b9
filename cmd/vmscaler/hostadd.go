package main

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/membership"
)

// hostAddCmd is the command host add.
type hostAddCmd struct {
	g   *globals
	bus busFlags
}

func hostAddCommand(g *globals) *cobra.Command {
	c := &hostAddCmd{g: g}
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Make a token by which one new host can join, and print the command for it",
		Long: long(`
Make a token by which one new host can join the bus of this machine, and print the command for that host. The token holds for
10 minutes and for one host; another one for the same NAME takes its place. It says which certificate the bus has, so that no
file need be copied. Only the public half of its key is kept, in the folder tokens of the state folder, to which this user must be
able to write. NAME is what the bus calls the host; "vmscaler host remove NAME" takes its right back.`),
		Example: "  sudo vmscaler host add kvm2",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	c.bus.addOnly(cmd, "state-dir")
	return cmd
}

func (c *hostAddCmd) run(cmd *cobra.Command, name string) error {
	if err := server.CheckAgentName(name); err != nil {
		return usageError{err}
	}
	r, err := c.g.find(cmd, c.bus)
	if err != nil {
		return err
	}
	dir := r.stateDir
	holder, runs := server.FindState(dir)
	if !runs || holder.URL == "" {
		return fmt.Errorf("no bus runs on the state folder %s: start it, or name its folder with --state-dir", dir)
	}
	at, fingerprint := holder.URL, []byte(nil)
	if holder.Cert != "" {
		certificates, err := os.ReadFile(holder.Cert)
		if err == nil {
			fingerprint, err = membership.Fingerprint(certificates)
		}
		if err == nil {
			at, err = urlForOthers(holder.URL, certificates)
		}
		if err != nil {
			return fmt.Errorf("the bus's certificate %s: %w", holder.Cert, err)
		}
	}
	token, expires, err := server.AddToken(dir, name, fingerprint, time.Now())
	if err != nil {
		return err
	}
	if holder.Cert == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: this bus has no TLS, so only this machine reaches it; for other hosts give "+
			"it a certificate "+
			"(bus.cert, bus.key) and an address (bus.listen)")
	}
	fmt.Fprintf(cmd.OutOrStdout(), asCalled("on the new host, by %s:\n\n  %s host join %s --token %s\n"),
		expires.Local().Format(time.TimeOnly),
		program, at, token)
	return nil
}

// urlForOthers is the URL of the bus by a name that its certificate is for and that other hosts may know: by its own address they
// may not reach it.
func urlForOthers(at string, certificates []byte) (string, error) {
	u, err := url.Parse(at)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the URL
	}
	names, err := membership.Names(certificates)
	if err != nil {
		return "", err
	}
	other := slices.IndexFunc(names, func(name string) bool { return !bus.IsLoopback(name) })
	if other >= 0 {
		u.Host = net.JoinHostPort(names[other], u.Port())
	}
	return u.String(), nil
}
