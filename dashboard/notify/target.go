package notify

import (
	"fmt"
	"net/mail"
	"net/url"
	"slices"
	"strings"
)

// Type is how a target is told.
type Type string

// The types.
const (
	JSON         Type = "json"         // a webhook with a Message, signed where there is a secret
	Slack        Type = "slack"        // an incoming webhook of Slack's, which Mattermost and Discord (/slack) take too
	Matrix       Type = "matrix"       // a room of Matrix
	Alertmanager Type = "alertmanager" // Prometheus's
	Email        Type = "email"        // by the machine's sendmail
	Command      Type = "command"      // a line for /bin/sh
)

// Types are all types.
func Types() []Type { return []Type{JSON, Slack, Matrix, Alertmanager, Email, Command} }

// Target is one who is told.
type Target struct {
	Name   string
	Type   Type
	On     []Kind   // of what
	Groups []string // of which groups; none is all, and what is of no group
	// URL, or the file with it, is of a webhook. Some hold a secret.
	URL, URLFile string
	// SecretFile has the key that a webhook of the type json is signed with, TokenFile what is sent as a bearer token.
	SecretFile, TokenFile string
	From                  string // of an e-mail
	To                    []string
	Sendmail              string
	Command               string
}

// Finding is what is wrong with a field of a target.
type Finding struct{ Field, Found, Allowed string }

// fields are which types have a field. The others are of all.
func fields() map[string][]Type {
	webhooks := []Type{JSON, Slack, Matrix, Alertmanager}
	return map[string][]Type{
		"url": webhooks, "url_file": webhooks, "token_file": webhooks, "secret_file": {JSON},
		"from": {Email}, "to": {Email}, "sendmail": {Email}, "command": {Command},
	}
}

// Has reports whether targets of this type have a field.
func (t Type) Has(field string) bool {
	types, own := fields()[field]
	return !own || slices.Contains(types, t)
}

// Check is what is wrong with the target. set reports whether a field is set.
func (t Target) Check(set func(field string) bool) (all []Finding) {
	add := func(field, found, allowed string) { all = append(all, Finding{field, found, allowed}) }
	if t.Name == "" {
		add("name", "nothing", "a name of its own, for the log")
	}
	if t.Type == "" {
		add("type", "nothing", "one of "+list(Types()))
		return all
	}
	for _, field := range []string{"url", "url_file", "token_file", "secret_file", "from", "to", "sendmail", "command"} {
		if set(field) && !t.Type.Has(field) {
			add(field, "it with type: "+string(t.Type), "it with type: "+list(fields()[field])+" only")
		}
	}
	switch {
	case !t.Type.Has("url"):
	case t.URL == "" && t.URLFile == "":
		add("url", "nothing", WantURL+", or url_file")
	case t.URL != "" && t.URLFile != "":
		add("url_file", "it beside url", "one of them")
	}
	if t.Type == Email && len(t.To) == 0 {
		add("to", "nothing", "a list of addresses")
	}
	if t.Type == Command && strings.TrimSpace(t.Command) == "" {
		add("command", "nothing", "a line for /bin/sh")
	}
	return all
}

func list[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = string(one)
	}
	return strings.Join(words, ", ")
}

// WantURL is what a webhook's URL may be.
const WantURL = "https://HOST/PATH or http://HOST/PATH"

// CheckURL reports what is wrong with a webhook's URL, without the URL, which may be a secret.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("want %s, without a user or #", WantURL)
	}
	return nil
}

// IsAddress reports whether an e-mail can be sent to, or come from, an address.
func IsAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && !strings.HasPrefix(a.Address, "-")
}

// wants reports whether the target is to be told of a message.
func (t Target) wants(m Message) bool {
	return slices.Contains(t.On, m.Kind) && (len(t.Groups) == 0 || slices.Contains(t.Groups, m.Group))
}
