package seed

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/vmscaler/vmscaler/bus"
)

// Problem is one thing that is wrong with a seed.
type Problem struct {
	Field   string // of CloudInit, such as user_data or ssh_keys[1]
	Line    int    // of its text, from 1; 0: it is about all of it
	Found   string
	Allowed string
}

func (p Problem) String() string {
	where := p.Field
	if p.Line > 0 {
		where += fmt.Sprintf(", line %d", p.Line)
	}
	return fmt.Sprintf("%s: found %s, want %s", where, p.Found, p.Allowed)
}

// Check reports problems in a group's cloud-init data that can be found before a VM is created.
func Check(c bus.CloudInit, group string) []Problem {
	var all []Problem
	for i, key := range c.SSHKeys {
		all = append(all, checkKeys(fmt.Sprintf("ssh_keys[%d]", i), key)...)
	}
	rendered, err := userData(c.UserData.Text, Values{
		Name: group + "-1", Group: group, Index: 1, Host: "host", Template: "template", UUID: "00000000-0000-4000-8000-000000000001",
	})
	switch {
	case len(c.UserData.Text) > MaxBytes:
		all = append(all, tooLong("user_data", c.UserData.Text))
	case err != nil:
		all = append(all,
			Problem{Field: "user_data", Found: "a template that does not work (" + err.Error() + ")", Allowed: wantValues})
	default:
		all = append(all, checkUserData("user_data", string(rendered))...)
	}
	all = append(all, checkUserData("vendor_data", c.VendorData.Text)...)
	return append(all, checkNetwork(c.NetworkConfig.Text)...)
}

const wantValues = "one with .Name, .Group, .Index, .Host, .Template, .UUID, .Tags, if and with; or a first line " + jinja +
	" to leave braces to cloud-init"

func tooLong(field, text string) Problem {
	return Problem{Field: field, Found: fmt.Sprintf("%d bytes", len(text)), Allowed: fmt.Sprintf("at most %d", MaxBytes)}
}

var sshKey = regexp.MustCompile(`^(.* )?(ssh-(ed25519|rsa|dss)|ecdsa-sha2-nistp(256|384|521)|` +
	`sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]{20,}=*( .*)?$`)

// checkKeys quotes nothing from a file without keys: it may be a secret, named by mistake.
func checkKeys(field string, key bus.Text) []Problem {
	text := key.Text
	const want = "a public key such as ssh-ed25519 AAAA... NAME"
	if len(text) > MaxBytes {
		return []Problem{tooLong(field, text)}
	}
	var all []Problem
	keys := 0
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case strings.Contains(line, "PRIVATE KEY"):
			return append(all, Problem{field, number, "a private key", want}) // never quoted
		case !sshKey.MatchString(line):
			found := clip(line)
			if key.File != "" {
				found = "a line that is none"
			}
			all = append(all, Problem{field, number, found, want})
		}
		keys++
	}
	if keys == 0 {
		all = append(all, Problem{field, 0, "no key", want})
	}
	return all
}

// formats are the first lines of user data of other kinds, whose content is not checked.
var formats = []string{
	"#!", "#include", "#cloud-boothook", "#cloud-config-archive", "#cloud-config-jsonp", "#part-handler", "#upstart-job", jinja,
	"Content-Type:",
	"MIME-Version:", "From ", "From:",
}

func checkUserData(field, text string) []Problem {
	switch first := firstLine(text); {
	case strings.TrimSpace(text) == "":
		return nil
	case len(text) > MaxBytes:
		return []Problem{tooLong(field, text)}
	case first == "#cloud-config":
		return checkYAML(field, text, cloudConfig)
	default:
		for _, begin := range formats {
			if strings.HasPrefix(first, begin) {
				return nil
			}
		}
		return []Problem{{field, 1, clip(first), "a first line #cloud-config, #!/bin/sh, or another that cloud-init knows"}}
	}
}

func checkNetwork(text string) []Problem {
	switch {
	case strings.TrimSpace(text) == "":
		return nil
	case len(text) > MaxBytes:
		return []Problem{tooLong("network_config", text)}
	}
	return checkYAML("network_config", text, networkConfig)
}

// maxBrackets bounds the nesting, as the parser's time grows with its square.
const maxBrackets = 4096

// checkYAML parses a text as YAML and checks it against a rule.
func checkYAML(field, text string, want rule) []Problem {
	data := []byte(text)
	if n := bytes.Count(data, []byte("[")) + bytes.Count(data, []byte("{")) + bytes.Count(data, []byte("- -")); n > maxBrackets {
		return []Problem{{field, 0, fmt.Sprintf("%d of [, { and - -", n), fmt.Sprintf("at most %d", maxBrackets)}}
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return []Problem{syntax(field, err)}
	}
	c := checker{field: field}
	for i, doc := range file.Docs {
		switch {
		case doc.Body == nil || doc.Body.Type() == ast.NullType:
		case i > 0:
			c.report(doc.Body, "", "a second document", "one")
		default:
			want(&c, "", doc.Body)
		}
	}
	return c.problems
}

func syntax(field string, err error) Problem {
	line, message := 0, err.Error()
	if e := yaml.Error(nil); errors.As(err, &e) {
		message = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
	}
	return Problem{field, line, "a syntax error (" + clip(message) + ")", "YAML"}
}

// clip shortens a value to fit on one line of a message.
func clip(text string) string {
	text = bus.Line(text)
	if r := []rune(text); len(r) > 60 {
		text = string(r[:57]) + "..."
	}
	return text
}
