// Command vmscaler scales groups of KVM/QEMU virtual machines under libvirt.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // schedules have time zones, and not every container has their database

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// version is set by the Makefile.
var version = "dev"

// The exit codes, beside 0 for success; the root command's help has them.
const (
	exitFailure    = 1
	exitUsage      = 2 // a wrong command line
	exitNotRunning = 3 // no vmscaler is there to be asked
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), endSignals(signal.Ignored(syscall.SIGHUP), onTerminal())...)
	defer stop()
	// From the first signal on a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	root := rootCommand()
	cmd, err := root.ExecuteContextC(ctx)
	code := exitCode(err)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "vmscaler: interrupted")
		return exitFailure
	case code == exitUsage:
		fmt.Fprintf(harmless{os.Stderr}, "vmscaler: %s\n", asCalled(err.Error()+"\nSee `"+cmd.CommandPath()+" --help`."))
		return code
	}
	fmt.Fprint(harmless{os.Stderr}, errorLines(err))
	return code
}

// errorLines are an error's lines as they are printed.
func errorLines(err error) string {
	var lines strings.Builder
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(&lines, "vmscaler: %s\n", asCalled(actuator.ErrorText(errors.New(line))))
	}
	return lines.String()
}

func exitCode(err error) int {
	var usage usageError
	var none *notRunningError
	var nobody *client.NobodyError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &none), errors.As(err, &nobody):
		return exitNotRunning
	}
	return exitFailure
}

// asCalled makes the commands that a text names work as they are typed: in place of `vmscaler` they have the path by which
// this program was called, if it is not the one that the shell finds.
func asCalled(text string) string {
	found, err := exec.LookPath("vmscaler")
	own, ownErr := os.Executable()
	if ownErr != nil {
		return text
	}
	if err == nil {
		a, errA := os.Stat(found)
		b, errB := os.Stat(own)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return text
		}
	}
	return strings.ReplaceAll(text, "`vmscaler ", "`"+os.Args[0]+" ")
}

// usageError is a wrong command line.
type usageError struct{ error }

func rootCommand() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "vmscaler",
		Short: "Scale groups of KVM/QEMU virtual machines under libvirt",
		Long: `vmscaler watches the CPU of a group's virtual machines from the host, clones more of them from a template
when the group is busy, removes them when it is idle, and shows it live.

Exit codes: 0 all is well, 1 it failed, 2 the command line is wrong, 3 no vmscaler is there to be asked.`,
		Version:          version,
		SilenceUsage:     true,
		SilenceErrors:    true,
		Args:             unknownCommand,
		PersistentPreRun: warnOfVariables,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.VarP(&once{to: &g.configPath}, "config", "c", "config file (default: ./vmscaler.yaml if it exists, else built-in defaults)")
	flags.Var(&once{to: &g.uri}, "uri", "libvirt URI (default: VMSCALER_URI, the config file, LIBVIRT_DEFAULT_URI, qemu:///system, qemu:///session)")
	flags.StringVar(&g.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	root.SetOut(harmless{os.Stdout})
	root.SetErr(harmless{os.Stderr})
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		runCommand(g), dashboardCommand(g), busCommand(g), stageCommand(g, app.StageCollector), stageCommand(g, app.StageDecider),
		stageCommand(g, app.StageActuator), healthCommand(g), statusCommand(g), explainCommand(g), eventsCommand(g), pauseCommand(g), resumeCommand(g), dryRunCommand(g), scaleCommand(g), setCommand(g), resetCommand(g), diffCommand(g), scheduleCommand(g), metricCommand(g), protectCommand(g), hostCommand(g), hookCommand(g),
		downCommand(g), sweepCommand(g), simulateCommand(g), loadCommand(g), templateCommand(g), setupCommand(g),
		checkCommand(g), configCommand(g), demoCommand(g),
		watchdogCommand(),
		&cobra.Command{
			Use: "version", Short: "Print the version", Args: exactArgs(0),
			Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintf(cmd.OutOrStdout(), "vmscaler version %s\n", version) },
		},
	)
	return root
}

// exactArgs wants as many arguments as the command's usage line names.
func exactArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == n:
			return nil
		case len(args) == 0:
			return usageError{fmt.Errorf("want `%s`, found no argument", cmd.UseLine())}
		}
		return usageError{fmt.Errorf("want `%s`, found %q", cmd.UseLine(), args)}
	}
}

// unknownCommand refuses what is no command, with the ones that are meant perhaps.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return usageError{fmt.Errorf("there is no command %q%s", strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name())+" "+args[0]), nearest.Hint(args[0], names))}
}
