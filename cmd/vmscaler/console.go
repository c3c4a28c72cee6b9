package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/dashboard"
)

const (
	leaveKey = 0x1d // Ctrl-], as in virsh and telnet
	// givenBack ends what a guest may have left behind: mouse reports, bracketed paste, the other screen, colors, a hidden cursor.
	givenBack   = "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1049l\x1b[!p\x1b[0m"
	mostLast    = 10_000 // lines
	pictureMode = 0o600
)

// consoleCmd is the command console.
type consoleCmd struct {
	g          *globals
	bus        busFlags
	last       int // lines; 0: interactive
	screenshot string
	force      bool
}

func consoleCommand(g *globals) *cobra.Command {
	c := &consoleCmd{g: g}
	cmd := &cobra.Command{
		Use:   "console VM",
		Short: "Use a VM's serial console, see what it printed while it booted, or take a picture of its screen",
		Long: long(`
Use a VM's serial console, until Ctrl-] is typed. What the guest prints moves your cursor and paints, and does nothing beyond the
screen: titles and the clipboard are left out. Somebody else who has the console keeps it, unless --force takes it.

With --last it prints what the VM printed before it was ready, or before its launch failed, also of one that is gone: the actuator
keeps that of the last 50 boots in its state folder. With --screenshot it writes what the VM's screen shows, as PNG, if domain_xml
has given it one. The console and the screen are libvirt's, with no bus.`),
		Example: "  vmscaler console web-1\n  vmscaler console web-3 --last 40\n  vmscaler console web-1 --screenshot web-1.png",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd, args[0])
		},
	}
	c.bus.addOnly(cmd, "state-dir")
	addContext(cmd)
	cmd.Flags().IntVar(&c.last, "last", 0, "print so many lines of what is kept of its last boot")
	cmd.Flags().StringVar(&c.screenshot, "screenshot", "", "write what its screen shows to this file, which must not exist")
	cmd.Flags().BoolVar(&c.force, "force", false, "take the console from somebody who has it")
	return cmd
}

func (c *consoleCmd) validate() error {
	switch {
	case c.last < 0 || c.last > mostLast:
		return usageError{fmt.Errorf("--last: found %d, want 1 to %d lines", c.last, mostLast)}
	case c.last > 0 && (c.screenshot != "" || c.force):
		return usageError{errors.New("--last: found with --screenshot or --force, want one of them")}
	case c.screenshot != "" && c.force:
		return usageError{errors.New("--force: found with --screenshot, which takes the console from nobody")}
	}
	return nil
}

func (c *consoleCmd) run(cmd *cobra.Command, name string) error {
	if c.last > 0 {
		return c.printLast(cmd, name)
	}
	hv, one, err := c.g.findVM(cmd, name)
	if err != nil {
		return err
	}
	defer hv.close()
	if c.screenshot != "" {
		return c.shoot(cmd.OutOrStdout(), hv.conn, one)
	}
	if one.Off() || one.State == bus.StateSaved {
		return refused("%s is %s and has no console; --last N prints what is kept of its last boot", name, one.State)
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
		return usageError{errors.New("no terminal to use the console on; --last N prints what is kept of the VM's last boot")}
	}
	return c.use(cmd.Context(), hv.conn, one)
}

// printLast prints what is kept of the last boot of a VM, which may be gone.
func (c *consoleCmd) printLast(cmd *cobra.Command, name string) error {
	state, err := c.stateDir(cmd)
	if err != nil {
		return err
	}
	log, err := c.g.logger(cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	dir := app.ConsoleDir(state)
	kept, found, err := console.NewKeeper(dir, log).Last(name)
	if err != nil {
		return err
	}
	if !found {
		return unknown("%s: nothing is kept in %s: it still boots (`vmscaler console %s` shows it), the actuator that made it has "+
			"another state folder (--state-dir), or 50 others have booted since", name, dir, name)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s until %s\n", name, kept.At.Local().Format(time.DateTime))
	if kept.Picture != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "its screen then: %s\n", kept.Picture)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(kept.Text, "\n"), "\n")
	fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines[max(0, len(lines)-c.last):], ""))
	return nil
}

