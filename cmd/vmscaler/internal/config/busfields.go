package config

import (
	"net/url"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// busProblems is what takes more than one of the bus's fields.
func (c Config) busProblems() Problems {
	var problems Problems
	add := func(field, found, allowed string) {
		problems = append(problems, Problem{Field: field, Found: found, Allowed: allowed})
	}
	switch {
	case c.BusURL != "" && c.BusListen != "":
		add("bus.listen", c.BusListen, "none together with bus.url: a bus is either embedded or joined")
	case c.BusListen != "" && isListen(c.BusListen) && bus.CheckListen(c.BusListen, c.BusCert != "") != nil:
		add("bus.listen", c.BusListen, "a loopback HOST:PORT, such as "+bus.DefaultListen+", or any with TLS (bus.cert and "+
			"bus.key): whoever reaches the bus can watch it unencrypted")
	}
	switch {
	case c.BusCert != "" && c.BusKey == "":
		add("bus.cert", c.BusCert, "it together with its bus.key")
	case c.BusKey != "" && c.BusCert == "":
		add("bus.key", c.BusKey, "it together with its bus.cert")
	}
	if c.BusNkey != "" && c.BusCreds != "" {
		add("bus.nkey", c.BusNkey, "either bus.nkey or bus.credentials")
	}
	return problems
}

// CheckBus reports what is wrong with the bus's fields after some were set by other means than the file.
func CheckBus(c Config) error {
	problems := c.busProblems()
	if !isListen(c.BusListen) {
		problems = append(problems, Problem{Field: "bus.listen", Found: quote(c.BusListen), Allowed: wantListen})
	}
	if c.BusTaps != Yes && c.BusTaps != No {
		problems = append(problems, Problem{Field: "bus.taps", Found: quote(c.BusTaps), Allowed: wantYesOrNo})
	}
	if !isBusURL(c.BusURL) {
		problems = append(problems, Problem{Field: "bus.url", Found: quote(c.BusURL), Allowed: wantURL})
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

func isListen(s string) bool { return s == "" || bus.CheckListen(s, true) == nil }

// isBusURL allows what the NATS client does, but wants the scheme to be written out.
func isBusURL(s string) bool {
	if s == "" {
		return true
	}
	for one := range strings.SplitSeq(s, ",") {
		u, err := url.Parse(one)
		if err != nil || u.Hostname() == "" || !isPrintable(s) {
			return false
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return false
		}
	}
	return true
}
