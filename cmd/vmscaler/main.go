// Command vmscaler scales groups of KVM/QEMU virtual machines under libvirt.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	_ "time/tzdata" // schedules have time zones, and not every container has their database

	"github.com/spf13/cobra"
)

// version is set by the Makefile.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), endSignals(signal.Ignored(syscall.SIGHUP), onTerminal())...)
	defer stop()
	// From the first signal on a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	root := rootCommand()
	cmd, err := root.ExecuteContextC(ctx)
	err = ofFlags(cmd, err)
	code := exitCode(err)
	var own *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &own) && own.error == nil:
		return code
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "vmscaler: interrupted")
		return exitFailed
	case is[usageError](err):
		fmt.Fprintf(harmless{os.Stderr}, "vmscaler: %s\n", asCalled(err.Error()+"\nSee `"+cmd.CommandPath()+" --help`."))
		return code
	}
	fmt.Fprint(harmless{os.Stderr}, errorLines(err))
	return code
}

// ofFlags is what a command ended with, as a wrong command line where flags of it exclude each other, of which cobra's error says
// nothing by its type.
func ofFlags(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	if groups := cmd.ValidateFlagGroups(); groups != nil {
		return usageError{excluding(groups)}
	}
	return err
}

// exitCodeHelp is "0 done, 1 failed, ...".
func exitCodeHelp() string {
	var texts []string
	for code, means := range exitCodes() {
		texts = append(texts, fmt.Sprint(code, " ", means))
	}
	return strings.Join(texts, ", ")
}

func rootCommand() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:   "vmscaler",
		Short: "Scale groups of KVM/QEMU virtual machines under libvirt",
		Long: `vmscaler watches the CPU of a group's virtual machines from the host, clones more of them from a template
when the group is busy, removes them when it is idle, and shows it live.

Exit codes: ` + exitCodeHelp() + `.`,
		Version:          version,
		SilenceUsage:     true,
		SilenceErrors:    true,
		Args:             unknownCommand,
		PersistentPreRun: warnOfVariables,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.VarP(&once{to: &g.configPath}, "config", "c", "config file (default: ./vmscaler.yaml if it exists, else built-in "+
		"defaults)")
	flags.Var(&once{to: &g.uri}, "uri", "libvirt URI (default: VMSCALER_URI, the config file, LIBVIRT_DEFAULT_URI, "+
		"qemu:///system, qemu:///session)")
	flags.StringVar(&g.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	root.SetOut(harmless{os.Stdout})
	root.SetErr(harmless{os.Stderr})
	root.SetFlagErrorFunc(flagError)
	for _, group := range commandGroups(g) {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title + ":"})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID(setUpTitle)
	root.SetCompletionCommandGroupID(setUpTitle)
	root.AddCommand(watchdogCommand(), manCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	g.complete(root)
	return root
}
