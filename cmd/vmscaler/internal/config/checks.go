package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/vmscaler/vmscaler/bus"
)

// ownFields are the fields of a check that only some types have.
var ownFields = map[string][]bus.CheckType{
	"command":     {bus.CheckCommand},
	"port":        {bus.CheckTCP, bus.CheckHTTP},
	"scheme":      {bus.CheckHTTP},
	"path":        {bus.CheckHTTP},
	"host_header": {bus.CheckHTTP},
	"status":      {bus.CheckHTTP},
	"body":        {bus.CheckHTTP},
	"insecure":    {bus.CheckHTTP},
}

// hasField reports whether a type of check has a field.
func hasField(t bus.CheckType, key string) bool {
	types, own := ownFields[key]
	return !own || slices.Contains(types, t)
}

// checkFields are a check's fields: those of its type, or of all types where it has none yet.
func checkFields(c *bus.Check) section {
	all := section{
		{"type", choice(&c.Type, bus.CheckTypes()...)},
		{"for", choice(&c.For, bus.CheckFors()...)},
		{"timeout", duration(&c.Timeout, 100*time.Millisecond, time.Hour)},
		{"interval", duration(&c.Interval, time.Second, time.Hour)},
		{"failures", whole(&c.Failures, 100, "")},
		{"successes", whole(&c.Successes, 100, "")},
		{"grace", duration(&c.Grace, 0, 24*time.Hour)},
		{"command", command(&c.Command)},
		{"port", whole(&c.Port, 65535, "")},
		{"scheme", choice(&c.Scheme, bus.SchemeHTTP, bus.SchemeHTTPS)},
		{"path", text(&c.Path, "a path that begins with /, in up to 1024 printable ASCII characters without blanks", isURLPath)},
		{"host_header", text(&c.Host, `a host's name without a port, or "" for the address`, isHostOrNone)},
		{"status", statuses(&c.Status)},
		{"body", text(&c.Body, "a text of at most 1024 bytes", func(s string) bool { return len(s) <= 1024 })},
		{"insecure", yesNo(&c.Insecure)},
	}
	if c.Type == "" {
		return all
	}
	return slices.DeleteFunc(all, func(f field) bool { return !hasField(c.Type, f.key) })
}

func newCheck() bus.Check { return bus.Check{} }

// checkList is the list of a group's checks, whose defaults depend on their types.
type checkList struct{ list[bus.Check] }

func checkListOf(checks *[]bus.Check) checkList {
	return checkList{list[bus.Check]{checks, "a list of checks, each with a type", true, checkFields, newCheck}}
}

// schema has no defaults of single fields, as they depend on the type.
func (l checkList) schema() *Schema {
	out := l.list.schema()
	for _, p := range out.Items.Properties {
		p.schema.Default = nil
	}
	return out
}

func (l checkList) decode(d *decoder, path string, n ast.Node) {
	l.list.decode(d, path, n)
	for i, c := range *l.items {
		(*l.items)[i] = c.WithDefaults()
	}
}

// checks checks what takes more than one field of a check.
func (d *decoder) checks(path string, g bus.Group) {
	if len(g.Checks) > bus.MaxChecks && !d.bad(path) {
		d.problem(path, fmt.Sprintf("%d checks", len(g.Checks)), fmt.Sprintf("at most %d", bus.MaxChecks))
	}
	for i, c := range g.Checks {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case d.bad(at), d.bad(at + ".type"):
			continue
		case c.Type == "":
			d.problem(at+".type", "nothing", oneOf(words(bus.CheckTypes())))
			continue
		}
		for _, key := range checkFields(&bus.Check{}).keys() {
			if d.has(at+"."+key) && !hasField(c.Type, key) {
				d.problem(at+"."+key, "it with type: "+string(c.Type), "it with type: "+oneOf(words(ownFields[key]))+" only")
			}
		}
		d.check(at, g, c)
	}
}

