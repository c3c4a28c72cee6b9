package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
)

// Reload is other groups for all stages of the process. Done is called once they hold in each, or with why they may not.
type Reload struct {
	bus.Reload
	Done func(error)
}

// CheckGroups reports what of some groups a stage could not go by.
func CheckGroups(groups []bus.Group) error {
	if len(groups) == 0 {
		return errors.New("groups: found none, want one or more")
	}
	for _, g := range groups {
		if err := decider.Check(g); err != nil {
			return fmt.Errorf("group %s: %w", g.Name, err)
		}
	}
	return nil
}

// reloading hands groups to the stages of a process.
type reloading struct {
	stages []func(context.Context, bus.Reload) error
}

// add adds a stage that goes by the groups.
func (r *reloading) add(reload func(context.Context, bus.Reload) error) {
	r.stages = append(r.stages, reload)
}

// run takes those that are wanted, until ctx ends. Stages take them at their own time: until all have, those that have it
// otherwise hold the groups that differ, as the hash of the spec is in each sample and decision.
func (r *reloading) run(ctx context.Context, wanted <-chan Reload) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-wanted:
			w.Done(r.reload(ctx, w.Reload))
		}
	}
}

func (r *reloading) reload(ctx context.Context, to bus.Reload) error {
	if err := CheckGroups(to.Groups); err != nil {
		return err
	}
	errs := make([]error, len(r.stages))
	var wg sync.WaitGroup
	for i, reload := range r.stages {
		wg.Go(func() { errs[i] = reload(ctx, to) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// serveApply answers for all stages of the process that go by the groups, over the connection of one of them.
func serveApply(ctx context.Context, o Options, stages []stage) error {
	var names []string
	var first *stage
	for i, s := range stages {
		if slices.Contains(bus.GroupStages(), s.name) {
			names = append(names, s.name)
			first = cmp.Or(first, &stages[i])
		}
	}
	if first == nil || o.Apply == nil {
		return nil
	}
	return first.conn.ServeApply(ctx, func(ctx context.Context, order bus.Apply) bus.Applied {
		a := o.Apply(ctx, order)
		a.Instance, a.Stages = first.instance, names
		return a
	})
}
