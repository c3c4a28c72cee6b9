package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// usageError is a wrong command line.
type usageError struct{ error }

// addWatch adds the flag of commands that can go on with each change, a line for each.
func addWatch(cmd *cobra.Command, to *bool, usage string) {
	cmd.Flags().BoolVarP(to, "watch", "w", false, usage+", a line for each, until Ctrl-C")
}

// checkGroup refuses what is no group's name.
func checkGroup(name string) error {
	if err := bus.CheckGroupName(name); err != nil {
		return usageError{fmt.Errorf("group: %w", err)}
	}
	return nil
}

// noGroup is that something, such as the config, has no such group.
func noGroup(where, name string, names []string) error {
	return unknown("%s has no group %q; it has %s%s", where, name, bus.List(names), nearest.Hint(name, names))
}

// long is a help text that begins in a line of its own.
func long(text string) string { return strings.TrimPrefix(text, "\n") }

// checked runs a command once what its line says is found valid. What validate reads of the arguments it keeps for run.
func checked(validate func(args []string) error, run func(*cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := validate(args); err != nil {
			return err
		}
		return run(cmd)
	}
}

// exactArgs wants as many arguments as the command's usage line names.
func exactArgs(n int) cobra.PositionalArgs { return argsBetween(n, n) }

// argsBetween wants from least to most arguments, as the command's usage line has them; most -1 is any number.
func argsBetween(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (len(args) <= most || most < 0) {
			return nil
		}
		return wantUsage("`"+strings.TrimSuffix(cmd.UseLine(), " [flags]")+"`", args)
	}
}

// wantUsage refuses arguments, with how the command is used.
func wantUsage(usage string, args []string) error {
	if len(args) == 0 {
		return usageError{fmt.Errorf("want %s, found no argument", usage)}
	}
	return usageError{fmt.Errorf("want %s, found %q", usage, args)}
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
	found := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()) + " " + args[0])
	return usageError{fmt.Errorf("there is no command %q%s", found, nearest.Hint(args[0], names))}
}

// flagError reports what is wrong with a flag, and which one was meant perhaps.
func flagError(cmd *cobra.Command, err error) error {
	var wrong *pflag.InvalidValueError
	if errors.As(err, &wrong) {
		return usageError{wrongValue(wrong)}
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError{err}
	}
	name := unknown.GetSpecifiedName()
	if len(name) == 1 && name[0] >= '0' && name[0] <= '9' {
		return usageError{fmt.Errorf("found -%s, want a number of 0 or more", unknown.GetSpecifiedShortnames())}
	}
	if strings.Contains(cmd.Use, " -- ") {
		return usageError{fmt.Errorf("%w; what is for the command in the VM comes after --: %s", err, cmd.UseLine())}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return usageError{fmt.Errorf("%w%s", err, nearest.Hint("--"+name, names))}
}

// wrongValue reports what a flag's value is and what it may be. Flags of this program's own types say it themselves.
func wrongValue(wrong *pflag.InvalidValueError) error {
	f := wrong.GetFlag()
	want := map[string]string{
		"int": "a whole number", "int64": "a whole number", "uint64": "a whole number from 0", "float64": "a number",
		"bool": "true or false", "duration": "a time with its unit, such as 30s, 2m or 1h",
	}[f.Value.Type()]
	if want == "" {
		return fmt.Errorf("--%s: %w", f.Name, wrong.Unwrap())
	}
	return fmt.Errorf("--%s: found %q, want %s", f.Name, wrong.GetValue(), want)
}

// together is what cobra says of flags that exclude each other.
var together = regexp.MustCompile(`none of the others can be; \[(.+)\] were all set$`)

// excluding names flags that exclude each other; an error about anything else stays as it is.
func excluding(err error) error {
	m := together.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	return fmt.Errorf("found --%s, which exclude each other", strings.Join(strings.Fields(m[1]), " and --"))
}

// errorLines are an error's lines as they are printed.
func errorLines(err error) string {
	var lines strings.Builder
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(&lines, "vmscaler: %s\n", asCalled(vm.ErrorText(errors.New(line))))
	}
	return lines.String()
}

// asCalled makes the commands that a text names work as they are typed. Whatever this program says, and every error, has
// them as `vmscaler COMMAND`, as only the program itself knows how it was called.
func asCalled(text string) string {
	if name := calledAs(); name != program {
		return strings.ReplaceAll(text, "`"+program+" ", "`"+name+" ")
	}
	return text
}

// program is what this program is called where the shell finds it.
const program = "vmscaler"

// calledAs is the path by which this program was called, or its name if that is what the shell finds by it.
func calledAs() string {
	own, err := os.Executable()
	if err != nil {
		return program
	}
	if found, err := exec.LookPath(program); err == nil {
		a, errA := os.Stat(found)
		b, errB := os.Stat(own)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return program
		}
	}
	return os.Args[0]
}
