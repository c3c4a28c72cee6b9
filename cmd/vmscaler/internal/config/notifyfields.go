package config

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/dashboard/notify"
)

// maxTargets is how many are told at most.
const maxTargets = 50

func newTarget() notify.Target {
	return notify.Target{On: notify.DefaultKinds(), From: "vmscaler@localhost", Sendmail: "/usr/sbin/sendmail"}
}

// notifyFields are a target's fields: those of its type, or of all types where it has none yet.
func notifyFields(t *notify.Target) section {
	const wantSecret = "the path of a file that only its owner can read"
	all := section{
		{"name", text(&t.Name, "a name of its own, for the log", isName)},
		{"type", choice(&t.Type, notify.Types()...)},
		{"on", choices(&t.On, notify.Kinds()...)},
		{"groups", wordList{&t.Groups}},
		{"url", text(&t.URL, notify.WantURL+`, without a user or #, or "" with url_file`, isWebhookOrNone)},
		{"url_file", text(&t.URLFile, wantSecret+", with the URL", isPath)},
		{"secret_file", text(&t.SecretFile, wantSecret+", with the key", isPath)},
		{"token_file", text(&t.TokenFile, wantSecret+", with the token", isPath)},
		{"from", text(&t.From, "an e-mail address", notify.IsAddress)},
		{"to", addresses(&t.To)},
		{"sendmail", text(&t.Sendmail, "the path of a program", isPath)},
		{"command", text(&t.Command, "a line for /bin/sh", isPath)},
	}
	if t.Type == "" {
		return all
	}
	return slices.DeleteFunc(all, func(f field) bool { return !t.Type.Has(f.key) })
}

func isWebhookOrNone(s string) bool { return s == "" || len(s) < 2048 && notify.CheckURL(s) == nil }

// addresses is a list of e-mail addresses.
func addresses(p *[]string) scalar {
	return scalar{
		form: Schema{Type: "array", Items: &Schema{Type: "string"}, UniqueItems: true},
		want: fmt.Sprintf("a list of at most %d e-mail addresses, each once", maxTargets),
		set: func(n ast.Node) bool {
			seq, is := n.(*ast.SequenceNode)
			if !is || len(seq.Values) > maxTargets {
				return false
			}
			var found []string
			for _, item := range seq.Values {
				s, _ := stringOf(item)
				if !notify.IsAddress(s) || slices.Contains(found, s) {
					return false
				}
				found = append(found, s)
			}
			*p = found
			return true
		},
		get: func() string {
			word, _ := wordList{p}.render()
			return word
		},
	}
}

// targets checks what takes more than one field of who is told.
func (d *decoder) targets(c *Config) {
	if len(c.Notify) > maxTargets {
		d.problem("notify", fmt.Sprintf("%d targets", len(c.Notify)), fmt.Sprintf("at most %d", maxTargets))
	}
	first := map[string]string{}
	for i, t := range c.Notify {
		path := fmt.Sprintf("notify[%d]", i)
		if d.bad(path) {
			continue
		}
		for _, f := range t.Check(func(field string) bool { return d.has(path + "." + field) }) {
			if at := path + "." + f.Field; !d.bad(at) {
				d.problem(at, f.Found, f.Allowed)
			}
		}
		if other, again := first[t.Name]; again && t.Name != "" {
			d.problem(path+".name", t.Name, fmt.Sprintf("a name of its own: line %d has this one", d.lines[other].line))
		} else {
			first[t.Name] = path + ".name"
		}
		names := make([]string, len(c.Groups))
		for i, g := range c.Groups {
			names[i] = g.Name
		}
		for _, g := range t.Groups {
			if !slices.Contains(names, g) && !d.bad("groups") && !d.bad(path+".groups") {
				d.problem(path+".groups", g, oneOf(names))
			}
		}
	}
}
