package hosttool

import (
	"bytes"
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

// SearchPath is where host tools are looked for: an ordinary user's PATH on
// Debian lacks the sbin folders, where mke2fs lives.
const SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// KillGrace is how long a killed command's output pipes may stay open (held by
// a descendant that is still dying) before they are abandoned.
const KillGrace = 5 * time.Second

// Run executes a host tool and sends its standard output to stdout (nil: only
// kept for the error message).
func Run(ctx context.Context, stdout io.Writer, name string, args ...string) error {
	return RunWith(ctx, Command{Name: name, Args: args, Stdout: stdout})
}

// Command is one run of a host tool.
type Command struct {
	Name      string
	Args      []string
	Called    string     // in errors; "" is name
	Stdout    io.Writer  // nil: only kept for the error message
	Files     []*os.File // open in the tool from descriptor 3 on
	NoNetwork bool       // where the kernel allows that
}

// RunWith gives the tool a process group of its own, all of which is killed when ctx ends: apt-get leaves its download methods
// behind otherwise.
func RunWith(ctx context.Context, r Command) error {
	path, err := Find(r.Name)
	if err != nil {
		return err
	}
	if r.Called == "" {
		r.Called = r.Name
	}
	var said Tail
	cmd := exec.CommandContext(ctx, path, r.Args...)
	cmd.Env = append(os.Environ(), "PATH="+SearchPath, "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "MTOOLS_SKIP_CHECK=1")
	cmd.Stderr = &said
	cmd.Stdout = &said
	if r.Stdout != nil {
		cmd.Stdout = r.Stdout
	}
	cmd.ExtraFiles = r.Files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.NoNetwork {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = KillGrace

	err = cmd.Run()
	if r.NoNetwork && cmd.Process == nil && errors.Is(err, syscall.EPERM) { // as in a container
		r.NoNetwork = false
		return RunWith(ctx, r)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run %s: %w", r.Called, context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("run %s: %w%s", r.Called, err, lastLines(string(said.Bytes()), 8))
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

// LineWriter hands on what is written to it line by line.
type LineWriter struct {
	Line func(string)
	rest []byte
}

func (w *LineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		w.Line(string(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
}

// Tail keeps the beginning and the end of what a tool says, which can be a line for each of a million errors.
type Tail struct {
	first, last []byte
}

const tailSize = 16 * 1024

func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	if free := tailSize - len(t.first); free > 0 {
		t.first = append(t.first, p[:min(free, len(p))]...)
		p = p[min(free, len(p)):]
	}
	t.last = append(t.last, p[max(0, len(p)-tailSize):]...)
	if len(t.last) > tailSize {
		t.last = append(t.last[:0], t.last[len(t.last)-tailSize:]...)
	}
	return n, nil
}

// Bytes is what was kept.
func (t *Tail) Bytes() []byte { return bytes.Join([][]byte{t.first, t.last}, nil) }
