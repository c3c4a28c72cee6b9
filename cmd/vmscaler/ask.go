package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
)

// answerWithin is how long a stage may take to answer a request. It normally takes milliseconds.
const answerWithin = 5 * time.Second

// ask sends a request for a command and waits for the answer.
func ask[T any, PT interface {
	*T
	bus.Message
}](ctx context.Context, conn *client.Conn, verb string, q bus.Query,
) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	answer, err := client.Ask[T, PT](ctx, conn, verb, q)
	var refused *bus.RefusedError
	switch {
	case is[*client.SilentError](err):
		err = &unansweredError{verb, err}
	case is[*client.DeniedError](err) && q.Group == "" && slices.Contains(bus.GroupVerbs(), verb):
		err = fmt.Errorf("%w; those that are limited to groups need --group", err)
	case errors.As(err, &refused) && refused.Code == bus.RefusedUnknown && verb != bus.VerbWake: // whose role asks for nothing else
		err = fmt.Errorf("%w%s", err, meant(ctx, conn, q))
	}
	return answer, err
}

// meant hints at the group, the VM or the host that a request was meant for, which names one that there is not; "" where none is
// near, or nobody can tell.
func meant(ctx context.Context, conn *client.Conn, q bus.Query) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := client.Ask[bus.Status](ctx, conn, bus.VerbStatus, bus.Query{})
	if err != nil {
		return ""
	}
	var groups, vms, hosts []string
	for _, g := range status.Groups {
		groups = append(groups, g.Group)
		for _, s := range g.Samples {
			hosts = append(hosts, s.Host)
			for _, v := range s.VMs {
				vms = append(vms, v.Name)
			}
		}
	}
	for _, is := range []struct {
		word  string
		names []string
	}{{q.Group, groups}, {q.VM, vms}, {q.Host, hosts}} {
		if is.word != "" && !slices.Contains(is.names, is.word) {
			return nearest.Hint(is.word, is.names)
		}
	}
	return ""
}

// unansweredError is that a request had no answer in time. It wraps a *client.SilentError.
type unansweredError struct {
	verb string
	err  error
}

func (e *unansweredError) Error() string {
	text := fmt.Sprintf("no decider has answered within %s", answerWithin)
	if e.verb != bus.VerbStatus && e.verb != bus.VerbExplain { // which each decider answers
		text += ": only the one that leads does, and an election takes some seconds; `vmscaler status` shows what holds"
	}
	return text
}

func (e *unansweredError) Unwrap() error { return e.err }

// askAs joins the bus of the vmscaler that a command is for, sends one request in a role, and waits for the answer.
func askAs[T any, PT interface {
	*T
	bus.Message
}](g *globals, cmd *cobra.Command, busF busFlags, role bus.Role, verb string, q bus.Query,
) (T, error) {
	conn, err := g.joinAs(cmd, busF, role)
	if err != nil {
		var none T
		return none, err
	}
	defer conn.Close()
	return ask[T, PT](cmd.Context(), conn, verb, q)
}
