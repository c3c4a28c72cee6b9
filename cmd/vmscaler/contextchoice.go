package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/contexts"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// contextVariable names a context as --context does.
const contextVariable = "VMSCALER_CONTEXT"

// addContext adds the flag that names a context.
func addContext(cmd *cobra.Command) {
	cmd.Flags().Var(&once{to: new(string)}, "context", "the vmscaler that is kept by this name: see vmscaler context ["+
		contextVariable+"]")
}

// chosenContext is the context that a command is for. A zero one is none.
type chosenContext struct {
	name string
	contexts.Context
}

// context chooses it: by --context, by its variable, or else the one in use, which holds only where nothing else names a
// vmscaler: no address, no state folder, and no config file.
func (g *globals) context(cmd *cobra.Command) (chosenContext, error) {
	if cmd.Flags().Lookup("context") == nil {
		return chosenContext{}, nil
	}
	name, _ := cmd.Flags().GetString("context")
	by, other := "--context", flagPlace(cmd)
	if name == "" && other == "" {
		name, by, other = os.Getenv(contextVariable), contextVariable, variablePlace()
	}
	if name != "" && other != "" {
		return chosenContext{}, usageError{fmt.Errorf("%s and %s exclude each other: each names a vmscaler", by, other)}
	}
	_, file := g.configFile()
	inUse := name == "" && other == "" && !file
	if name == "" && !inUse {
		return chosenContext{}, nil
	}
	all, err := readContexts()
	if err != nil {
		return chosenContext{}, err
	}
	if inUse {
		name = all.InUse
	}
	if name == "" {
		return chosenContext{}, nil
	}
	found, is := all.Named[name]
	if !is {
		return chosenContext{}, noContext(name, all)
	}
	return chosenContext{name, found}, nil
}

func readContexts() (contexts.Contexts, error) {
	path, err := contexts.Path()
	if err != nil { // without a home there are none
		return contexts.Contexts{}, nil //nolint:nilerr // as above
	}
	return contexts.Load(path, os.Geteuid())
}

// noContext is that there is no context of a name.
func noContext(name string, all contexts.Contexts) error {
	if len(all.Named) == 0 {
		return unknown("there is no context %q, and no other one; `vmscaler context add` keeps one", name)
	}
	return unknown("there is no context %q; there are: %s%s", name, bus.List(all.Names()), nearest.Hint(name, all.Names()))
}

// flagPlace is the flag that names a vmscaler, "" if none does.
func flagPlace(cmd *cobra.Command) string {
	for _, flag := range []string{"nats-url", "state-dir"} {
		if value, err := cmd.Flags().GetString(flag); err == nil && value != "" {
			return "--" + flag
		}
	}
	return ""
}

// variablePlace is the variable that names a vmscaler, "" if none does.
func variablePlace() string {
	for _, name := range []string{"VMSCALER_NATS_URL", "VMSCALER_STATE_DIR", "VMSCALER_BUS_LISTEN"} {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

// setting is what the context says of a setting, and how it is called.
func (c chosenContext) setting(s setting) (name, value string) {
	if s.kept == nil {
		return "", ""
	}
	return s.field + " of the context " + c.name, *s.kept(&c.Context)
}

// libvirt is the URI of the libvirt with the VMs of the context; "" is the one that is chosen without a context. Those of another
// machine are not looked for here.
func (c chosenContext) libvirt() (string, error) {
	if c.URI == "" && c.URL != "" && !app.IsThisMachine(c.URL) {
		return "", usageError{fmt.Errorf("context %s is of another machine, and does not say where its libvirt is: name it with "+
			"--uri, such as qemu+ssh://root@kvm1/system", c.name)}
	}
	return c.URI, nil
}
