package vm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"
)

// ErrGuestHidden means that a guest cannot be asked: it has no agent that answers, that may run nothing, or there is no shell.
var ErrGuestHidden = errors.New("its guest agent may run nothing, or does not answer")

// RunInGuest runs a script in a guest's /bin/sh through its agent, and returns what that printed and its exit code. It waits for
// limit at most. Where the guest cannot be asked the error is ErrGuestHidden.
func RunInGuest(
	ctx context.Context,
	dom *libvirt.Domain,
	script string,
	limit time.Duration,
) (output string, code int, err error) {
	if can, err := canRun(dom); err != nil || !can {
		return "", 0, ErrGuestHidden
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the guest took longer than %s", limit))
	defer cancel()
	var run struct {
		PID int `json:"pid"`
	}
	if err := agentCommand(dom, agentTimeout, "guest-exec", map[string]any{
		"path": "/bin/sh", "arg": []string{"-c", script}, "capture-output": true,
	}, &run); err != nil {
		if agentIsAway(err) {
			return "", 0, err
		}
		return "", 0, ErrGuestHidden
	}
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for {
		var status struct {
			Exited   bool   `json:"exited"`
			ExitCode int    `json:"exitcode"`
			Output   string `json:"out-data"`
		}
		err := agentCommand(dom, agentTimeout, "guest-exec-status", map[string]any{"pid": run.PID}, &status)
		switch {
		case err != nil && !agentIsAway(err), errors.Is(err, libvirt.ERR_OPERATION_INVALID): // that one is not running
			return "", 0, err
		case err == nil && status.Exited:
			text, err := base64.StdEncoding.DecodeString(status.Output)
			if err != nil {
				return "", 0, fmt.Errorf("guest agent: guest-exec-status: %w", err)
			}
			return string(text), status.ExitCode, nil
		}
		select {
		case <-limited.Done():
			return "", 0, context.Cause(limited)
		case <-poll.C:
		}
	}
}

// Address is a running VM's IP address, of its DHCP lease or as its agent says; "" if none is known.
func Address(dom *libvirt.Domain) string { return addressOf(dom) }

// AgentAnswers reports whether a guest's agent answers now.
func AgentAnswers(dom *libvirt.Domain) bool {
	return agentCommand(dom, agentTimeout, "guest-ping", nil, nil) == nil
}
