package vm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

// hookOutput is how much of a command's output is kept, in bytes: its end.
const hookOutput = 4 << 10

func (h *Hooks) waitForCommand(ctx context.Context, call hookCall) (bus.HookAction, error) {
	deadline := call.deadline(time.Now())
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if limited.Err() == nil {
		call.waiting("", deadline)
	}
	environment := call.environment()
	if header := tracing.Carried(ctx); header != "" {
		environment = append(environment, "TRACEPARENT="+header) // as other programs take it
	}
	output, err := runCommand(limited, call.hook.Command, environment)
	if output := strings.TrimSpace(string(output)); output != "" {
		level := zerolog.InfoLevel
		if err != nil {
			level = zerolog.WarnLevel // the only place that has it
		}
		h.log.WithLevel(level).Str("group", call.group).Str("vm", call.vm).Str("output", bus.Line(output)).
			Msgf("the command of the %s has ended", call.hook.Text(call.kind))
	}
	switch {
	case err == nil:
		return bus.HookContinue, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case limited.Err() != nil:
		return call.late(h.log)
	}
	// Nothing of the output, which may have a secret: anyone on the machine can read events.
	return call.abandoned("its command ended with %w; the actuator's log has its output", err)
}

// runCommand runs a line of the shell in a process group of its own, and kills all of that when ctx ends. It returns the
// end of the output.
func runCommand(ctx context.Context, line string, environment []string) ([]byte, error) {
	var output tail
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", line)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return os.ErrProcessDone
	}
	cmd.WaitDelay = time.Second // for what it left in the background with its output open
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // its own status was 0
	}
	return output.text, err
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if over := len(t.text) - hookOutput; over > 0 {
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(p), nil
}
