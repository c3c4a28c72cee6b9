package template

import (
	"bytes"
	"context"
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
// kept for the error message). The tool gets a process group of its own, all of
// which is killed when ctx ends: apt-get leaves its download methods behind
// otherwise.
func run(ctx context.Context, stdout io.Writer, name string, args ...string) error {
	path, err := findTool(name)
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "PATH="+searchPath, "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "MTOOLS_SKIP_CHECK=1")
	cmd.Stderr = &said
	cmd.Stdout = &said
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace

	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", name, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w%s", name, err, lastLines(said.String(), 8))
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
