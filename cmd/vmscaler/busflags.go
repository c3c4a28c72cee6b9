package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/contexts"
)

// setting is a field of the config's bus that a flag and an environment variable can set too.
type setting struct {
	flag, env, field, usage string
	of                      func(*config.Config) *string
	kept                    func(*contexts.Context) *string // nil: it is of the server alone
}

func busSettings() []setting {
	return []setting{
		{
			"bus-listen", "VMSCALER_BUS_LISTEN", "bus.listen", "address of the embedded NATS server (default " + bus.DefaultListen + ")",
			func(c *config.Config) *string { return &c.BusListen },
			nil,
		},
		{
			"bus-taps", "VMSCALER_BUS_TAPS", "bus.taps", "whether clients of this machine without credentials may watch the embedded " +
				"server (default true)",
			func(c *config.Config) *string { return &c.BusTaps },
			nil,
		},
		{
			"nats-url", "VMSCALER_NATS_URL", "bus.url", "NATS server to join, or several with commas between",
			func(c *config.Config) *string { return &c.BusURL },
			func(c *contexts.Context) *string { return &c.URL },
		},
		{
			"nats-nkey", "VMSCALER_NATS_NKEY", "bus.nkey", "file with the nkey seed to log in with, or a folder with one for each " +
				"role, ROLE.nk",
			func(c *config.Config) *string { return &c.BusNkey },
			func(c *contexts.Context) *string { return &c.Nkey },
		},
		{
			"nats-creds", "VMSCALER_NATS_CREDS", "bus.credentials", "file with the NATS credentials (JWT and seed) to log in with",
			func(c *config.Config) *string { return &c.BusCreds },
			func(c *contexts.Context) *string { return &c.Creds },
		},
		{
			"nats-ca", "VMSCALER_NATS_CA", "bus.ca", "file with the certificates that the server's must be from",
			func(c *config.Config) *string { return &c.BusCA },
			func(c *contexts.Context) *string { return &c.CA },
		},
		{
			"nats-cert", "VMSCALER_NATS_CERT", "bus.cert", "file with the certificate: the client's, or of the embedded server",
			func(c *config.Config) *string { return &c.BusCert },
			func(c *contexts.Context) *string { return &c.Cert },
		},
		{
			"nats-key", "VMSCALER_NATS_KEY", "bus.key", "file with the key of --nats-cert",
			func(c *config.Config) *string { return &c.BusKey },
			func(c *contexts.Context) *string { return &c.Key },
		},
		{
			"state-dir", "VMSCALER_STATE_DIR", "bus.state_dir", "folder of the bus's history and credentials (default: " +
				"/var/lib/vmscaler for root, else ~/.local/state/vmscaler)",
			func(c *config.Config) *string { return &c.StateDir },
			func(c *contexts.Context) *string { return &c.StateDir },
		},
	}
}

// busFlags are the flags of commands that use a bus.
type busFlags struct{ cmd *cobra.Command }

// add adds all of them but those that do not apply to the command.
func (b *busFlags) add(cmd *cobra.Command, without ...string) {
	b.cmd = cmd
	if slices.Contains(without, "bus-listen") { // it is about the embedded server as well
		without = append(without, "bus-taps")
	}
	for _, s := range busSettings() {
		if !slices.Contains(without, s.flag) {
			cmd.Flags().Var(&once{to: new(string)}, s.flag, s.usage+" ["+s.env+"]")
		}
	}
}

// connect adds those of a command that talks to a running vmscaler: all but those of the server, and --context.
func (b *busFlags) connect(cmd *cobra.Command) {
	b.add(cmd, "bus-listen")
	addContext(cmd)
}

// addOnly adds some of them.
func (b *busFlags) addOnly(cmd *cobra.Command, with ...string) {
	var without []string
	for _, s := range busSettings() {
		if !slices.Contains(with, s.flag) {
			without = append(without, s.flag)
		}
	}
	b.add(cmd, without...)
}

// apply puts what the environment and then what the flags say over what the file says, and returns a line for each
// field that was overridden.
func (b *busFlags) apply(cfg *config.Config) (overridden []string, err error) {
	return b.applyFor(cfg, chosenContext{})
}

