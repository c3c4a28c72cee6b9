// Package app wires the stages: it is what `vmscaler run` and the commands of single stages are without their flags.
package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/tracing"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/service"
	"github.com/vmscaler/vmscaler/collector"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/dashboard/notify"
	"github.com/vmscaler/vmscaler/dashboard/web"
	"github.com/vmscaler/vmscaler/decider"
	"github.com/vmscaler/vmscaler/decider/prometheus"
)

// The stages. The bus is the one that the others join.
const (
	StageBus       = "bus"
	StageCollector = string(bus.RoleCollector)
	StageDecider   = string(bus.RoleDecider)
	StageActuator  = string(bus.RoleActuator)
	StageDashboard = string(bus.RoleDashboard)
)

// Stages are the names of all stages, in the order of the pipeline.
func Stages() []string {
	return []string{StageBus, StageCollector, StageDecider, StageActuator, StageDashboard}
}

// Options are what the stages of one process need.
type Options struct {
	Config   config.Config
	Stages   []string // of those that Stages names
	StateDir string   // of the embedded bus; "" is none: it keeps no history and nobody else can join
	// Remote is how to reach the bus with a stage's role, where it is not one of the stages.
	Remote  func(role string) client.Remote
	Version string
	Libvirt // for collector and actuator
	// Claim is called by the actuator with each new connection, before anything is done over it. It returns an error where
	// another process acts on that libvirt. It may be nil.
	Claim func(*libvirt.Connect) error
	Log   zerolog.Logger
	// Dashboard is called with the bus's address.
	Dashboard func(busURL string) dashboard.Config
	// Waiting is called with what the process waits for before it can start, once for each reason.
	Waiting func(why error)
	// Web hears the bus as well; it may be nil.
	Web *web.Server
	// Notify tells its targets of what it hears; it may be nil.
	Notify *notify.Notifier
	// Ready is called once the bus answers and the stages run; it may be nil.
	Ready func(busURL string)
	// Reloads are other groups that are to hold; nil: there are none.
	Reloads <-chan Reload
	// Apply answers a step of having other groups hold in all processes; nil: nobody does.
	Apply func(context.Context, bus.Apply) bus.Applied
	// Service is told how the process is; nil: nobody is.
	Service *service.Notifier
	// Tracer makes spans of decisions and what comes of them; nil makes none.
	Tracer *tracing.Tracer
}

// Libvirt is what the stages know of the libvirt that they use.
type Libvirt struct {
	Dial func(context.Context) (*libvirt.Connect, error)
	// DialReadOnly is Dial for the stage that only reads.
	DialReadOnly func(context.Context) (*libvirt.Connect, error)
	// Identify is which libvirt a connection reaches, and its host's name.
	Identify func(*libvirt.Connect) (bus.HostID, string, error)
	URI      string // as it says itself
	Local    bool   // Dial reaches this machine
	Network  string // of groups whose spec leaves it open
}

// RecordDir is the actuator's own folder in a state folder, with the records of the VMs that it made; "" is none.
func RecordDir(stateDir string) string {
	if stateDir == "" {
		return ""
	}
	return filepath.Join(stateDir, "volumes")
}

// ConsoleDir is the actuator's own folder in a state folder, with what VMs printed while they booted; "" is none.
func ConsoleDir(stateDir string) string {
	if stateDir == "" {
		return ""
	}
	return filepath.Join(stateDir, "consoles")
}

// TermFile is the actuator's own file in a state folder, which has which cluster the host belongs to and by which term it has
// acted; "" is none.
func TermFile(stateDir string) string {
	if stateDir == "" {
		return ""
	}
	return filepath.Join(stateDir, "term.json")
}

// contactFile is the actuator's own file in a state folder, which has when deciders were heard last; "" is none.
func contactFile(stateDir string) string {
	if stateDir == "" {
		return ""
	}
	return filepath.Join(stateDir, "contact.json")
}

