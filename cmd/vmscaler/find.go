package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// place is what the flags, or the environment, or the file say of where a bus is.
type place struct{ url, listen, stateDir string }

// around is what runs on this machine.
type around struct {
	state   func(dir string) (server.StateHolder, bool) // the bus that runs on a state folder
	holders []host.Holder                               // the processes that act on a libvirt
}

// target is the bus that a command is for.
type target struct {
	url      string
	joined   bool   // the URL is that of a server which this command joins as any other program does
	stateDir string // the folder with its credentials
}

// notRunningError means that no vmscaler is where a command looks for one.
type notRunningError struct {
	target
	named bool // the state folder is not the usual one
	cause error
	mute  string // what runs all the same, and what to do; "": nothing
}

func (e *notRunningError) Error() string {
	if e.joined {
		return fmt.Sprintf("%s: start it there, or name another with --nats-url", e.cause)
	}
	if e.mute != "" {
		return e.mute
	}
	start := "vmscaler run"
	if e.named {
		start += " --state-dir " + e.stateDir
	}
	there := ""
	var none *app.NoBusError
	if errors.As(e.cause, &none) && none.Foreign() {
		there = ", where another program listens, so name a free address with --bus-listen"
	}
	return fmt.Sprintf("no vmscaler runs here: state folder %s, bus %s; start it with `%s`%s, or name another with --nats-url or "+
		"--state-dir",
		e.stateDir, e.url, start, there)
}

func (e *notRunningError) Unwrap() error { return e.cause }

// findTarget chooses the bus: what flags, environment and file name, in this order, and else what runs here. What is
// named is never replaced by another one. usual is the state folder and the address where nothing else is said.
func findTarget(places []place, usual target, here around) (target, error) {
	for i, p := range places {
		switch {
		case p.url != "":
			t := target{url: p.url, joined: true, stateDir: usual.stateDir}
			for _, q := range places[i:] {
				if q.stateDir != "" {
					t.stateDir = q.stateDir
					break
				}
			}
			return t, nil
		case p.stateDir != "":
			return onState(p, places[i+1:], usual, here)
		case p.listen != "" && !strings.HasSuffix(p.listen, ":0"):
			return target{url: urlOf(p.listen, strings.HasPrefix(usual.url, "tls:")), stateDir: usual.stateDir}, nil
		}
	}
	return onMachine(usual, here)
}

// onState is the bus of a state folder, or the one that the process with this folder has joined.
func onState(p place, lower []place, usual target, here around) (target, error) {
	if h, found := here.state(p.stateDir); found && h.URL != "" {
		return target{url: h.URL, stateDir: p.stateDir}, nil
	}
	for _, h := range here.holders {
		if h.BusURL != "" && samePath(h.StateDir, p.stateDir) {
			return target{url: h.BusURL, stateDir: p.stateDir}, nil
		}
	}
	if p.listen == "" {
		for _, q := range lower {
			if q.url != "" {
				return target{url: q.url, joined: true, stateDir: p.stateDir}, nil
			}
			if q.listen != "" {
				break
			}
		}
	}
	return target{}, &notRunningError{target: target{url: usual.url, stateDir: p.stateDir}, named: true}
}

