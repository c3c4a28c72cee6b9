package e2e

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// process is a running `vmscaler run`, watched over its bus.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	done   chan error
	mu     sync.Mutex
	output strings.Builder // both streams

	conn      *bus.Conn
	samples   chan bus.Sample
	decisions chan bus.Decision
	events    chan bus.Event
	health    chan bus.Health

	// The newest messages, and all events.
	sample   bus.Sample
	decision bus.Decision
	stages   map[string]bus.Health
	all      []bus.Event
}

// start starts `vmscaler run` and returns when its bus answers.
func (w *world) start(config string, args ...string) *process {
	w.t.Helper()
	p := w.spawn(config, args...)
	p.listen()
	return p
}

// spawn starts `vmscaler run` and does not wait for anything.
func (w *world) spawn(config string, args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t, done: make(chan error, 1), stages: map[string]bus.Health{}}
	p.cmd = w.command(append([]string{"run", "--no-dashboard", "-c", config}, args...)...)
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	var readers sync.WaitGroup
	for _, stream := range []*bufio.Scanner{bufio.NewScanner(stdout), bufio.NewScanner(stderr)} {
		readers.Go(func() {
			for stream.Scan() {
				p.mu.Lock()
				p.output.WriteString(stream.Text() + "\n")
				p.mu.Unlock()
			}
		})
	}
	go func() {
		readers.Wait()
		p.done <- p.cmd.Wait()
	}()
	w.t.Cleanup(func() {
		p.kill()
		if w.t.Failed() {
			w.t.Logf("output of vmscaler run:\n%s", p.text())
		}
	})
	return p
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// says waits until the program has printed something.
func (p *process) says(words string) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for !strings.Contains(p.text(), words) {
		select {
		case err := <-p.done:
			p.done <- err
			if !strings.Contains(p.text(), words) {
				p.t.Fatalf("vmscaler run ended (%v) without saying %q:\n%s", err, words, p.text())
			}
		case <-deadline.C:
			p.t.Fatalf("vmscaler run does not say %q:\n%s", words, p.text())
		case <-poll.C:
		}
	}
}

// listen waits for the bus and subscribes.
func (p *process) listen() {
	p.t.Helper()
	p.says("bus: nats://")
	_, rest, _ := strings.Cut(p.text(), "bus: ")
	p.url = strings.Fields(rest)[0]
	conn, err := bus.Dial(p.url, "e2e", zerolog.Nop())
	if err != nil {
		p.t.Fatal(err)
	}
	p.conn = conn
	p.t.Cleanup(conn.Close)
	p.samples, p.decisions = make(chan bus.Sample, 16), make(chan bus.Decision, 16)
	p.events, p.health = make(chan bus.Event, 16), make(chan bus.Health, 16)
	if err := errors.Join(
		bus.Subscribe(conn, bus.AllSamples, p.samples), bus.Subscribe(conn, bus.AllDecisions, p.decisions),
		bus.Subscribe(conn, bus.AllEvents, p.events), bus.Subscribe(conn, bus.AllHealth, p.health),
	); err != nil {
		p.t.Fatal(err)
	}
}

// until waits until holds is true of the newest messages.
func (p *process) until(what string, holds func() bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			p.t.Fatalf("it does not happen that %s; last decision: %q; last sample: %+v", what, p.decision.Sentence, p.sample.VMs)
		case err := <-p.done:
			p.done <- err
			p.t.Fatalf("vmscaler run ended (%v) before %s:\n%s", err, what, p.text())
		case p.sample = <-p.samples:
		case p.decision = <-p.decisions:
		case h := <-p.health:
			p.stages[h.Stage] = h
		case e := <-p.events:
			p.all = append(p.all, e)
		}
		if holds() {
			return
		}
	}
}

// untilReady waits until n VMs, and no more, are there and ready.
func (p *process) untilReady(n int) {
	p.t.Helper()
	p.until("so many VMs are ready", func() bool {
		ready := 0
		for _, vm := range p.sample.VMs {
			if vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning {
				ready++
			}
		}
		return ready == n && len(p.sample.VMs) == n
	})
}

// untilEvent waits for an event of a VM; "" is any VM.
func (p *process) untilEvent(vm string, event bus.EventType) bus.Event {
	p.t.Helper()
	var found bus.Event
	seen := len(p.all)
	p.until(vm+" is "+string(event), func() bool {
		for _, e := range p.all[seen:] {
			if e.Event == event && (vm == "" || e.VM == vm) {
				found = e
				return true
			}
		}
		seen = len(p.all)
		return false
	})
	return found
}

// had says whether an event was seen.
func (p *process) had(event bus.EventType) bool {
	for _, e := range p.all {
		if e.Event == event {
			return true
		}
	}
	return false
}

// stop is Ctrl-C; the program must end well.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			p.t.Fatalf("vmscaler run after Ctrl-C: %s\n%s", err, p.text())
		}
	case <-time.After(patience):
		p.t.Fatal("vmscaler run does not end after Ctrl-C")
	}
}

// kill ends the program without a chance to do anything.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // an error means that it has ended
	err := <-p.done
	p.done <- err
}
