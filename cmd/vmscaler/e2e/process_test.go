package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running command.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how it ended

	mu      sync.Mutex
	output  strings.Builder // both streams
	wanted  bool            // that it ends
	touched chan struct{}   // has an element when something was printed
}

// spawn starts a command of the program and does not wait for anything.
func (w *world) spawn(args ...string) *process {
	w.t.Helper()
	return w.startProcess("vmscaler "+args[0], w.command(args...))
}

// startProcess starts a command. While the world watches its bus, its end is a failure unless stop or kill brought it.
func (w *world) startProcess(name string, cmd *exec.Cmd) *process {
	w.t.Helper()
	p := &process{t: w.t, name: name, cmd: cmd, done: make(chan struct{}), touched: make(chan struct{}, 1)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	var readers sync.WaitGroup
	for _, stream := range []*bufio.Scanner{bufio.NewScanner(stdout), bufio.NewScanner(stderr)} {
		readers.Go(func() {
			for stream.Scan() {
				p.mu.Lock()
				p.output.WriteString(stream.Text() + "\n")
				p.mu.Unlock()
				select {
				case p.touched <- struct{}{}:
				default:
				}
			}
		})
	}
	go func() {
		readers.Wait()
		p.err = cmd.Wait()
		close(p.done)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.wanted {
			select {
			case w.ended <- p:
			default: // there is one already
			}
		}
	}()
	w.t.Cleanup(func() {
		p.kill()
		if w.t.Failed() {
			w.t.Logf("output of %s (%v):\n%s", name, cmd.Args, p.text())
		}
	})
	return p
}

// text is what it has printed so far.
func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// lines are the whole lines that it has printed so far and that hold all the words.
func (p *process) lines(words ...string) []string {
	var found []string
	for line := range strings.Lines(p.text()) {
		if containsAll(line, words...) {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	return found
}

func containsAll(text string, words ...string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// says waits until the program has printed a line with all the words, and returns the first one.
func (p *process) says(words ...string) string {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		if found := p.lines(words...); len(found) > 0 {
			return found[0]
		}
		select {
		case <-p.touched:
		case <-p.done:
			if found := p.lines(words...); len(found) > 0 {
				return found[0]
			}
			p.t.Fatalf("%s ended (%v) without saying %q:\n%s", p.name, p.err, words, p.text())
		case <-deadline.C:
			p.t.Fatalf("%s does not say %q:\n%s", p.name, words, p.text())
		}
	}
}

// stop is Ctrl-C; the program must end well.
func (p *process) stop() {
	p.t.Helper()
	p.willEnd()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatalf("interrupt %s: %s\n%s", p.name, err, p.text())
	}
	select {
	case <-p.done:
		if p.err != nil {
			p.t.Fatalf("%s after Ctrl-C: %s\n%s", p.name, p.err, p.text())
		}
	case <-time.After(patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines
		<-p.done
		p.t.Fatalf("%s does not end after Ctrl-C:\n%s", p.name, p.text())
	}
}

// kill ends the program without a chance to do anything.
func (p *process) kill() {
	p.willEnd()
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // an error means that it has ended
	<-p.done
}

func (p *process) willEnd() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = true
}
