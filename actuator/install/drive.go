package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// tailLines is how much of a console's end an error shows.
const tailLines = 20

// terminal is a serial console.
type terminal interface {
	// Read waits for what is printed. It is io.EOF when the machine is off.
	Read(ctx context.Context, buf []byte) (int, error)
	Write(ctx context.Context, data []byte) error
}

// StepError says at which step an installation stopped.
type StepError struct {
	Step  string // as a sentence names it
	Cause error
	Tail  []string // the last lines of the console
}

func (e *StepError) Error() string {
	text := e.Step + ": " + e.Cause.Error()
	if len(e.Tail) == 0 {
		return text + "\nthe serial console (ttyS0) has said nothing"
	}
	return text + "\nthe console ends with:\n  " + strings.Join(e.Tail, "\n  ")
}

func (e *StepError) Unwrap() error { return e.Cause }

var errMachineOff = errors.New("the machine went off before it came")

// drive plays a script on a terminal to its end. say is told each step that is waited for.
func drive(ctx context.Context, t terminal, p *Player, say func(step string)) error {
	for !p.Done() {
		step := p.Step()
		say(step.Name)
		if err := driveStep(ctx, t, p, step); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &StepError{step.Title, err, p.Tail(tailLines)}
		}
	}
	return nil
}

// driveStep reads and types until the step has come.
func driveStep(ctx context.Context, t terminal, p *Player, step Step) error {
	late := fmt.Errorf("nothing that matches %q came within %s", strings.TrimPrefix(step.Expect.String(), flags), step.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, step.Timeout, late)
	defer cancel()
	buf := make([]byte, 16<<10)
	var data []byte // nothing at first: the step may be in what was read before
	for at := p.at; ; {
		typed, err := p.Feed(data)
		for _, text := range typed {
			if err := t.Write(ctx, []byte(text)); err != nil {
				return err
			}
		}
		if err != nil || p.at > at {
			return err
		}
		n, err := t.Read(ctx, buf)
		if errors.Is(err, io.EOF) {
			return errMachineOff
		}
		if err != nil {
			return err
		}
		data = buf[:n]
	}
}
