package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

// The exit codes of exec beside the command's own, which timeout(1) has too.
const (
	exitTookTooLong = 124
	exitNotRun      = 125
)

// execCmd is the command exec.
type execCmd struct {
	g       *globals
	timeout time.Duration
}

func execCommand(g *globals) *cobra.Command {
	c := &execCmd{g: g}
	cmd := &cobra.Command{
		Use:   "exec VM -- COMMAND [ARG]...",
		Short: "Run a command inside a VM, through its guest agent",
		Long: long(`
Run a command inside a VM, through its guest agent, and print what it printed once it has ended: its output and its
errors, 256 KiB of each at most. It has no input, and runs as the agent does, as a rule as root in /. Ctrl-C kills it.
On a terminal nothing that the guest says is obeyed. It needs a /bin/sh in the guest, an agent that may run commands,
and no bus.

The exit code is the command's, or 124 if it has not ended in time, and 125 if it was not run.`),
		Example: "  vmscaler exec web-1 -- uptime\n  vmscaler exec web-1 --timeout 5m -- sh -c 'apt-get update && apt-get -y upgrade'",
		Args:    argsBetween(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd, args[0], args[1:])
		},
	}
	addContext(cmd)
	cmd.Flags().DurationVar(&c.timeout, "timeout", time.Minute, "how long it may take; then it is killed")
	return cmd
}

func (c *execCmd) validate() error {
	if c.timeout < time.Second || c.timeout > 24*time.Hour {
		return usageError{fmt.Errorf("--timeout: found %s, want 1s to 24h", c.timeout)}
	}
	return nil
}

func (c *execCmd) run(cmd *cobra.Command, name string, command []string) error {
	ran, err := c.exec(cmd, name, command)
	switch {
	case errors.Is(err, vm.ErrTookTooLong):
		return &exitError{exitTookTooLong, fmt.Errorf("%s: %w, and was killed", name, err)}
	case err != nil:
		return &exitError{exitNotRun, err}
	}
	if err := errors.Join(show(os.Stdout, ran.Stdout), show(os.Stderr, ran.Stderr)); err != nil {
		return &exitError{exitNotRun, err}
	}
	if ran.Cut {
		fmt.Fprintf(cmd.ErrOrStderr(), "vmscaler: it printed more than %d KiB, and the rest is left out\n", vm.MostOutput>>10)
	}
	if ran.Code != 0 {
		return &exitError{code: ran.Code}
	}
	return nil
}

func (c *execCmd) exec(cmd *cobra.Command, name string, command []string) (vm.Ran, error) {
	hv, one, err := c.g.findVM(cmd, name)
	if err != nil {
		return vm.Ran{}, err
	}
	defer hv.close()
	if err := runs(one); err != nil {
		return vm.Ran{}, err
	}
	dom, err := hv.conn.LookupDomainByUUIDString(one.UUID)
	if err != nil {
		return vm.Ran{}, fmt.Errorf("look up %s: %w", name, err)
	}
	defer func() { _ = dom.Free() }()
	ran, err := vm.Exec(cmd.Context(), dom, command, c.timeout)
	if err != nil {
		return vm.Ran{}, fmt.Errorf("%s: %w", name, err)
	}
	return ran, nil
}

// show prints what a guest has printed: harmless on a terminal, and as it is elsewhere.
func show(f *os.File, data []byte) error {
	to := io.Writer(f)
	if term.IsTerminal(int(f.Fd())) {
		to = harmless{f}
	}
	_, err := to.Write(data)
	return err
}
