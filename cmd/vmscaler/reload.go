package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/service"
	"github.com/vmscaler/vmscaler/dashboard/notify"
)

// checkWithin is how long libvirt may take to say whether it has what other groups need.
const checkWithin = 20 * time.Second

// reloader has the groups of the config file hold while the stages run. A file that is not right changes nothing.
type reloader struct {
	read    func() (config.Config, []config.Warning, error) // the config as the process would start with it
	overlay func(*config.Config) error                      // what the command line says over it; nil: nothing
	check   func(context.Context, config.Config) error      // what the host lacks for it
	held    func([]bus.Group)                               // is called once other groups hold
	retell  func([]notify.Target) error                     // has others be told; nil: this process tells nobody
	stages  chan app.Reload
	service *service.Notifier
	log     zerolog.Logger

	now func() time.Time

	mu       sync.Mutex // one reload at a time
	cfg      config.Config
	prepared prepared
}

// groups are those that hold.
func (r *reloader) groups() []bus.Group {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.cfg.Groups)
}

// reload reads the config again and has its groups hold, in all stages or in none.
func (r *reloader) reload(ctx context.Context, by, reason string) ([]config.Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := r.service.Reload()
	defer done()
	next, changes, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	if len(changes) > 0 {
		if err := r.hand(ctx, next.Groups, changes, by, reason); err != nil {
			return nil, err
		}
	}
	if r.retell == nil || reflect.DeepEqual(next.Notify, r.cfg.Notify) {
		return changes, nil
	}
	if err := r.retell(next.Notify); err != nil {
		return changes, err
	}
	r.cfg.Notify = next.Notify
	return changes, nil
}

// hand has groups hold in all stages of the process, or in none.
func (r *reloader) hand(ctx context.Context, groups []bus.Group, changes []config.Change, by, reason string) (err error) {
	to := bus.Reload{Groups: groups, Changes: map[string]string{}, By: by, Reason: reason}
	for _, c := range changes {
		to.Changes[c.Group] = c.Sentence()
	}
	answer := make(chan error, 1)
	select {
	case r.stages <- app.Reload{Reload: to, Done: func(err error) { answer <- err }}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	r.cfg.Groups = groups
	r.held(groups)
	return nil
}

// plan is the config that would hold, and what it changes.
func (r *reloader) plan(ctx context.Context) (config.Config, []config.Change, error) {
	next, warnings, err := r.read()
	for _, w := range warnings {
		r.log.Warn().Msg(w.String())
	}
	if err != nil {
		return next, nil, err
	}
	if err := app.CheckGroups(next.Groups); err != nil {
		return next, nil, err
	}
	running := r.cfg
	if r.retell != nil {
		running.Notify = next.Notify
	}
	if other := config.NotReloaded(running, next); len(other) > 0 {
		r.log.Warn().Msgf("%s: read at the start only, so it changes with the next", strings.Join(other, ", "))
	}
	changes := config.Compare(r.cfg.Groups, next.Groups)
	if len(changes) == 0 {
		return next, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	return next, changes, r.check(ctx, next)
}

// hangups reloads at each hangup of a service, and has the log file opened again, as programs that move logs away ask for it.
func (r *reloader) hangups(ctx context.Context, hangups <-chan os.Signal, file io.Closer) {
	for range hangups {
		if file != nil {
			_ = file.Close()
		}
		changes, err := r.reload(ctx, "SIGHUP", "")
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.log.Error().Msgf("hangup: the config is not reloaded, all goes on as before: %s", asCalled(err.Error()))
		case len(changes) == 0:
			r.log.Info().Msg("hangup: the groups of the config are as before")
		}
		for _, c := range changes {
			r.log.Info().Str("group", c.Group).Msg(c.Sentence())
		}
	}
}

// checkHost is what a libvirt lacks for a config.
func checkHost(hv *libvirtHost) func(context.Context, config.Config) error {
	return func(ctx context.Context, cfg config.Config) error {
		conn, err := hv.dialer.Dial(ctx, hv.choice.URI)
		if err != nil {
			return fmt.Errorf("whether this host has what the config needs is not known: %w", err)
		}
		fresh := &libvirtHost{dialer: hv.dialer, conn: conn, choice: hv.choice, uri: hv.uri}
		defer fresh.close()
		checked := make(chan error, 1) // libvirt's calls have no deadline
		go func() {
			_, err := prepare(fresh, cfg, false)
			checked <- err
		}()
		select {
		case err := <-checked:
			return err
		case <-ctx.Done():
			return errors.Join(host.ErrDown, context.Cause(ctx))
		}
	}
}