// onMachine is the bus of the process that acts on this machine's libvirt, else that of the usual state folder, else
// whatever has the usual address.
func onMachine(usual target, here around) (target, error) {
	var found []target
	for _, h := range here.holders {
		t := target{url: h.BusURL, stateDir: h.StateDir}
		if t.stateDir == "" {
			t.stateDir = usual.stateDir
		}
		if t.url != "" && !slices.ContainsFunc(found, func(f target) bool { return f.url == t.url }) {
			found = append(found, t)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	for _, is := range []func(target) bool{
		func(t target) bool { return samePath(t.stateDir, usual.stateDir) },
		func(t target) bool { return t.url == usual.url },
	} {
		if i := slices.IndexFunc(found, is); i >= 0 {
			return found[i], nil
		}
	}
	if len(found) > 1 {
		urls := make([]string, len(found))
		for i, t := range found {
			urls[i] = t.url
		}
		return target{}, fmt.Errorf("several vmscalers run here, at %s: name one with --nats-url", strings.Join(urls, ", "))
	}
	if h, is := here.state(usual.stateDir); is && h.URL != "" {
		return target{url: h.URL, stateDir: usual.stateDir}, nil
	}
	return usual, nil
}

// mute reports which process runs though no bus answers at its address, and what to do; "" where there is none.
func mute(t target, here around) string {
	const answers = "no bus answers at %s, though %s (process %d, since %s) "
	if h, found := here.state(t.stateDir); found && h.URL == t.url {
		return fmt.Sprintf(answers+"has it: it hangs or was stopped; `kill -CONT %d` lets one that was stopped go on, and after "+
			"`kill -9 %d` it can be started again, with the VMs that are there", t.url, "a bus", h.PID,
			h.Since.Local().Format(time.DateTime), h.PID, h.PID)
	}
	for _, h := range here.holders {
		if h.BusURL == t.url {
			return fmt.Sprintf(answers+"is there and waits for it: start it with `vmscaler bus`, or end that process",
				t.url, h.Command, h.PID, h.Since.Local().Format(time.DateTime))
		}
	}
	return ""
}

func samePath(a, b string) bool { return a != "" && b != "" && absolute(a) == absolute(b) }

func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// urlOf is where a bus is that listens on an address.
func urlOf(listen string, tls bool) string {
	scheme := "nats"
	if tls {
		scheme = "tls"
	}
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return scheme + "://" + net.JoinHostPort("127.0.0.1", port)
	}
	return scheme + "://" + listen
}

// running is the vmscaler that a command is for, and how to reach it.
type running struct {
	target
	here  around
	cfg   config.Config
	named bool // the config's file was named, and is right
	// context is the name of the context that it is of; "" is none.
	context string
}

// ofContext is an error with the context that was to be reached, which a person may have chosen long ago.
func (r running) ofContext(err error) error {
	if err == nil || r.context == "" {
		return err
	}
	return fmt.Errorf("context %s: %w", r.context, err)
}

// find looks for the vmscaler that a command is for. It needs only an address: a config file that just lies in the folder
// may be wrong.
func (g *globals) find(cmd *cobra.Command, busF busFlags) (running, error) {
	cfg, named, err := g.addressConfig(cmd.ErrOrStderr())
	if err != nil {
		return running{}, err
	}
	chosen, err := g.context(cmd)
	if err != nil {
		return running{}, err
	}
	places := []place{busF.ofFlags(), ofEnvironment(), ofFile(cfg)}
	if chosen.name != "" {
		places = []place{busF.ofFlags(), {url: chosen.URL, stateDir: chosen.StateDir}}
	}
	if _, err := busF.applyFor(&cfg, chosen); err != nil {
		return running{}, err
	}
	r := running{cfg: cfg, named: named, context: chosen.name}
	listen := cfg.BusListen
	if listen == "" {
		listen = bus.DefaultListen
	}
	usual := target{url: urlOf(listen, cfg.BusCert != ""), stateDir: defaultStateDir()}
	r.here = around{state: server.FindState, holders: g.holders(cfg)}
	r.target, err = findTarget(places, usual, r.here)
	return r, r.ofContext(err)
}

// holders are the processes of this machine that act on a libvirt: on the one that is named, or on any.
func (g *globals) holders(cfg config.Config) (all []host.Holder) {
	uris := []string{host.SystemURI, host.SessionURI}
	if c, named := (host.Sources{Flag: g.uri, File: cfg.LibvirtURI, Getenv: os.Getenv}).Named(); named {
		uris = []string{c.URI}
	}
	for _, uri := range uris {
		if h, found := host.FindHolder(uri); found {
			all = append(all, h)
		}
	}
	return all
}

func (b *busFlags) ofFlags() (p place) {
	p.url, _ = b.cmd.Flags().GetString("nats-url")
	p.listen, _ = b.cmd.Flags().GetString("bus-listen")
	p.stateDir, _ = b.cmd.Flags().GetString("state-dir")
	return p
}

func ofEnvironment() place {
	return place{os.Getenv("VMSCALER_NATS_URL"), os.Getenv("VMSCALER_BUS_LISTEN"), os.Getenv("VMSCALER_STATE_DIR")}
}

func ofFile(cfg config.Config) place {
	p := place{cfg.BusURL, cfg.BusListen, cfg.StateDir}
	if p.listen == bus.DefaultListen {
		p.listen = "" // nobody has said it
	}
	return p
}

// remote is how to log in to it with a role.
func (r running) remote(role bus.Role) client.Remote {
	to := client.Remote{
		URL: r.url, Nkey: nkeyOf(r.cfg.BusNkey, string(role)), Creds: r.cfg.BusCreds, CA: r.cfg.BusCA,
		Cert: r.cfg.BusCert, Key: r.cfg.BusKey,
	}
	if !r.joined {
		to.Cert, to.Key = "", "" // they are the server's
	}
	return app.Credentials(to, r.stateDir, string(role))
}

// joinAs joins the bus of the vmscaler that a command is for, in a role.
func (g *globals) joinAs(cmd *cobra.Command, busF busFlags, role bus.Role) (*client.Conn, error) {
	log, err := g.logger(os.Stderr, false)
	if err != nil {
		return nil, err
	}
	r, err := g.find(cmd, busF)
	if err != nil {
		return nil, err
	}
	return r.join(cmd.Context(), role, log)
}

// join joins its bus, if it has the groups of the file that the user named.
func (r running) join(ctx context.Context, role bus.Role, log zerolog.Logger) (*client.Conn, error) {
	//nolint:contextcheck // it looks up a name of this machine, with a deadline of its own
	conn, err := app.JoinNow(string(role), r.remote(role), log)
	var nobody *app.NoBusError
	if errors.As(err, &nobody) {
		err = &notRunningError{
			target: r.target, named: !samePath(r.stateDir, defaultStateDir()), cause: err, mute: mute(r.target, r.here),
		}
	}
	if err != nil {
		return nil, r.ofContext(err)
	}
	if err := r.checkGroups(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// checkGroups refuses a bus that has no group of the file that the user named: it is another vmscaler's. Where nobody
// can say which groups there are, nothing is wrong.
func (r running) checkGroups(ctx context.Context) error {
	if !r.named {
		return nil
	}
	//nolint:contextcheck // it looks up a name of this machine, with a deadline of its own
	conn, err := app.JoinNow(string(bus.RoleTap), r.remote(bus.RoleTap), zerolog.Nop())
	if err != nil {
		return nil // such as without the credentials of a tap
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := client.Ask[bus.Status](ctx, conn, bus.VerbStatus, bus.Query{})
	if err != nil || len(status.Groups) == 0 {
		return nil // such as without a decider
	}
	return otherGroups(r.url, r.cfg, status)
}

func otherGroups(url string, cfg config.Config, status bus.Status) error {
	var runs, has []string
	for _, g := range status.Groups {
		runs = append(runs, g.Group)
	}
	for _, g := range cfg.Groups {
		if slices.Contains(runs, g.Name) {
			return nil
		}
		has = append(has, g.Name)
	}
	return fmt.Errorf("the vmscaler at %s has the groups %s, and %s has %s: it is another one; name yours with --state-dir or "+
		"--nats-url, or leave out -c",
		url, strings.Join(runs, ", "), cfg.Path, strings.Join(has, ", "))
}
