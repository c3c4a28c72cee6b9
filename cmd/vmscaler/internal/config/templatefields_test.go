package config

import (
	"strings"
	"testing"
)

// Templates go to other hosts where those know each other by a bus that is encrypted, or where the config says so.
func TestTemplateExchange(t *testing.T) {
	const cert = "\n  cert: /bus.crt\n  key: /bus.key"
	for _, tt := range []struct {
		name, file string
		change     func(*Config) // what the command line, or a membership, says over the file
		want       string        // "" is not at all; an error has its field's name
	}{
		{"one host", "", nil, ""},
		{"a bus with TLS for others", "bus:\n  listen: 0.0.0.0:4222" + cert, nil, "0.0.0.0:4223"},
		{"on one address", "bus:\n  listen: 192.0.2.7:4222" + cert, nil, "192.0.2.7:4223"},
		{"a bus with TLS on loopback", "bus:\n  listen: 127.0.0.1:4222" + cert, nil, ""},
		{"a bus elsewhere with TLS", "bus: {url: 'tls://kvm1:4222,tls://kvm2:4222'}", nil, "0.0.0.0:4223"},
		{"a bus elsewhere without", "bus: {url: 'nats://kvm1:4222'}", nil, ""},
		{"one of them without", "bus: {url: 'tls://kvm1:4222,nats://kvm2:4222'}", nil, ""},
		{"by its certificate", "bus: {url: 'nats://kvm1:4222', ca: /ca.crt}", nil, "0.0.0.0:4223"},
		{"a host that has joined", "", func(c *Config) { c.BusListen, c.BusURL = "", "tls://kvm1:4222" }, "0.0.0.0:4223"},
		{
			"one that has joined, on a port of its own", "host: {template_listen: '0.0.0.0:5000'}",
			func(c *Config) { c.BusListen, c.BusURL = "", "tls://kvm1:4222" }, "0.0.0.0:5000",
		},
		{"off", "bus: {url: 'tls://kvm1:4222'}\nhost: {template_listen: off}", nil, ""},
		{"loopback", "host: {template_listen: '127.0.0.1:0'}", nil, "127.0.0.1:0"},
		{"for others without TLS", "host: {template_listen: '0.0.0.0:4223'}", nil, "host.template_listen"},
	} {
		cfg := parse(t, tt.file+"\ngroups: [{name: web}]\n")
		if tt.change != nil {
			tt.change(&cfg)
		}
		got, err := cfg.TemplateExchange()
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), ": found")
			got = got[strings.LastIndex(got, " ")+1:]
		}
		if got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// Groups of one template must say the same of it, and a digest is one.
func TestTemplateDigests(t *testing.T) {
	a, b := strings.Repeat("1a", 32), strings.Repeat("2b", 32)
	group := func(name, template, digest string) string {
		return "\n- {name: " + name + ", template: " + template + ", template_sha256: " + digest + "}"
	}
	for file, want := range map[string]string{
		group("web", "one", a) + group("db", "two", b):            "",
		group("web", "one", a) + group("db", "one", a):            "",
		group("web", "one", a) + group("db", "one", `""`):         "",
		group("web", "one", a) + group("db", "one", b):            "groups[1].template_sha256",
		group("web", "one", "'abc'"):                              "64 hexadecimal digits",
		"\n- {name: web}\nhost: {template_listen: somewhere}":     "host.template_listen",
		"\n- {name: web}\nhost: {template_listen: '127.0.0.1:x'}": "host.template_listen",
	} {
		_, _, err := Parse("vmscaler.yaml", []byte("groups:"+file+"\n"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}
