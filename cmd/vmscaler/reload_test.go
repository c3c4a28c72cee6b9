package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/service"
	"github.com/vmscaler/vmscaler/dashboard/notify"
)

// A config that is wrong, that this host cannot fulfill or that a stage does not take changes nothing at all.
func TestReloadIsAllOrNothing(t *testing.T) {
	file := func(text string) config.Config {
		t.Helper()
		cfg, _, err := config.Parse("vmscaler.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	before, after := file("groups: [{name: web}, {name: old}]"), file("groups: [{name: web, max: 9}, {name: new}]")
	wrong, host, taken := errors.New("wrong"), errors.New("no template"), errors.New("a stage does not take it")
	for name, tt := range map[string]struct {
		read               config.Config
		readErr, host, err error
		want               error
		changes            []string
	}{
		"it holds":           {read: after, changes: []string{"old", "web", "new"}},
		"the same":           {read: before},
		"a wrong file":       {read: after, readErr: wrong, want: wrong},
		"no group":           {want: errAny},
		"what the host has":  {read: after, host: host, want: host},
		"a stage":            {read: after, err: taken, want: taken},
		"of the same groups": {read: file("sampling: {tick: 2s}\ngroups: [{name: web}, {name: old}]")},
	} {
		t.Run(name, func(t *testing.T) {
			var held []string
			r := &reloader{
				read:   func() (config.Config, []config.Warning, error) { return tt.read, nil, tt.readErr },
				check:  func(context.Context, config.Config) error { return tt.host },
				held:   func(groups []bus.Group) { held = groupNames(groups) },
				stages: make(chan app.Reload, 1), service: service.Nobody(), log: zerolog.Nop(), cfg: before, now: time.Now,
			}
			handed := make(chan bus.Reload, 1)
			go func() {
				select {
				case s := <-r.stages:
					handed <- s.Reload
					s.Done(tt.err)
				case <-t.Context().Done():
				}
			}()
			changes, err := r.reload(t.Context(), "ann", "more load")
			var names []string
			for _, c := range changes {
				names = append(names, c.Group)
			}
			asWanted := errors.Is(err, tt.want) || err != nil && errors.Is(tt.want, errAny)
			if !slices.Equal(names, tt.changes) || !asWanted {
				t.Fatalf("changes %q, error %v; want %q, %v", names, err, tt.changes, tt.want)
			}
			want := groupNames(before.Groups)
			if tt.changes != nil {
				want = groupNames(after.Groups)
				if !slices.Equal(held, want) {
					t.Errorf("the lock names %q, want %q", held, want)
				}
				if h := <-handed; h.By != "ann" || h.Reason != "more load" || !strings.Contains(h.Changes["web"], "max 9 (was 5)") {
					t.Errorf("handed over %+v", h)
				}
			} else if held != nil {
				t.Errorf("the lock names %q, want it left alone", held)
			}
			if now := groupNames(r.groups()); !slices.Equal(now, want) {
				t.Errorf("groups %q hold, want %q", now, want)
			}
		})
	}
}

var errAny = errors.New("any")

// Those who are told are others with the next reload, also where no group has changed, and only where this process tells them.
func TestReloadOfWhoIsTold(t *testing.T) {
	before := parsedConfig(t, "groups: [{name: web}]")
	after := parsedConfig(t, "groups: [{name: web}]\nnotify: [{name: ops, type: command, command: 'true', on: [failed]}]")
	p := newFakeProcess(t, before)
	p.read = func() (config.Config, []config.Warning, error) { return after, nil, nil }
	var log bytes.Buffer
	p.log = zerolog.New(&log)
	_, err := p.reload(t.Context(), "SIGHUP", "")
	if err != nil || !strings.Contains(log.String(), "notify: read at the start only") {
		t.Errorf("where nobody is told: %v, log %s", err, &log)
	}
	log.Reset()
	var told [][]notify.Target
	p.retell = func(targets []notify.Target) error { told = append(told, targets); return nil }
	for range 2 {
		if _, err := p.reload(t.Context(), "SIGHUP", ""); err != nil || strings.Contains(log.String(), "read at the start") {
			t.Errorf("%v, log %s", err, &log)
		}
	}
	if len(told) != 1 || len(told[0]) != 1 || told[0][0].Name != "ops" {
		t.Errorf("told are %+v, want ops, once", told)
	}
}
