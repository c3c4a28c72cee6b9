package vm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"libvirt.org/go/libvirt"
)

// ErrGuestHidden means that a guest cannot be asked: it has no agent that answers, that may run nothing, or there is no shell.
var ErrGuestHidden = errors.New("its guest agent may run nothing, or does not answer, or there is no /bin/sh")

// ErrTookTooLong means that a command in a guest has not ended in time; it was killed there, as far as the guest does that.
var ErrTookTooLong = errors.New("it has not ended in time")

// MostOutput is how much a command in a guest may print on each of its two streams, in bytes; the rest is read and thrown away
// in the guest. libvirt gives a guest agent up whose answer is too long, and the VM would be taken for a sick one.
const MostOutput = 256 << 10

// boundScript runs its arguments as a command, and prints MostOutput bytes of each of its streams and one more, which tells that
// there were more. It ends as the command does.
const boundScript = `keep() { head -c "$most"; cat >/dev/null; }
most=$1; shift
exec 3>&1 4>&2
status=$({ { { "$@" 3>&- 4>&- 5>&- 6>&-; echo "$?" >&5; } 2>&6 | keep >&3; } 6>&1 | keep >&4; } 5>&1)
exit "$status"`

// sessionScript runs boundScript, its first argument, in a session of its own where the guest has the program for that, so that
// all of it can be killed. Its process stays the same.
const sessionScript = `bound=$1; shift
if command -v setsid >/dev/null 2>&1; then exec setsid /bin/sh -c "$bound" sh "$@"; fi
exec /bin/sh -c "$bound" sh "$@"`

// killScript ends a program of the agent's with all that it has started, if they are a session of their own, else it alone.
const killScript = `kill -9 "-$1" 2>/dev/null || kill -9 -- "-$1" 2>/dev/null || kill -9 "$1"`

// Ran is how a command in a guest ended, and what it printed, which is whatever the guest likes.
type Ran struct {
	Stdout, Stderr []byte // each of at most MostOutput bytes
	Cut            bool   // there was more
	Code           int    // its exit code; 128 and the number of the signal that ended it, as a shell has it
}

// RunInGuest runs a script in a guest's /bin/sh through its agent, and returns what that printed and its exit code. It waits for
// limit at most: the error is ErrTookTooLong then. Where the guest cannot be asked the error is ErrGuestHidden.
func RunInGuest(
	ctx context.Context,
	dom *libvirt.Domain,
	script string,
	limit time.Duration,
) (output string, code int, err error) {
	ran, err := Exec(ctx, dom, []string{"/bin/sh", "-c", script}, limit)
	return string(ran.Stdout), ran.Code, err
}

// Exec runs a command in a guest through its agent, without input, and waits for limit at most; what has not ended then, or when
// ctx ends, is killed. It needs a /bin/sh there. The errors are those of [RunInGuest].
func Exec(ctx context.Context, dom *libvirt.Domain, command []string, limit time.Duration) (Ran, error) {
	if can, err := canRun(dom); err != nil || !can {
		return Ran{}, ErrGuestHidden
	}
	pid, err := startInGuest(dom, boundLine(MostOutput, command))
	if err != nil {
		if agentIsAway(err) {
			return Ran{}, err
		}
		return Ran{}, ErrGuestHidden
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: the guest took longer than %s", ErrTookTooLong, limit))
	defer cancel()
	poll := time.NewTicker(runPoll)
	defer poll.Stop()
	for {
		var status runStatus
		err := agentCommand(dom, agentTimeout, "guest-exec-status", map[string]any{"pid": pid}, &status)
		switch {
		case err != nil && !agentIsAway(err), errors.Is(err, libvirt.ERR_OPERATION_INVALID): // that one is not running
			return Ran{}, err
		case err == nil && status.Exited:
			return status.ran()
		}
		select {
		case <-limited.Done():
			killInGuest(dom, pid)
			return Ran{}, context.Cause(limited)
		case <-poll.C:
		}
	}
}

// boundLine are the arguments of a /bin/sh that runs a command, of which most bytes of each stream and one more are printed.
func boundLine(most int, command []string) []string {
	return append([]string{"-c", sessionScript, "sh", boundScript, strconv.Itoa(most + 1)}, command...)
}

// killInGuest kills a program, and waits a moment until it has ended. An agent that does not obey leaves it running, which is all
// that can be done.
func killInGuest(dom *libvirt.Domain, pid int) {
	if _, err := startInGuest(dom, []string{"-c", killScript, "sh", strconv.Itoa(pid)}); err != nil {
		return
	}
	poll := time.NewTicker(runPoll)
	defer poll.Stop()
	for end := time.Now().Add(killFor); time.Now().Before(end); <-poll.C {
		var status runStatus
		if agentCommand(dom, agentTimeout, "guest-exec-status", map[string]any{"pid": pid}, &status) != nil || status.Exited {
			return
		}
	}
}

// startInGuest starts a guest's /bin/sh.
func startInGuest(dom *libvirt.Domain, args []string) (pid int, err error) {
	var run struct {
		PID int `json:"pid"`
	}
	err = agentCommand(dom, agentTimeout, "guest-exec", map[string]any{
		"path": "/bin/sh", "arg": args, "capture-output": true,
	}, &run)
	return run.PID, err
}

// ran is how a program ended that boundScript has run.
func (s runStatus) ran() (r Ran, err error) {
	for _, stream := range []struct {
		text string
		to   *[]byte
	}{{s.Output, &r.Stdout}, {s.Errors, &r.Stderr}} {
		data, err := base64.StdEncoding.DecodeString(stream.text)
		if err != nil {
			return Ran{}, fmt.Errorf("guest agent: guest-exec-status: %w", err)
		}
		if len(data) > MostOutput {
			data, r.Cut = data[:MostOutput], true
		}
		*stream.to = data
	}
	r.Code = s.exit().Status
	return r, nil
}

// Address is a running VM's IP address, of its DHCP lease or as its agent says; "" if none is known.
func Address(dom *libvirt.Domain) string { return addressOf(dom) }

// AgentAnswers reports whether a guest's agent answers now.
func AgentAnswers(dom *libvirt.Domain) bool {
	return agentCommand(dom, agentTimeout, "guest-ping", nil, nil) == nil
}
