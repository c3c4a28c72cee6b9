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
	return append(problems, c.clusterProblems()...)
}

const (
	clusterMembers = 3
	wantMembers    = `three HOST:PORT with commas between, such as kvm1:6222,kvm2:6222,kvm3:6222, or "" for a bus that is alone`
	wantMemberName = "1 to 64 letters, digits, dots, hyphens and underscores, the first a letter or a digit"
)

// clusterProblems is what takes more than one of the cluster's fields.
func (c Config) clusterProblems() (problems Problems) {
	k := c.BusCluster
	add := func(field, found, allowed string) {
		problems = append(problems, Problem{Field: "bus.cluster." + field, Found: found, Allowed: allowed})
	}
	if k.Members == "" {
		if k != (BusCluster{}) {
			add("members", "nothing", wantMembers)
		}
		return problems
	}
	switch {
	case c.BusURL != "":
		add("members", k.Members, "none together with bus.url: a member embeds its own server")
	case k.Name == "":
		add("name", "nothing", "a name of this member's own: "+wantMemberName)
	case k.Listen == "":
		add("listen", "nothing", "the HOST:PORT where it takes the other members' connections, such as 0.0.0.0:6222")
	case k.CA != "" && c.BusCert == "":
		add("ca", k.CA, "it together with bus.cert and bus.key, which this member shows to the others")
	case k.CA == "":
		for address := range strings.SplitSeq(k.Listen+","+k.Members, ",") {
			if host, _, err := bus.SplitListen(address); err == nil && !bus.IsLoopback(host) {
				add("ca", "nothing", "a file with the certificates that the members' must be from, as "+address+
					" is not on loopback: whoever connects as a member may do everything")
				break
			}
		}
	}
	return problems
}

func isMembers(s string) bool {
	if s == "" {
		return true
	}
	all := strings.Split(s, ",")
	for _, one := range all {
		if _, port, err := bus.SplitListen(one); err != nil || port == 0 || strings.TrimSpace(one) != one {
			return false
		}
	}
	return len(all) == clusterMembers && isPrintable(s)
}

func isMemberName(s string) bool {
	return s == "" || len(s) <= 64 && strings.Trim(s, memberLetters) == "" && !strings.ContainsAny(s[:1], "._-")
}

const memberLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

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
