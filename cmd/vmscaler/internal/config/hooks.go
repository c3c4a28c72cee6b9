package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
)

// hookList is one hook, or a list of hooks with names.
type hookList struct {
	hooks  *bus.HookList
	fields func(*bus.Hook) section
}

func hookFields(h *bus.Hook) section {
	return section{
		{"wait_for", choice(&h.WaitFor, bus.WaitForNobody, bus.WaitForBus, bus.WaitForCommand)},
		{"command", text(&h.Command, "a line for /bin/sh", isPath)},
		{"timeout", duration(&h.Timeout, time.Second, 48*time.Hour)},
		{"default", choice(&h.Default, bus.HookContinue, bus.HookAbandon)},
	}
}

func removeHookFields(h *bus.Hook) section {
	return append(hookFields(h), field{"on_abandon", choice(&h.OnAbandon, bus.AbandonContinue, bus.AbandonRetain)})
}

const wantHookName = "a lower-case letter, then up to 39 of a-z, 0-9 and '-'"

// several is the list of hooks.
func (l hookList) several() list[bus.Hook] {
	named := func(h *bus.Hook) section {
		return append(section{{"name", text(&h.Name, wantHookName, func(s string) bool { return s == "" || bus.IsHookName(s) })}},
			l.fields(h)...)
	}
	want := fmt.Sprintf("a list of at most %d hooks, each with a name of its own", bus.MaxHooks)
	return list[bus.Hook]{(*[]bus.Hook)(l.hooks), want, true, named, bus.DefaultHook}
}

// one is the fields of the only hook.
func (l hookList) one() section {
	if len(*l.hooks) != 1 {
		*l.hooks = bus.HookList{bus.DefaultHook()}
	}
	return l.fields(&(*l.hooks)[0])
}

func (l hookList) decode(d *decoder, path string, n ast.Node) {
	if _, is := n.(*ast.SequenceNode); is {
		l.several().decode(d, path, n)
		return
	}
	*l.hooks = bus.HookList{bus.DefaultHook()}
	l.one().decode(d, path, n)
}

func (l hookList) render() (string, []string) {
	if hooks := *l.hooks; len(hooks) == 1 && hooks[0].Name == "" {
		return l.one().render()
	}
	return l.several().render()
}

// inside is what a hook has, for who looks for a place of a field.
func (l hookList) inside() section {
	h := bus.DefaultHook()
	return l.fields(&h)
}

func (l hookList) schema() *Schema {
	one := l.inside().schema()
	return &Schema{AnyOf: []*Schema{one, l.several().schema()}}
}

// hooks checks what takes more than one field of a group's hooks.
func (d *decoder) hooks(path string, hooks bus.Hooks) {
	for _, kind := range []struct {
		key  string
		list bus.HookList
	}{{"launch", hooks.Launch}, {"remove", hooks.Remove}} {
		at := path + "." + kind.key
		if len(kind.list) > bus.MaxHooks {
			d.problem(at, fmt.Sprintf("%d hooks", len(kind.list)), fmt.Sprintf("at most %d", bus.MaxHooks))
		}
		for i, h := range kind.list {
			where := at
			if item := fmt.Sprintf("%s[%d]", at, i); d.has(item) {
				where = item
				d.hookName(where, h, kind.list[:i])
			}
			d.hook(where, h)
		}
	}
}

// hookName checks the name of a hook in a list, of which those before are checked.
func (d *decoder) hookName(at string, h bus.Hook, before bus.HookList) {
	switch {
	case d.bad(at), d.bad(at + ".name"):
	case h.Name == "":
		d.problem(at+".name", "nothing", wantHookName)
	case slices.ContainsFunc(before, func(b bus.Hook) bool { return b.Name == h.Name }):
		d.problem(at+".name", h.Name, "a name that no other hook of the list has")
	}
}

func (d *decoder) hook(at string, h bus.Hook) {
	switch {
	case d.bad(at + ".command"), d.bad(at + ".wait_for"):
	case h.WaitFor == bus.WaitForCommand && h.Command == "":
		d.problem(at+".wait_for", string(h.WaitFor), "it together with a command")
	case h.WaitFor != bus.WaitForCommand && h.Command != "":
		d.problem(at+".command", clip(h.Command), "none without wait_for: command")
	case h.OnAbandon == bus.AbandonRetain && !h.Waits() && !d.bad(at+".on_abandon"):
		d.problem(
			at+".on_abandon",
			string(h.OnAbandon),
			"continue without wait_for: command or bus, as nobody is asked who could abandon",
		)
	}
}
