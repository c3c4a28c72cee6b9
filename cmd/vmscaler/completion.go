package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// completeWithin is how long a shell may wait for what a word could be completed with. What is not known by then is left out.
const completeWithin = 300 * time.Millisecond

// source is what an argument is completed with. A zero one is nothing.
type source struct {
	of      func(*lookup) []string
	files   bool // or what else the shell would complete
	noSpace bool // the word goes on
}

// completions are the sources of each command's arguments; the last one is also that of all that follow.
func completions() map[string][]source {
	groups, vms, templates := source{of: (*lookup).groups}, source{of: (*lookup).vms}, source{of: (*lookup).templates}
	groupsAndVMs := source{of: func(l *lookup) []string { return append(l.groups(), l.vms()...) }}
	names := source{of: func(l *lookup) []string { return l.contexts() }}
	scopes, none, files := words(scopeNames()...), source{}, source{files: true}
	fields := source{noSpace: true, of: func(l *lookup) []string { return l.fields("=") }}
	conditions := source{noSpace: true, of: func(*lookup) []string {
		return []string{"stable", "ready=", "desired=", "template=", "vm=", "refresh=done", "refresh=canary"}
	}}
	all := map[string][]source{
		"status": {groups, none}, "vms": {groups, none}, "explain": {groups, none}, "events": {groups, none}, "diff": {groups, none},
		"schedule": {groups, none}, "schedule add": {groups, none},
		"schedule rm": {groups, {of: (*lookup).added}}, "wait": {groups, conditions}, "health": {words(healthStages()...), none},
		"scale": {groups, none}, "launch": {groups, none}, "forecast": {groups, none}, "set": {groups, fields},
		"reset": {groups, {of: func(l *lookup) []string { return l.fields("") }}}, "pause": {groups, scopes},
		"resume": {groupsAndVMs, scopes}, "dry-run": {groups, none}, "wake": {groups, none}, "refresh": {groups, none},
		"metric": {groups, none}, "down": {groups, none}, "load": {groupsAndVMs, none},
		"protect": {vms, none}, "console": {vms, none}, "exec": {vms, files},
		"ssh": {{of: (*lookup).logins}, files}, "hook": {words(hookActions()...), none}, "hook list": {groups, none},
		"host remove": {{of: (*lookup).hosts}, none}, "host show": {{of: (*lookup).hosts}, none},
		"host cordon": {{of: (*lookup).hosts}, none}, "host drain": {{of: (*lookup).hosts}, none},
		"host uncordon": {{of: (*lookup).hosts}, none}, "bus credentials": {words(roleNames()...), none}, "web token": {none},
		"host add": {none}, "host join": {none}, "bus certificate": {none},
		"template show": {templates, none}, "template rm": {templates, none}, "template check": {templates, none},
		"template diff": {templates, templates, none}, "template import": {none, files}, "template install": {none},
		"template prebuild": {none}, "template seal": {none}, "volume rm": {{of: (*lookup).kept}, none},
		"context add": {none}, "context use": {names, none}, "context show": {names, none}, "context rm": {names, none},
	}
	for _, verb := range bus.VMVerbs() {
		all[string(verb)] = []source{vms, none}
	}
	all[string(bus.VMAttach)] = []source{none} // a domain, which is no VM yet
	delete(all, string(bus.VMExitStandby))     // it is resume's
	return all
}

// words are a source of names that are always the same.
func words(names ...string) source { return source{of: func(*lookup) []string { return names }} }

// complete has each command below root complete its arguments and the values of its flags.
func (g *globals) complete(root *cobra.Command) {
	all := completions()
	flags := map[string]source{
		"context": {of: (*lookup).contexts}, "group": {of: (*lookup).groups}, "history": {of: (*lookup).groups},
		"host": {of: (*lookup).hosts}, "from": {of: (*lookup).templates}, "strategy": words("replace", "reimage"),
		"minimal-action": words("restart", "replace"), "most-disruptive": words("restart", "replace"),
		"log-level": words("trace", "debug", "info", "warn", "error"),
	}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		sources := all[strings.TrimPrefix(cmd.CommandPath(), program+" ")]
		if sources == nil {
			sources = []source{{}} // no file is an argument of what takes none
		}
		if cmd.Runnable() && cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
				return g.completed(cmd, sources[min(len(args), len(sources)-1)], args, word)
			}
		}
		for name, from := range flags {
			if cmd.LocalFlags().Lookup(name) != nil {
				_ = cmd.RegisterFlagCompletionFunc(name, g.completeFlag(from)) // which only fails for a flag that is not there
			}
		}
		if flag := cmd.Flags().Lookup("output"); flag != nil {
			if output, is := flag.Value.(*printer.Output); is {
				_ = cmd.RegisterFlagCompletionFunc("output", g.completeFlag(words(output.Names()...)))
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

func (g *globals) completeFlag(from source) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		return g.completed(cmd, from, args, word)
	}
}

