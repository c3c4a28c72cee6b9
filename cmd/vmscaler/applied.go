package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// preparedFor is how long groups that were checked are kept until they are to hold; meanwhile no others are prepared.
const preparedFor = time.Minute

// prepared are groups that were checked, and wait until they are to hold.
type prepared struct {
	id      string // "": there are none
	cfg     config.Config
	changes []config.Change
	before  string // a fingerprint of the groups that held then
	until   time.Time
}

// apply does one step of what somebody wants over the bus. The groups that hold change in the second one only.
func (r *reloader) apply(ctx context.Context, order bus.Apply) bus.Applied {
	r.mu.Lock()
	defer r.mu.Unlock()
	var notes []string
	var err error
	switch order.Step {
	case bus.ApplyPrepare:
		notes, err = r.prepare(ctx, order)
	case bus.ApplyCommit:
		err = r.commit(ctx, order)
	case bus.ApplyDrop:
		if r.prepared.id == order.ID {
			r.prepared = prepared{}
		}
		return bus.Applied{Spec: bus.SpecsHash(r.cfg.Groups), Changes: []bus.ApplyChange{}}
	default:
		err = fmt.Errorf("step %q: this vmscaler does not know it", order.Step)
	}
	a := bus.Applied{Spec: bus.SpecsHash(r.prepared.cfg.Groups), Changes: []bus.ApplyChange{}, Notes: notes}
	if err != nil {
		a.Error = asCalled(err.Error())
		return a
	}
	for _, c := range r.prepared.changes {
		a.Changes = append(a.Changes, bus.ApplyChange{Group: c.Group, Sentence: c.Sentence()})
	}
	if order.Step == bus.ApplyCommit {
		r.prepared = prepared{}
	}
	return a
}

// prepare checks groups as those of a file, and keeps them.
func (r *reloader) prepare(ctx context.Context, order bus.Apply) (notes []string, err error) {
	now := r.now()
	if p := r.prepared; p.id != "" && p.id != order.ID && now.Before(p.until) {
		return nil, errors.New("somebody else applies groups at this moment: try again in a minute")
	}
	r.prepared = prepared{}
	file, _, fileErr := r.read()
	if fileErr != nil {
		file.Groups = nil
	}
	if err := config.CheckApplied(order.Groups, r.cfg.Groups, file.Groups); err != nil {
		return nil, err //nolint:wrapcheck // it names the group and the field
	}
	next := r.cfg
	next.Groups = order.Groups
	if r.overlay != nil {
		if err := r.overlay(&next); err != nil {
			return nil, err
		}
	}
	if err := app.CheckGroups(next.Groups); err != nil {
		return nil, err //nolint:wrapcheck // it names the group
	}
	changes := config.Compare(r.cfg.Groups, next.Groups)
	if len(changes) > 0 {
		within, cancel := context.WithTimeout(ctx, checkWithin)
		defer cancel()
		if err := r.check(within, next); err != nil {
			return nil, err
		}
	}
	r.prepared = prepared{
		id: order.ID, cfg: next, changes: changes, before: bus.SpecsHash(r.cfg.Groups), until: now.Add(preparedFor),
	}
	return fileNotes(file, fileErr, next.Groups), nil
}

// fileNotes say that a process's own file, which it reads at its next start, is not what holds.
func fileNotes(file config.Config, err error, groups []bus.Group) []string {
	name := cmp.Or(file.Path, "its config file")
	if err != nil {
		return []string{fmt.Sprintf("%s is not right, and is read at the next start: %s", name, firstLine(err.Error()))}
	}
	differ := config.Compare(groups, file.Groups)
	if len(differ) == 0 {
		return nil
	}
	names := make([]string, len(differ))
	for i, c := range differ {
		names[i] = c.Group
	}
	if file.Path == "" {
		name = "without a config file, the default group"
	}
	return []string{fmt.Sprintf("%s holds again from the next start or SIGHUP on, and says otherwise of %s", name, bus.List(names))}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// commit has the groups hold that were prepared, in all stages of the process.
func (r *reloader) commit(ctx context.Context, order bus.Apply) error {
	p := r.prepared
	switch {
	case p.id != order.ID || !r.now().Before(p.until):
		return errors.New("these groups are not prepared any more: apply them again")
	case p.before != bus.SpecsHash(r.cfg.Groups):
		return errors.New("the groups have changed since they were compared: apply them again")
	case len(p.changes) == 0:
		return nil
	}
	done := r.service.Reload()
	defer done()
	if err := r.hand(ctx, p.cfg.Groups, p.changes, order.By, order.Reason); err != nil {
		return err
	}
	for _, c := range p.changes {
		r.log.Info().Str("group", c.Group).Msgf("%s; %s", c.Sentence(), bus.Attribution(order.By, order.Reason))
	}
	return nil
}
