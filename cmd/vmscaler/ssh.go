package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// sshCmd is the command ssh.
type sshCmd struct {
	g    *globals
	port int
}

func sshCommand(g *globals) *cobra.Command {
	c := &sshCmd{g: g}
	cmd := &cobra.Command{
		Use:   "ssh [USER@]VM [ARG]...",
		Short: "Log in to a VM with this machine's ssh, at the VM's address",
		Long: long(`
Log in to a VM with this machine's ssh, at the VM's address: that of its DHCP lease, or as the host's ARP table has it,
or as its agent says; or at a port of the host that is forwarded to it. ssh gets the arguments, and knows the VM's host
key by the VM's UUID, so that one VM in another's place at one address is no surprise. It runs in place of this program,
whose exit code is ssh's.`),
		Example: "  vmscaler ssh debian@web-1\n  vmscaler ssh web-1 -- -i ~/.ssh/id_web uptime",
		Args:    argsBetween(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd, args[0], args[1:])
		},
	}
	addContext(cmd)
	cmd.Flags().IntVarP(&c.port, "port", "p", 22, "where its sshd listens, inside the VM")
	return cmd
}

func (c *sshCmd) validate() error {
	if c.port < 1 || c.port > 65535 {
		return usageError{fmt.Errorf("--port: found %d, want 1 to 65535", c.port)}
	}
	return nil
}

func (c *sshCmd) run(cmd *cobra.Command, target string, args []string) error {
	user, name, found := strings.Cut(target, "@")
	if !found {
		user, name = "", target
	}
	program, err := exec.LookPath("ssh")
	if err != nil {
		return fmt.Errorf("this machine has no ssh: %w", err)
	}
	one, at, err := c.find(cmd, name)
	if err != nil {
		return err
	}
	if err := syscall.Exec(program, sshLine(at, one.UUID, user, args), os.Environ()); err != nil {
		return fmt.Errorf("run %s: %w", program, err)
	}
	return nil
}

// find finds the VM, and where its sshd is.
func (c *sshCmd) find(cmd *cobra.Command, name string) (vm.VM, netip.AddrPort, error) {
	hv, one, err := c.g.findVM(cmd, name)
	if err != nil {
		return one, netip.AddrPort{}, err
	}
	defer hv.close()
	if err := runs(one); err != nil {
		return one, netip.AddrPort{}, err
	}
	spec := bus.Group{Name: one.Meta.Group} // which forwards nothing, where the config is not here
	if cfg, _, err := c.g.readConfig(); err == nil {
		if i := slices.IndexFunc(cfg.Groups, func(g bus.Group) bool { return g.Name == one.Meta.Group }); i >= 0 {
			spec = cfg.Groups[i]
		}
	}
	m := vm.Manager{Conn: hv.conn, Machine: vm.Machine{Network: host.DefaultNetwork(hv.uri)}}
	at, err := m.Endpoint(cmd.Context(), spec, one, c.port)
	if err != nil {
		return one, at, fmt.Errorf("%s cannot be reached by ssh: %w; %s", name, errors.New(vm.ErrorText(err)),
			asCalled("`vmscaler console "+name+"` and `vmscaler exec "+name+" COMMAND` need no address"))
	}
	return one, at, nil
}

// sshLine is ssh's command line. An address is digits, dots and colons, and the rest of it is this program's or the person's.
func sshLine(at netip.AddrPort, uuid, user string, args []string) []string {
	line := []string{"ssh", "-o", "HostKeyAlias=" + uuid, "-p", strconv.Itoa(int(at.Port()))}
	if user != "" {
		line = append(line, "-l", user)
	}
	return append(append(line, at.Addr().String()), args...)
}
