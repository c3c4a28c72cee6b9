package template

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// searchPath is where host tools are looked for: an ordinary user's PATH on
// Debian lacks the sbin folders, where mke2fs lives.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// killGrace is how long a killed command's output pipes may stay open (held by
// a descendant that is still dying) before they are abandoned.
const killGrace = 5 * time.Second

// run executes a host tool and sends its standard output to stdout (nil: only
// kept for the error message).
func run(ctx context.Context, stdout io.Writer, name string, args ...string) error {
	return runTool(ctx, toolRun{name: name, args: args, stdout: stdout})
}

type toolRun struct {
	name      string
	args      []string
	called    string     // in errors; "" is name
	stdout    io.Writer  // nil: only kept for the error message
	files     []*os.File // open in the tool from descriptor 3 on
	noNetwork bool       // where the kernel allows that
}

// runTool gives the tool a process group of its own, all of which is killed when ctx ends: apt-get leaves its download methods
// behind otherwise.
func runTool(ctx context.Context, r toolRun) error {
	path, err := findTool(r.name)
	if err != nil {
		return err
	}
	if r.called == "" {
		r.called = r.name
	}
	var said tail
	cmd := exec.CommandContext(ctx, path, r.args...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath, "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "MTOOLS_SKIP_CHECK=1")
	cmd.Stderr = &said
	cmd.Stdout = &said
	if r.stdout != nil {
		cmd.Stdout = r.stdout
	}
	cmd.ExtraFiles = r.files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.noNetwork {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace

	err = cmd.Run()
	if r.noNetwork && cmd.Process == nil && errors.Is(err, syscall.EPERM) { // as in a container
		r.noNetwork = false
		return runTool(ctx, r)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", r.called, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w%s", r.called, err, lastLines(string(said.bytes()), 8))
	}
	return nil
}

// lastLines is the end of a tool's output, where it says what went wrong.
func lastLines(s string, n int) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return ""
	}
	lines := strings.Split(s, "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return ":\n" + strings.Join(lines, "\n")
}