// applyFor is apply with a context in place of what file and environment say, where one is chosen.
func (b *busFlags) applyFor(cfg *config.Config, chosen chosenContext) (overridden []string, err error) {
	from := map[string]string{} // field -> the flag or variable that it is from
	first := func(s setting) (string, string) { return s.env, os.Getenv(s.env) }
	if chosen.name != "" {
		for _, s := range busSettings() {
			if s.kept != nil {
				*s.of(cfg) = ""
			}
		}
		cfg.BusListen, cfg.BusCluster = bus.DefaultListen, config.BusCluster{}
		first = chosen.setting
	}
	for _, get := range []func(setting) (name, value string){first, b.flag} {
		said := map[string]string{}
		for _, s := range busSettings() {
			name, value := get(s)
			if value == "" {
				continue
			}
			said[s.field], from[s.field] = name, name
			*s.of(cfg) = value
		}
		listen, url := said["bus.listen"], said["bus.url"]
		switch {
		case listen != "" && url != "":
			return nil, usageError{fmt.Errorf("%s and %s exclude each other: the one starts a server, the other joins one", listen, url)}
		case listen != "":
			cfg.BusURL, from["bus.url"] = "", listen
		case url != "":
			cfg.BusListen, from["bus.listen"], cfg.BusCluster = "", url, config.BusCluster{}
		}
		if err := checkBus(*cfg, from); err != nil && len(said) > 0 {
			return nil, usageError{err}
		}
	}
	warnOfReaders(os.Stderr, *cfg)
	for _, s := range busSettings() {
		if name := from[s.field]; name != "" && *s.of(cfg) != "" { // else it only makes room for another
			overridden = append(overridden, s.field+" is from "+name)
		}
	}
	return overridden, nil
}

// flag is the flag of a setting, and what the command line says by it.
func (b *busFlags) flag(s setting) (name, value string) {
	if b.cmd == nil || b.cmd.Flags().Lookup(s.flag) == nil {
		return "", ""
	}
	value, _ = b.cmd.Flags().GetString(s.flag)
	return "--" + s.flag, value
}

// warnOfReaders reports that others can read a file with a secret, or one of a folder of them.
func warnOfReaders(stderr io.Writer, cfg config.Config) {
	for _, path := range []string{cfg.BusNkey, cfg.BusCreds, cfg.BusKey} {
		files := []string{path}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			files, _ = filepath.Glob(filepath.Join(path, "*.nk"))
		}
		for _, file := range files {
			if info, err := os.Stat(file); file != "" && err == nil && info.Mode().Perm()&0o077 != 0 {
				fmt.Fprintf(stderr, "warning: %s has mode %#o: others may know the key; `chmod 600` it\n", file, info.Mode().Perm())
			}
		}
	}
}

// checkBus names a field by the flag or variable that it is from.
func checkBus(cfg config.Config, from map[string]string) error {
	err := config.CheckBus(cfg)
	var problems config.Problems
	if errors.As(err, &problems) {
		for i, p := range problems {
			if name := from[p.Field]; name != "" {
				problems[i].Field = name
			}
		}
	}
	return err
}

// busConfig is the config file with what the environment and a command's flags say of the bus.
func (g *globals) busConfig(cmd *cobra.Command, busF busFlags) (config.Config, error) {
	cfg, err := g.loadConfig(cmd.ErrOrStderr())
	if err == nil {
		_, err = busF.apply(&cfg)
	}
	return cfg, err
}

// stateDir is the folder of the bus's state.
func stateDir(cfg config.Config) string {
	if cfg.StateDir != "" {
		return cfg.StateDir
	}
	return defaultStateDir()
}

func defaultStateDir() string {
	if os.Geteuid() == 0 {
		return "/var/lib/vmscaler"
	}
	return stateHome()
}

// stateHome is where a user's programs keep their state.
func stateHome() string {
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			home = os.TempDir()
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "vmscaler")
}

// remote is how a stage reaches the bus of another process: the one that is named, else that of the config's address.
func remote(cfg config.Config) func(role string) client.Remote {
	r := client.Remote{URL: cfg.BusURL, Creds: cfg.BusCreds, CA: cfg.BusCA, Cert: cfg.BusCert, Key: cfg.BusKey}
	return func(role string) client.Remote {
		r := r
		r.Nkey = nkeyOf(cfg.BusNkey, role)
		if r.URL == "" {
			r.URL = listenURL(cfg)
			r.Cert, r.Key = "", "" // they are the server's
		}
		return app.Credentials(r, stateDir(cfg), role)
	}
}

// nkeyOf is the file with a role's key: the one that is named, or the role's own in a folder that is named.
func nkeyOf(path, role string) string {
	if info, err := os.Stat(path); path != "" && err == nil && info.IsDir() {
		return filepath.Join(path, role+".nk")
	}
	return path
}

// listenURL is where the embedded bus of a config is: where its state folder says, else at its address.
func listenURL(cfg config.Config) string {
	if h, found := server.FindState(stateDir(cfg)); found && h.URL != "" {
		return h.URL
	}
	return urlOf(cfg.BusListen, cfg.BusCert != "")
}