// Run runs the stages until ctx ends or one of them fails. It stops the bus last. VMs are left running.
func Run(ctx context.Context, o Options) error {
	connect, url, stop, err := openBus(o) //nolint:contextcheck // starting a server takes milliseconds and is not interrupted
	if err != nil {
		return err
	}
	defer stop()
	if o.Service == nil {
		o.Service = service.Nobody()
	}
	running := o.Service.Expect()
	reloading := &reloading{}
	stages, err := build(ctx, o, makers(o, url, reloading), connect)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it waited for the bus
		}
		return err
	}
	defer closeAll(stages)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, s := range stages {
		for _, run := range s.runs {
			wg.Go(func() {
				if err := run(ctx); err != nil {
					cancel(fmt.Errorf("%s: %w", s.name, err))
				}
			})
		}
	}
	if o.Web != nil {
		wg.Go(func() { serve(ctx, o, connect) })
	}
	wg.Go(func() { _ = o.Service.Run(ctx) })
	wg.Go(func() { reloading.run(ctx, o.Reloads) })
	if err := serveApply(ctx, o, stages); err != nil {
		cancel(err)
	}
	if o.Notify != nil {
		wg.Go(func() { tell(ctx, o, connect) })
	}
	if o.Ready != nil {
		o.Ready(url)
	}
	running()
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// stage is one stage of this process: what it runs, over a connection of its own.
type stage struct {
	name     string
	instance string // as its health says it
	conn     *client.Conn
	runs     []func(context.Context) error
}

// claiming is dial for the stage that acts: what it reaches must be this process's.
func claiming(
	dial func(context.Context) (*libvirt.Connect, error),
	claim func(*libvirt.Connect) error,
) func(context.Context) (*libvirt.Connect, error) {
	if claim == nil {
		return dial
	}
	return func(ctx context.Context) (*libvirt.Connect, error) {
		conn, err := dial(ctx)
		if err != nil {
			return nil, err
		}
		if err := claim(conn); err != nil {
			_, _ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}

// maker makes one stage's Run function; report is for how it is.
type maker struct {
	name string
	make func(conn *client.Conn, reporter *client.Reporter, report func(error)) (run func(context.Context) error, err error)
}

// makers make the stages' Run functions; subscribers come first, so that none misses the beginning.
func makers(o Options, url string, reloading *reloading) []maker {
	cfg := o.Config
	return []maker{
		{StageDashboard, func(conn *client.Conn, _ *client.Reporter, _ func(error)) (func(context.Context) error, error) {
			d, err := dashboard.New(o.Dashboard(url), conn, o.Log)
			if err != nil {
				return nil, err
			}
			return d.Run, nil
		}},
		{StageActuator, func(conn *client.Conn, reporter *client.Reporter, report func(error)) (func(context.Context) error, error) {
			templates, err := stager(o, reporter.Instance())
			if err != nil {
				return nil, err
			}
			a, err := actuator.New(actuator.Config{
				Templates: templates,
				Groups:    cfg.Groups, Pools: vm.Pools{Templates: cfg.Pool, Disks: cfg.Disks()}, Acceleration: cfg.Acceleration,
				Network: o.Network, Limits: actuator.HostLimits(cfg.Host), SweepGrace: cfg.SweepGrace,
				Dial: claiming(o.Dial, o.Claim), Identify: o.Identify, Report: report, RecordDir: RecordDir(o.StateDir), URI: o.URI,
				ConsoleDir: ConsoleDir(o.StateDir), TermFile: TermFile(o.StateDir), ContactFile: contactFile(o.StateDir),
				Instance: reporter.Instance(), Since: reporter.Since(), Acts: reporter.Acts,
				Alive: o.Service.Loop(StageActuator), Tracer: o.Tracer,
			}, conn, o.Log)
			if err != nil {
				return nil, err
			}
			reloading.add(a.Reload)
			return beside(a.Run, templates.Run), nil
		}},
		{StageDecider, func(conn *client.Conn, _ *client.Reporter, report func(error)) (func(context.Context) error, error) {
			poller := prometheus.NewPoller(func(m *bus.Metric) error { return conn.Publish(m) }, o.Log)
			d, err := decider.New(decider.Config{
				Groups: cfg.Groups, Tick: cfg.Tick, Version: o.Version, Report: report, Override: config.Override,
				Value: config.Value, Ask: poller.Follow,
				Alive: o.Service.Loop(StageDecider), Fence: fence, Tracer: o.Tracer,
			}, conn, o.Log)
			if err != nil {
				return nil, err
			}
			reloading.add(d.Reload)
			return beside(d.Run, poller.Run), nil
		}},
		{StageCollector, func(conn *client.Conn, _ *client.Reporter, report func(error)) (func(context.Context) error, error) {
			c, err := collector.New(collector.Config{
				Groups: cfg.Groups, Domain: cfg.Domain, Pool: cfg.Disks(), Tick: cfg.Tick, Local: o.Local,
				Dial: o.DialReadOnly, Identify: o.Identify,
				Report: report, Alive: o.Service.Loop(StageCollector), Sampled: o.Service.Expect(),
			}, conn, o.Log)
			if err != nil {
				return nil, err
			}
			reloading.add(c.Reload)
			return c.Run, nil
		}},
		{StageBus, func(conn *client.Conn, _ *client.Reporter, _ func(error)) (func(context.Context) error, error) {
			alive := o.Service.Loop(StageBus)
			return func(ctx context.Context) error { return watchBus(ctx, conn, alive) }, nil // the server runs by itself
		}},
	}
}

// beside runs another one until the first one ends.
func beside(run, other func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- other(ctx) }()
		err := run(ctx)
		cancel()
		return errors.Join(err, <-ended)
	}
}