// completed is what a word can be completed with. It is silent: whatever goes wrong is nothing.
func (g *globals) completed(cmd *cobra.Command, from source, args []string, word string) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	switch {
	case from.files:
		return nil, cobra.ShellCompDirectiveDefault
	case from.of == nil:
		return nil, directive
	case from.noSpace:
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	cmd.SetErr(io.Discard)
	base := cmd.Context()
	if base == nil {
		base = context.Background()
	}
	ctx, cancel := context.WithTimeout(base, completeWithin)
	defer cancel()
	found := make(chan []string, 1)
	go func() { found <- from.of(&lookup{ctx: ctx, g: g, cmd: cmd, word: word}) }() // which may wait longer, for libvirt or a name
	select {
	case names := <-found:
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
			return !strings.HasPrefix(name, word) || slices.Contains(args, name)
		}), directive
	case <-ctx.Done():
		return nil, directive
	}
}

// lookup finds what there is for a command line that is being typed.
type lookup struct {
	ctx  context.Context //nolint:containedctx // it is one call's
	g    *globals
	cmd  *cobra.Command
	word string
}

// status asks the vmscaler that the command line is for.
func (l *lookup) status() (bus.Status, error) {
	r, err := l.g.find(l.cmd, busFlags{l.cmd})
	if err != nil {
		return bus.Status{}, err
	}
	conn, err := r.join(l.ctx, bus.RoleTap, zerolog.Nop())
	if err != nil {
		return bus.Status{}, err
	}
	defer conn.Close()
	return client.Ask[bus.Status](l.ctx, conn, bus.VerbStatus, bus.Query{})
}

// owned are the VMs of vmscaler that libvirt has, for where none runs.
func (l *lookup) owned() (names, groups []string) {
	there, err := l.g.forContext(l.cmd)
	if err != nil {
		return nil, nil
	}
	uri, err := l.g.fileURI(io.Discard)
	if err != nil {
		return nil, nil
	}
	hv, err := there.reach(l.ctx, uri, io.Discard, false)
	if err != nil {
		return nil, nil
	}
	defer hv.close()
	inv, err := vm.ReadInventory(hv.conn)
	if err != nil {
		return nil, nil
	}
	for _, one := range inv.Owned {
		names = append(names, one.Name)
	}
	return names, inv.Groups()
}

// groups are those that run, else those of the config and of libvirt.
func (l *lookup) groups() []string {
	var names []string
	if status, err := l.status(); err == nil {
		for _, g := range status.Groups {
			names = append(names, g.Group)
		}
		return names
	}
	if cfg, _, err := l.g.readConfig(); err == nil {
		names = groupNames(cfg.Groups)
	}
	_, more := l.owned()
	names = append(names, more...)
	slices.Sort(names)
	return slices.Compact(names)
}

// vms are those of the groups that run, else those that libvirt has.
func (l *lookup) vms() []string {
	status, err := l.status()
	if err != nil {
		names, _ := l.owned()
		return names
	}
	var names []string
	for _, v := range listVMs(status).Rows {
		names = append(names, v.Name)
	}
	return names
}

// logins are VMs, after the user that was typed.
func (l *lookup) logins() []string {
	user, _, is := strings.Cut(l.word, "@")
	names := l.vms()
	if is {
		for i := range names {
			names[i] = user + "@" + names[i]
		}
	}
	return names
}

func (l *lookup) hosts() []string {
	status, err := l.status()
	if err != nil {
		return nil
	}
	var names []string
	for _, h := range listHosts(status).Rows {
		names = append(names, h.Name)
	}
	return names
}

// added are the names of the actions that were added to a schedule.
func (l *lookup) added() []string {
	status, err := l.status()
	if err != nil {
		return nil
	}
	var names []string
	for _, g := range status.Groups {
		names = append(names, heldControls(status, g.Group).AddedNames()...)
	}
	return names
}

func (l *lookup) templates() (names []string) {
	l.onLibvirt(func(hv *libvirtHost, cfg config.Config) {
		infos, _ := template.List(hv.conn, cfg.Pool)
		for _, i := range infos {
			names = append(names, i.Name)
		}
	})
	return names
}

// kept are the disks that outlive their VMs.
func (l *lookup) kept() (names []string) {
	l.onLibvirt(func(hv *libvirtHost, cfg config.Config) {
		all, _ := hv.kept(l.ctx, cfg.Disks())
		for _, k := range all {
			if !k.Foreign {
				names = append(names, k.Name)
			}
		}
	})
	return names
}

// onLibvirt calls do with libvirt, if that answers.
func (l *lookup) onLibvirt(do func(hv *libvirtHost, cfg config.Config)) {
	cfg, _, err := l.g.addressConfig(io.Discard)
	if err != nil {
		return
	}
	hv, err := l.g.reach(l.ctx, cfg.LibvirtURI, io.Discard, false)
	if err != nil {
		return
	}
	defer hv.close()
	do(hv, cfg)
}

func (l *lookup) contexts() []string {
	all, err := readContexts()
	if err != nil {
		return nil
	}
	return all.Names()
}

// fields are those that can be set while a group runs, as short as they may be typed; end follows each. After that they are the
// words that the field may be set to.
func (l *lookup) fields(end string) []string {
	if name, _, valued := strings.Cut(l.word, "="); valued && end != "" {
		path, err := config.LiveField(name)
		if err != nil {
			return nil
		}
		words := config.LiveWords(path)
		for i, word := range words {
			words[i] = name + end + word
		}
		return words
	}
	names := config.LiveFields()
	for i, path := range names {
		if !strings.HasPrefix(l.word, "policy.") {
			path = strings.TrimPrefix(path, "policy.")
		}
		names[i] = path + end
	}
	return names
}
