// Package app wires the stages: it is what `vmscaler run` is without its flags.
package app

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/collector"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/decider"
)

// Options are what the stages of one process need.
type Options struct {
	Config  config.Config
	Version string
	Dial    func(context.Context) (*libvirt.Connect, error)
	Local   bool // Dial reaches this machine
	Log     zerolog.Logger
	// Dashboard is called with the bus's address; nil means no dashboard.
	Dashboard func(busURL string) dashboard.Config
	// Ready is called once the bus answers and the stages run; it may be nil.
	Ready func(busURL string)
}

// Run runs the bus, unless the config names another one, and all stages, until ctx ends or a stage fails. It stops
// the stages first and the bus last. VMs are left running.
func Run(ctx context.Context, o Options) error {
	connect, url, stop, err := openBus(o.Config, o.Log)
	if err != nil {
		return err
	}
	defer stop()
	stages, err := build(o, connect, url)
	if err != nil {
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
	if o.Ready != nil {
		o.Ready(url)
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// openBus gives a way to connect to the bus, its address, and how to end it.
func openBus(cfg config.Config, log zerolog.Logger) (connect func(name string) (*bus.Conn, error), url string, stop func(), err error) {
	if cfg.BusURL != "" {
		return func(name string) (*bus.Conn, error) { return bus.Dial(cfg.BusURL, name, log) }, cfg.BusURL, func() {}, nil
	}
	server, err := bus.StartServer(cfg.BusListen, log)
	if errors.Is(err, bus.ErrListenTaken) {
		return nil, "", nil, fmt.Errorf("%w: take another port with `--bus-listen 127.0.0.1:4223`, or, if a NATS server is there, join it with `--nats-url nats://%s`",
			err, cfg.BusListen)
	}
	if err != nil {
		return nil, "", nil, err
	}
	return func(name string) (*bus.Conn, error) { return server.Connect(name, log) }, server.URL(), server.Stop, nil
}

// stage is one stage of this process: what it runs, over a connection of its own.
type stage struct {
	name string
	conn *bus.Conn
	runs []func(context.Context) error
}

// makers make the stages' Run functions; subscribers come first, so that none misses the beginning.
func makers(o Options, url string) []maker {
	cfg := o.Config
	stages := []maker{
		{"actuator", func(conn *bus.Conn, report func(error)) (func(context.Context) error, error) {
			a, err := actuator.New(actuator.Config{
				Groups: cfg.Groups, Pool: cfg.Pool, Acceleration: cfg.Acceleration, Dial: o.Dial, Report: report,
			}, conn, o.Log)
			if err != nil {
				return nil, err
			}
			return a.Run, nil
		}},
		{"decider", func(conn *bus.Conn, _ func(error)) (func(context.Context) error, error) {
			d, err := decider.New(decider.Config{Groups: cfg.Groups, Tick: cfg.Tick}, conn, o.Log)
			if err != nil {
				return nil, err
			}
			return d.Run, nil
		}},
		{"collector", func(conn *bus.Conn, report func(error)) (func(context.Context) error, error) {
			c, err := collector.New(collector.Config{
				Groups: cfg.Groups, Pool: cfg.Pool, Tick: cfg.Tick, Local: o.Local, Dial: o.Dial, Report: report,
			}, conn, o.Log)
			if err != nil {
				return nil, err
			}
			return c.Run, nil
		}},
	}
	if o.Dashboard == nil {
		return stages
	}
	return append([]maker{{dashboardStage, func(conn *bus.Conn, _ func(error)) (func(context.Context) error, error) {
		d, err := dashboard.New(o.Dashboard(url), conn, o.Log)
		if err != nil {
			return nil, err
		}
		return d.Run, nil
	}}}, stages...)
}

// maker makes one stage's Run function; report is for how it is.
type maker struct {
	name string
	make func(conn *bus.Conn, report func(error)) (run func(context.Context) error, err error)
}

const dashboardStage = "dashboard"

// build makes all stages, each with the reporter of its health; the dashboard has none, as it publishes nothing.
func build(o Options, connect func(string) (*bus.Conn, error), url string) (stages []stage, err error) {
	defer func() {
		if err != nil {
			closeAll(stages)
		}
	}()
	for _, m := range makers(o, url) {
		conn, err := connect(m.name)
		if err != nil {
			return stages, err
		}
		reporter := bus.NewReporter(conn, m.name, o.Version, o.Log)
		stages = append(stages, stage{name: m.name, conn: conn})
		run, err := m.make(conn, func(err error) {
			if err != nil {
				err = errors.New(actuator.ErrorText(err)) // it is shown to people
			}
			reporter.Report(err)
		})
		if err != nil {
			return stages, err
		}
		s := &stages[len(stages)-1]
		s.runs = append(s.runs, run)
		if m.name != dashboardStage {
			s.runs = append(s.runs, reporter.Run)
		}
	}
	return stages, nil
}

func closeAll(stages []stage) {
	for _, s := range stages {
		s.conn.Close()
	}
}
