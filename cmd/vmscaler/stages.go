package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/otlp"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/service"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/dashboard/notify"
	"github.com/vmscaler/vmscaler/dashboard/web"
)

// runOptions say which stages run, and how.
type runOptions struct {
	command string // as the user calls it
	stages  []string
	plain   bool // a dashboard prints lines
	setup   bool
	agent   bool // it speaks for the host of its libvirt alone, with one key
	// wantsLog is that the user asks for the log's level, also beside the lines of a plain dashboard.
	wantsLog bool
	http     *httpFlags // nil: nothing is served
	// read is the config as the process would start with it now.
	read func() (config.Config, []config.Warning, error)
	// overlay is what the command line says over the groups of a config; nil: nothing.
	overlay func(*config.Config) error
	otlp    string // where traces go; "": nowhere
}

func (o runOptions) has(stages ...string) bool {
	return slices.ContainsFunc(stages, func(s string) bool { return slices.Contains(o.stages, s) })
}

// run runs stages, which is what all the commands of stages do after their command lines.
func (g *globals) run(ctx context.Context, cfg config.Config, o runOptions) error {
	log, err := g.stderrLogger()
	if err != nil {
		return err
	}
	r := &stageRun{g: g, cfg: cfg, o: o, stderr: harmless{os.Stderr}, log: log, title: "vmscaler", describe: func(string) {}}
	defer r.close()
	r.stages = app.Options{
		Service: service.New(log), Config: cfg, Stages: o.stages, StateDir: stateDir(cfg), Version: version,
		Remote: remote(cfg), //nolint:contextcheck // looking a name up takes a second at most
		Waiting: func(why error) {
			r.stages.Service.Waiting(why)
			fmt.Fprintf(r.stderr, "waiting for the bus: %s\n", asCalled(strings.TrimPrefix(why.Error(), "bus: ")))
		},
	}
	r.reload = &reloader{
		read: o.read, check: func(context.Context, config.Config) error { return nil }, held: func([]bus.Group) {},
		stages: make(chan app.Reload), service: r.stages.Service, cfg: cfg, overlay: o.overlay, now: time.Now,
	}
	r.stages.Reloads, r.stages.Apply = r.reload.stages, r.reload.apply
	r.serve(ctx)
	if o.has(app.StageCollector, app.StageActuator) {
		if err := r.reach(ctx); err != nil {
			return err
		}
	}
	if o.has(app.StageActuator) {
		if err := r.claim(ctx); err != nil {
			return err
		}
	}
	ctx, quit := context.WithCancel(ctx)
	r.defers(quit)
	if err := r.logs(ctx); err != nil {
		return err
	}
	if err := r.notify(); err != nil {
		return err
	}
	if err := r.trace(ctx); err != nil {
		return err
	}
	r.show(quit) //nolint:contextcheck // it ends with the dashboard, which quit ends
	if err := app.Run(ctx, r.stages); err != nil {
		return err
	}
	if o.has(app.StageActuator) {
		fmt.Fprintln(r.stderr, stopped(r.hv, groupNames(r.reload.groups())))
	}
	return nil
}

// stageRun is one run of stages: what they are given, and what is to be undone when they have ended.
type stageRun struct {
	g      *globals
	cfg    config.Config
	o      runOptions
	stderr io.Writer
	log    zerolog.Logger
	stages app.Options

	hv            *libvirtHost // nil where no stage needs libvirt
	reached       atomic.Pointer[libvirtHost]
	describe      func(busURL string) // the lock says where the bus is
	reload        *reloader
	title, footer string
	deferred      []func()
}

// defers adds what close does, the last first.
func (r *stageRun) defers(undo func()) { r.deferred = append(r.deferred, undo) }

func (r *stageRun) close() {
	for _, undo := range slices.Backward(r.deferred) {
		undo()
	}
}

