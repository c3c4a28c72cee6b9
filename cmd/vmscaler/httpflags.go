package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// httpFlags are the flags of commands that serve HTTP. A flag wins over its variable, that over the file.
type httpFlags struct {
	cmd   *cobra.Command
	perVM bool
}

// httpSetting is a field of the config's http that a flag and an environment variable can set too.
type httpSetting struct {
	flag, env, field, usage string
	of                      func(*config.Config) *string
}

func httpSettings() []httpSetting {
	return []httpSetting{
		{
			"http", "VMSCALER_HTTP", "http.listen", "address to serve HTTP on: page, API, metrics and health checks; or off (default " +
				config.DefaultHTTP + ")",
			func(c *config.Config) *string { return &c.HTTPListen },
		},
		{
			"tls-cert", "VMSCALER_TLS_CERT", "http.cert", "file with the certificate to serve HTTP with",
			func(c *config.Config) *string { return &c.HTTPCert },
		},
		{
			"tls-key", "VMSCALER_TLS_KEY", "http.key", "file with the key of --tls-cert",
			func(c *config.Config) *string { return &c.HTTPKey },
		},
	}
}

func (h *httpFlags) add(cmd *cobra.Command) {
	h.cmd = cmd
	for _, s := range httpSettings() {
		cmd.Flags().Var(&once{to: new(string)}, s.flag, s.usage+" ["+s.env+"]")
	}
}

// addMetrics adds the flag of what is served.
func (h *httpFlags) addMetrics(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&h.perVM, "metrics-per-vm", true, "also serve metrics of each VM, three series a VM")
}

// apply puts what the environment and then what the flags say over what the file says, and returns a line for each field that was
// overridden.
func (h *httpFlags) apply(cfg *config.Config) (overridden []string, err error) {
	from := map[string]string{} // field -> the flag or variable that it is from
	for _, s := range httpSettings() {
		for _, said := range []struct{ name, value string }{{s.env, os.Getenv(s.env)}, {"--" + s.flag, h.flag(s.flag)}} {
			if said.value != "" {
				*s.of(cfg), from[s.field] = said.value, said.name
			}
		}
		if name := from[s.field]; name != "" {
			overridden = append(overridden, s.field+" is from "+name)
		}
	}
	if !config.IsHTTPListen(cfg.HTTPListen) {
		return nil, usageError{fmt.Errorf("%s: found %q, want %s", from["http.listen"], cfg.HTTPListen, config.WantHTTPListen)}
	}
	if (cfg.HTTPCert == "") != (cfg.HTTPKey == "") {
		return nil, usageError{errors.New("--tls-cert and --tls-key: found one of them, want both or none")}
	}
	return overridden, nil
}

func (h *httpFlags) flag(name string) string {
	if h.cmd == nil {
		return ""
	}
	value, _ := h.cmd.Flags().GetString(name)
	return value
}

// wanted reports whether HTTP is to be served: where an address is said, and by itself where there is a dashboard as well.
func (h *httpFlags) wanted(cfg config.Config, dashboard bool) bool {
	said := cfg.HTTPListen != config.DefaultHTTP || cfg.Line("http.listen") > 0 || h.flag("http") != "" ||
		os.Getenv("VMSCALER_HTTP") != ""
	return cfg.HTTPListen != config.HTTPOff && (said || dashboard)
}

// site is a URL at which it is served.
func site(cfg config.Config, at net.Addr) string {
	if cfg.HTTPCert != "" {
		return "https://" + at.String()
	}
	return "http://" + at.String()
}

// warnOfListener says who can read on the way what is served. Beyond loopback readers need a token.
func warnOfListener(stderr io.Writer, cfg config.Config, at net.Addr) {
	if a, is := at.(*net.TCPAddr); is && !a.IP.IsLoopback() && cfg.HTTPCert == "" {
		fmt.Fprintf(stderr, "warning: HTTP at %s is not encrypted: whoever is on the way can read it, and the tokens; "+
			"give it --tls-cert and --tls-key\n", a)
	}
}
