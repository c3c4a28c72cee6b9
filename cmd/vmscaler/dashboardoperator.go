package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/decider/explain"
)

// dashboardOperator does what is asked for in the dashboard, as the commands of the same names do it.
type dashboardOperator struct {
	libvirt func() (*globals, error)     // with which the VMs are found
	uri     string                       // the config's libvirt, where their protection is
	join    func() (*client.Conn, error) // as an operator
}

// newDashboardOperator is that operator, or none and why, if the bus does not take it for one at this moment.
func newDashboardOperator(o *dashboardOperator) (operator dashboard.Operator, readOnly string) {
	conn, err := o.join()
	var need *app.NeedCredentialsError
	switch {
	case errors.As(err, &need):
		return nil, asCalled("the bus wants an operator's credentials; `vmscaler bus credentials operator` says where they are")
	case err != nil:
		return nil, err.Error()
	}
	conn.Close()
	return o, ""
}

// How much of the history the dashboard begins with.
const (
	pastFor  = 24 * time.Hour
	pastMost = 200
)

// Past implements [dashboard.Operator]. Without a history there is no past.
func (o *dashboardOperator) Past(ctx context.Context) (all []any) {
	conn, err := o.join()
	if err != nil {
		return nil
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	_ = client.ReadHistory(ctx, conn, client.HistoryQuery{Since: time.Now().Add(-pastFor)}, func(e client.HistoryEntry) error {
		switch {
		case e.Event != nil:
			all = append(all, *e.Event)
		case e.Decision != nil:
			all = append(all, *e.Decision)
		}
		if len(all) > 2*pastMost {
			all = slices.Delete(all, 0, len(all)-pastMost)
		}
		return nil
	})
	return all
}

// Change implements [dashboard.Operator].
func (o *dashboardOperator) Change(ctx context.Context, c dashboard.Change) (says string, err error) {
	q := bus.Query{Group: c.Group, By: whoAsks(), Reason: "in the dashboard"}
	var verb string
	switch c.Kind {
	case dashboard.ChangePause:
		verb = bus.VerbPause
	case dashboard.ChangeResume:
		verb = bus.VerbResume
	case dashboard.ChangeScale:
		verb, q.Desired = bus.VerbScale, &c.Desired
	case dashboard.ChangeRelease:
		verb = bus.VerbScale
	case dashboard.ChangeProtect, dashboard.ChangeUnprotect:
		return o.protect(ctx, c)
	default:
		return "", fmt.Errorf("change %d is not known", c.Kind)
	}
	conn, err := o.join()
	if err != nil {
		return "", err
	}
	defer conn.Close()
	controls, err := ask[bus.Controls](ctx, conn, verb, q)
	if err != nil {
		return "", err
	}
	return "group " + c.Group + ": " + cmp.Or(dashboard.ControlsText(controls, time.Local), bus.NothingByHand), nil
}

// protect is straight on libvirt, which keeps the mark. Nothing may be written to the terminal meanwhile.
func (o *dashboardOperator) protect(ctx context.Context, c dashboard.Change) (says string, err error) {
	g, err := o.libvirt()
	if err != nil {
		return "", err
	}
	hv, found, err := g.findVMsOn(ctx, o.uri, io.Discard, c.VM)
	if err != nil {
		return "", err
	}
	defer hv.close()
	if found[0].Name != c.VM || found[0].Meta.Group != c.Group {
		return "", fmt.Errorf(
			"%s has no VM %s of group %s: `vmscaler protect` works on the VM's own host",
			hv.choice.URI,
			c.VM,
			c.Group,
		)
	}
	p := bus.Protection{On: c.Kind == dashboard.ChangeProtect, By: whoAsks()}
	if err := vm.Protect(hv.conn, found[0], p); err != nil {
		return "", err
	}
	if c.Kind == dashboard.ChangeProtect {
		return c.VM + ": protected", nil
	}
	return c.VM + ": not protected any more", nil
}

// explainLines is a decision in words, as `vmscaler explain` has them.
func explainLines(d bus.Decision) []string {
	var b strings.Builder
	if err := printExplanation(&b, explain.New(&d, nil, time.Local), &printer.Output{}); err != nil {
		return []string{d.Sentence}
	}
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}