// serve serves HTTP, before there is anything to serve: who looks is told what is waited for. Where another process has the
// address, it goes on without, and takes it once it is free.
func (r *stageRun) serve(ctx context.Context) {
	if r.o.http == nil {
		return
	}
	log := r.log
	if r.o.has(app.StageDashboard) && !r.o.plain {
		log = zerolog.Nop() // the terminal is the dashboard's
	}
	r.stages.Web = newWeb(*r.o.http, r.cfg, log, r.reload.groups, r.templates())
	r.stages.Web.Waiting("it waits for libvirt, or for the bus")
	serve := func(ctx context.Context) error {
		return r.stages.Web.ServeWhenFree(ctx, r.cfg.HTTPListen, func(error) {})
	}
	if listener, err := net.Listen("tcp", r.cfg.HTTPListen); err != nil {
		fmt.Fprintf(r.stderr, "warning: HTTP is not served: %s; it is once the address is free (--http names another, or off)\n", err)
	} else {
		warnOfListener(r.stderr, r.cfg, listener.Addr())
		fmt.Fprintf(r.stderr, "http: %s/\n", site(r.cfg, listener.Addr()))
		r.footer = "   " + site(r.cfg, listener.Addr())
		serve = func(ctx context.Context) error { return r.stages.Web.Serve(ctx, listener) }
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := serve(ctx); err != nil {
			log.Error().Err(err).Msg("http")
		}
	}()
	r.defers(func() { cancel(); <-ended })
}

// templates are those of the libvirt that the stages reach, for what is served over HTTP; nil where no stage does. Each question
// has a connection of its own, which only reads.
func (r *stageRun) templates() func(context.Context) ([]web.TemplateState, error) {
	if !r.o.has(app.StageCollector, app.StageActuator) {
		return nil
	}
	return func(ctx context.Context) ([]web.TemplateState, error) {
		hv := r.reached.Load()
		if hv == nil {
			return nil, errors.New("libvirt is not reached yet")
		}
		conn, err := hv.dialer.ReadOnly().Dial(ctx, hv.choice.URI)
		if err != nil {
			return nil, err
		}
		fresh := &libvirtHost{dialer: hv.dialer, conn: conn, choice: hv.choice, uri: hv.uri}
		defer fresh.close()
		views, _, err := templateViews(fresh, r.cfg.Pool, "")
		all := []web.TemplateState{}
		for _, v := range views {
			all = append(all, web.TemplateState{
				Name: v.Name, State: v.State, Problem: v.Problem, Pool: v.Pool, Format: v.Format, CapacityBytes: v.CapacityBytes,
				UsedBytes: v.UsedBytes, Clones: len(v.Clones), Changed: v.Changed,
			})
		}
		return all, err
	}
}

// notify has the stages' run tell who is to be told: once, so where the dashboard is.
func (r *stageRun) notify() (err error) {
	if !r.o.has(app.StageDashboard) {
		return nil
	}
	if r.stages.Notify, err = notify.New(r.cfg.Notify, r.log); err != nil {
		return err
	}
	r.reload.mu.Lock() // hangups come already
	defer r.reload.mu.Unlock()
	r.reload.retell = r.stages.Notify.Retarget
	return nil
}

// trace has decisions traced where somebody wants that, and ends it when the stages have ended.
func (r *stageRun) trace(ctx context.Context) (err error) {
	if r.o.otlp == "" {
		return nil
	}
	var stop func()
	if r.stages.Tracer, stop, err = otlp.Start(ctx, r.o.otlp, version, r.log); err == nil {
		r.defers(stop)
	}
	return err
}

// reach connects to libvirt, for which it waits; read-only where no stage acts.
func (r *stageRun) reach(ctx context.Context) error {
	dialer, err := host.NewDialer()
	if err != nil {
		return err
	}
	if !r.o.has(app.StageActuator) {
		dialer = dialer.ReadOnly()
	}
	if r.hv, err = r.g.reachBy(ctx, dialer, r.cfg.LibvirtURI, func(why error) {
		r.stages.Service.Waiting(why)
		fmt.Fprintf(r.stderr, "waiting: %s\n", why)
	}); err != nil {
		return err
	}
	r.reached.Store(r.hv)
	r.defers(r.hv.close)
	fmt.Fprintf(r.stderr, "libvirt: %s\n", r.hv.choice)
	r.stages.Libvirt = stagesLibvirt(r.hv)
	if r.o.agent {
		id, err := host.Identify(r.hv.conn, r.hv.choice.URI)
		if err != nil {
			return err
		}
		r.stages.Remote = agentRemote(r.cfg, bus.HostID(id.ID)) //nolint:contextcheck // looking a name up takes a second at most
	}
	r.title += " " + r.hv.choice.URI
	return nil
}