// build makes the stages, each with the reporter of its health; the dashboard has none, as it publishes nothing.
func build(ctx context.Context, o Options, makers []maker, connect connector) (stages []stage, err error) {
	defer func() {
		if err != nil {
			closeAll(stages)
		}
	}()
	for _, m := range makers {
		if !slices.Contains(o.Stages, m.name) {
			continue
		}
		conn, err := connect(ctx, m.name)
		if err != nil {
			return stages, err
		}
		reporter := client.NewReporter(conn, m.name, o.Version, o.Log)
		stages = append(stages, stage{name: m.name, instance: reporter.Instance(), conn: conn})
		run, err := m.make(conn, reporter, func(err error) {
			var note client.Note
			var troubles bus.Troubles
			switch { // it is shown to people
			case errors.As(err, &troubles):
				troubles = slices.Clone(troubles)
				for i := range troubles {
					troubles[i].Text = vm.ErrorText(errors.New(troubles[i].Text))
				}
				err = troubles
			case errors.As(err, &note):
				err = client.Note(vm.ErrorText(note))
			case err != nil:
				err = errors.New(vm.ErrorText(err))
			}
			reporter.Report(err)
			o.Service.Report(m.name, err)
		})
		if err != nil {
			return stages, err
		}
		s := &stages[len(stages)-1]
		s.runs = append(s.runs, run)
		if m.name != StageDashboard {
			s.runs = append(s.runs, reporter.Run)
		}
		if m.name == StageActuator {
			s.runs = append(s.runs, func(ctx context.Context) error { keepHistory(ctx, conn, o.Log, historyLook); return nil })
		}
	}
	return stages, nil
}

// serve has what is served over HTTP hear the bus. Nothing else depends on it.
func serve(ctx context.Context, o Options, connect connector) {
	watch, err := connect(ctx, StageDashboard)
	if err == nil {
		defer watch.Close()
		b := web.Bus{Watch: watch}
		if operator, err := connectOperator(ctx, o, connect); err == nil {
			defer operator.Close()
			b.Operator = operator
		} else {
			b.ReadOnly = err.Error()
		}
		err = o.Web.Follow(ctx, b)
	}
	if err != nil && ctx.Err() == nil {
		o.Web.Waiting(err.Error())
		o.Log.Error().Err(err).Msg("HTTP serves nothing of the bus")
	}
}

// connectOperator connects as an operator where this process may: it has the bus in itself, or the role's credentials.
func connectOperator(ctx context.Context, o Options, connect connector) (*client.Conn, error) {
	if slices.Contains(o.Stages, StageBus) {
		return connect(ctx, string(bus.RoleOperator))
	}
	return JoinNow(string(bus.RoleOperator), o.Remote(string(bus.RoleOperator)), o.Log)
}

// tell has the notifier hear the bus. Nothing else depends on it.
func tell(ctx context.Context, o Options, connect connector) {
	conn, err := connect(ctx, StageDashboard)
	if err == nil {
		defer conn.Close()
		err = o.Notify.Run(ctx, conn)
	}
	if err != nil && ctx.Err() == nil {
		o.Log.Error().Err(err).Msg("nobody is notified")
	}
}

func closeAll(stages []stage) {
	for _, s := range stages {
		s.conn.Close()
	}
}