// stateDir is the state folder of the vmscaler that the command is for, whether it runs or not.
func (c *consoleCmd) stateDir(cmd *cobra.Command) (string, error) {
	r, err := c.g.find(cmd, c.bus)
	var none *notRunningError
	if errors.As(err, &none) {
		return none.stateDir, nil
	}
	return r.stateDir, err
}

// shoot writes a picture of the VM's screen.
func (c *consoleCmd) shoot(out io.Writer, conn *libvirt.Connect, one vm.VM) error {
	if err := runs(one); err != nil {
		return err
	}
	picture, err := vm.TakeScreenshot(conn, one)
	if errors.Is(err, console.ErrNoScreen) {
		return fmt.Errorf("%s: %w: domain_xml can give VMs one, with the elements <graphics> and <video>", one.Name, err)
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(c.screenshot, os.O_WRONLY|os.O_CREATE|os.O_EXCL, pictureMode)
	if err != nil {
		return fmt.Errorf("--screenshot: %w", err)
	}
	_, err = f.Write(picture)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("--screenshot: %w", err)
	}
	fmt.Fprintf(out, "%s: %s\n", one.Name, c.screenshot)
	return nil
}

// use connects the terminal with the console, until the person leaves it or it ends.
func (c *consoleCmd) use(ctx context.Context, conn *libvirt.Connect, one vm.VM) error {
	dom, err := conn.LookupDomainByUUIDString(one.UUID)
	if err != nil {
		return fmt.Errorf("look up %s: %w", one.Name, err)
	}
	defer func() { _ = dom.Free() }()
	open := console.Open
	if c.force || one.Meta.Phase.Pending() { // while it boots the actuator records it, and lets go
		open = console.Take
	}
	line, err := open(conn, dom)
	if errors.Is(err, console.ErrTaken) {
		return fmt.Errorf("%s: %w; --force takes it", one.Name, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", one.Name, err)
	}
	defer line.Close()
	fmt.Fprintf(os.Stdout, "console of %s; Ctrl-] leaves it, Enter may be needed to see something\n", bus.Line(one.Name))
	why, err := onTerminalOf(ctx, line)
	if err != nil {
		return fmt.Errorf("%s: %w", one.Name, err)
	}
	fmt.Fprintf(os.Stdout, "%s: %s\n", bus.Line(one.Name), why)
	return nil
}

// onTerminalOf is attach on the terminal, which gets its settings back, however this process ends.
func onTerminalOf(ctx context.Context, line serialLine) (why string, err error) {
	release, err := dashboard.StartWatchdog(os.Stdout)
	if err != nil {
		return "", err
	}
	defer release()
	in := int(os.Stdin.Fd())
	before, err := term.MakeRaw(in)
	if err != nil {
		return "", fmt.Errorf("use the terminal: %w", err)
	}
	defer func() {
		_, back := os.Stdout.WriteString(givenBack + "\r\n")
		err = errors.Join(err, back, term.Restore(in, before))
	}()
	return attach(ctx, line, os.Stdin, console.NewTerminal(os.Stdout))
}

// serialLine is a VM's console.
type serialLine interface {
	Read(ctx context.Context, buf []byte) (int, error)
	Write(ctx context.Context, data []byte) error
}

// errLeft is that the person has left the console.
var errLeft = errors.New("left its console")

// attach passes on what is typed and what is printed, until the leaving key is typed, the console ends, or ctx does.
func attach(ctx context.Context, line serialLine, in io.Reader, out io.Writer) (why string, err error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() { // it may go on waiting for the terminal, until the process ends
		buf := make([]byte, 1024)
		for {
			n, err := in.Read(buf)
			typed, _, leaves := strings.Cut(string(buf[:n]), string(rune(leaveKey)))
			if typed != "" {
				err = errors.Join(err, line.Write(ctx, []byte(typed)))
			}
			switch {
			case leaves, errors.Is(err, io.EOF):
				end(errLeft)
				return
			case err != nil:
				end(err)
				return
			}
		}
	}()
	buf := make([]byte, 16<<10)
	for {
		n, err := line.Read(ctx, buf)
		switch {
		case errors.Is(err, errLeft):
			return errLeft.Error(), nil
		case errors.Is(err, io.EOF):
			return "its console has ended: it is off, or somebody else has taken it", nil
		case err != nil:
			return "", err
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return "", fmt.Errorf("use the terminal: %w", err)
		}
	}
}