// check checks one that has a type.
func (d *decoder) check(at string, g bus.Group, c bus.Check) {
	switch {
	case c.Type == bus.CheckCommand && len(c.Command) == 0 && !d.bad(at+".command"):
		d.problem(at+".command", "nothing", wantCommand)
	case c.Type == bus.CheckTCP && c.Port == 0 && !d.bad(at+".port"):
		d.problem(at+".port", "nothing", "a whole number from 1 to 65535")
	case c.Type == bus.CheckHTTP && c.Insecure && c.Scheme != bus.SchemeHTTPS && !d.bad(at+".scheme"):
		d.problem(at+".insecure", "true", "it with scheme: https only")
	}
	switch {
	case g.Secluded() && (c.Type == bus.CheckLease || c.Type == bus.CheckAddress):
		d.problem(at+".type", string(c.Type), "another one with user-mode networking, which has no addresses for others")
	case g.Secluded() && c.Reaches() && c.Port != 0 && g.ForwardsOf(1)[c.Port] == 0:
		d.problem(at+".type", string(c.Type), fmt.Sprintf("it with user-mode networking together with a forwarded port (nics) whose "+
			"guest_port is %d; or command, which looks from inside", c.Port))
	case c.Type == bus.CheckCloudInit && !d.bad(at+".for") && c.For != bus.CheckForReady:
		d.problem(at+".for", string(c.For), "ready with type: cloud-init, which runs at a boot alone")
	case c.Grace > 0 && !c.ForHealth():
		d.problem(at+".grace", short(c.Grace), "none with for: ready, as it begins when the VM is ready")
	}
}

func words[T ~string](values []T) (words []string) {
	for _, v := range values {
		words = append(words, string(v))
	}
	return words
}

const wantCommand = "a line for the guest's /bin/sh, or a list of a program and its arguments, of at most 1024 bytes in all"

// command is a program of the guest with its arguments, or a line for its shell.
func command(p *[]string) scalar {
	return scalar{
		want: wantCommand,
		form: Schema{AnyOf: []*Schema{{Type: "string"}, {Type: "array", Items: &Schema{Type: "string"}, MinItems: 1}}},
		set: func(n ast.Node) bool {
			if line, is := stringOf(n); is {
				if strings.TrimSpace(line) == "" || len(line) > 1024 {
					return false
				}
				*p = bus.ShellCommand(line)
				return true
			}
			list, is := n.(*ast.SequenceNode)
			if !is {
				return false
			}
			var parts []string
			bytes := 0
			for _, n := range list.Values {
				part, is := stringOf(n)
				if !is {
					return false
				}
				bytes += len(part)
				parts = append(parts, part)
			}
			if len(parts) == 0 || parts[0] == "" || bytes > 1024 {
				return false
			}
			*p = parts
			return true
		},
		get: func() string {
			if line, is := (bus.Check{Command: *p}).ShellLine(); is {
				return quote(line)
			}
			var parts []string
			for _, part := range *p {
				parts = append(parts, strconv.Quote(part))
			}
			return "[" + strings.Join(parts, ", ") + "]"
		},
	}
}

var statusWord = regexp.MustCompile(`^([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?$`)

// statuses are HTTP statuses: one, a range, or a list of those.
func statuses(p *[]bus.Statuses) scalar {
	one := Schema{Type: []string{"integer", "string"}}
	return scalar{
		form: Schema{AnyOf: []*Schema{&one, {Type: "array", Items: &one, MinItems: 1}}},
		want: "a status from 200 to 599, a range such as 200-399, or a list of those",
		set: func(n ast.Node) bool {
			nodes := []ast.Node{n}
			if list, is := n.(*ast.SequenceNode); is {
				nodes = list.Values
			}
			var all []bus.Statuses
			for _, n := range nodes {
				m := statusWord.FindStringSubmatch(wordOf(n))
				if m == nil {
					return false
				}
				from, _ := strconv.Atoi(m[1]) // three digits
				to := from
				if m[2] != "" {
					to, _ = strconv.Atoi(m[2])
				}
				if from < 200 || to < from {
					return false
				}
				all = append(all, bus.Statuses{From: from, To: to})
			}
			if len(all) == 0 || len(all) > 100 {
				return false
			}
			*p = all
			return true
		},
		get: func() string {
			var words []string
			for _, s := range *p {
				words = append(words, s.String())
			}
			if len(words) == 1 {
				return words[0]
			}
			return "[" + strings.Join(words, ", ") + "]"
		},
	}
}

func isURLPath(s string) bool {
	u, err := url.ParseRequestURI(s)
	return err == nil && u.Host == "" && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && len(s) <= 1024 &&
		strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) < 0
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$`)

func isHostOrNone(s string) bool {
	if s == "" || hostName.MatchString(s) {
		return true
	}
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}