// claim takes the lock of libvirt, and refuses a host that is not ready.
func (r *stageRun) claim(ctx context.Context) error {
	hv, state, groups := r.hv, stateDir(r.cfg), r.cfg.Groups
	lock, err := acquire(hv, r.o.command, r.cfg.BusURL, state, groupNames(groups)...)
	if err != nil {
		return err
	}
	r.defers(lock.Release)
	r.stages.Claim = func(conn *libvirt.Connect) error { return claim(lock, conn, hv.choice.URI) }
	url := "" // the bus's, once that is known
	var mu sync.Mutex
	describe := func(busURL string, groups []bus.Group) {
		mu.Lock()
		defer mu.Unlock()
		url = cmp.Or(busURL, url)
		h := holder(hv, r.o.command, url, state, groupNames(groups)...)
		if r.cfg.Path != "" {
			h.Config = absolute(r.cfg.Path)
		}
		_ = lock.Describe(h)
	}
	r.describe = func(busURL string) { describe(busURL, groups) }
	r.reload.held = func(groups []bus.Group) { describe("", groups) }
	r.reload.check = checkHost(hv)
	return r.g.readyHost(ctx, hv, r.cfg, r.o.setup)
}

// logs chooses where the log goes: not onto a terminal that the dashboard draws on, over which a watchdog watches then.
func (r *stageRun) logs(ctx context.Context) error {
	var toReopen io.Closer // nil: it goes to stderr
	switch shows := r.o.has(app.StageDashboard); {
	case shows && r.o.plain:
		// Events are printed as lines; the log would repeat them.
		r.log = r.log.Level(dashboardLevel(r.log.GetLevel(), r.o.wantsLog))
	case shows:
		file, err := openLog(logPath(r.cfg, os.Geteuid()))
		if err != nil {
			return err
		}
		r.defers(func() { _ = file.Close() })
		if r.log, err = r.g.logger(file, false); err != nil {
			return err
		}
		toReopen = file
		r.footer += "   log " + file.path
		release, err := dashboard.StartWatchdog(os.Stdout)
		if err != nil {
			return err
		}
		r.defers(release)
	}
	r.stages.Log, r.reload.log = r.log, r.log
	hangups, unwatch := watchHangups()
	r.defers(unwatch)
	go r.reload.hangups(ctx, hangups, toReopen)
	return nil
}

// show completes what the stages show: the dashboard, or else where the bus is.
func (r *stageRun) show(quit func()) {
	r.stages.Dashboard = func(busURL string) dashboard.Config {
		shows := dashboard.Config{
			Out: os.Stdout, In: os.Stdin, Plain: r.o.plain, Style: dashboard.StyleFromEnv(os.Getenv), Title: r.title,
			Footer: "bus " + busURL + r.footer, Quit: quit, Explain: explainLines,
		}
		if !r.o.plain {
			shows.Operator, shows.ReadOnly = newDashboardOperator(&dashboardOperator{
				libvirt: func() (*globals, error) { return r.g, nil }, uri: r.cfg.LibvirtURI,
				join: func() (*client.Conn, error) { return r.joinAsOperator(busURL) },
			})
		}
		return shows
	}
	r.stages.Ready = func(busURL string) {
		r.describe(busURL)
		if r.o.has(app.StageDashboard) && !r.o.plain {
			return
		}
		hint := ""
		if r.o.has(app.StageBus) {
			hint = watchHint(busURL, r.cfg.BusTaps != config.No)
		}
		fmt.Fprintf(r.stderr, "bus: %s%s\n", busURL, hint)
	}
}

// joinAsOperator joins the bus that the stages run on.
func (r *stageRun) joinAsOperator(busURL string) (*client.Conn, error) {
	to := remote(r.cfg)(string(bus.RoleOperator))
	if r.o.has(app.StageBus) {
		to.URL = busURL
		to = app.Credentials(to, stateDir(r.cfg), string(bus.RoleOperator))
	}
	return app.JoinNow(string(bus.RoleOperator), to, zerolog.Nop())
}
