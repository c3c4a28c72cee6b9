package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// What host.template_listen may be beside an address.
const (
	TemplatesAuto = "auto" // where the bus has TLS and is for other machines
	TemplatesOff  = "off"  // no template goes to another host, nor comes from one
)

// templatePort is where templates are handed out, unless the config says otherwise.
const templatePort = 4223

const wantTemplateListen = "HOST:PORT, such as 0.0.0.0:4223, or auto or off"

func isTemplateListen(s string) bool {
	return s == TemplatesAuto || s == TemplatesOff || bus.CheckListen(s, true) == nil
}

const wantDigest = `the SHA-256 of the template's file, 64 hexadecimal digits, or "" for any`

var digestPattern = regexp.MustCompile(`^([0-9a-f]{64})?$`)

func isDigest(s string) bool { return digestPattern.MatchString(s) }

// TemplateExchange is where other hosts get templates from this one, HOST:PORT; "" is not at all, and then it gets none, either.
// By itself it is so where the bus, by which hosts know each other, is encrypted and may have other hosts. An address for other
// machines is an error where the bus is not encrypted, which only is known once it is known which bus that is.
func (c Config) TemplateExchange() (string, error) {
	if c.TemplateListen == TemplatesOff {
		return "", nil
	}
	side, encrypted := c.busSide()
	if c.TemplateListen == TemplatesAuto {
		if !encrypted || bus.IsLoopback(side) {
			return "", nil
		}
		return net.JoinHostPort(side, strconv.Itoa(templatePort)), nil
	}
	if host, _, err := bus.SplitListen(c.TemplateListen); err != nil || !encrypted && !bus.IsLoopback(host) {
		return "", Problems{c.Problem("host.template_listen", c.TemplateListen,
			"a loopback HOST:PORT, or any where the bus has TLS: hosts know each other by what is said there")}
	}
	return c.TemplateListen, nil
}

// busSide is the address by which other machines reach this one, as far as the bus's fields say it, and whether they cannot
// listen to what is said on the bus.
func (c Config) busSide() (host string, encrypted bool) {
	if c.BusURL == "" {
		host, _, _ = bus.SplitListen(c.BusListen)
		return host, c.BusCert != ""
	}
	host = "127.0.0.1"
	for one := range strings.SplitSeq(c.BusURL, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || c.BusCA == "" && u.Scheme != "tls" && u.Scheme != "wss" {
			return host, false
		}
		if !bus.IsLoopback(u.Hostname()) {
			host = "0.0.0.0"
		}
	}
	return host, true
}

// digestProblems is where groups say different things of one template.
func (c Config) digestProblems() (problems Problems) {
	first := map[string]bus.Group{}
	for i, g := range c.Groups {
		if g.TemplateSHA256 == "" {
			continue
		}
		if other, named := first[g.Template]; named && other.TemplateSHA256 != g.TemplateSHA256 {
			problems = append(problems, Problem{
				Field: fmt.Sprintf("groups[%d].template_sha256", i), Found: g.TemplateSHA256,
				Allowed: fmt.Sprintf("%s, as group %s says of the same template", other.TemplateSHA256, other.Name),
			})
		}
		first[g.Template] = g
	}
	return problems
}
