package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"golang.org/x/term"

	"github.com/vmscaler/vmscaler/bus/ownfile"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// The size from which the log file is started again, and how many older ones are kept.
const (
	longestLog = 10 << 20
	oldLogs    = 3
)

// logPath is the log file: in the state folder that is named, as several vmscalers may run, else in the usual place.
func logPath(cfg config.Config, euid int) string {
	switch {
	case cfg.StateDir != "":
		return filepath.Join(cfg.StateDir, "vmscaler.log")
	case euid == 0:
		return "/var/log/vmscaler/vmscaler.log"
	}
	return filepath.Join(stateHome(), "vmscaler.log")
}

// logFile is a log that is bounded while it is written: at a size it becomes PATH.1, what that was PATH.2, and so on. Closed,
// it is opened again by the next line, so that it can be moved away.
type logFile struct {
	path string
	mu   sync.Mutex
	file *os.File // nil while it is closed
	size int64
}

// openLog opens the log file that is written while the dashboard owns the terminal.
func openLog(path string) (*logFile, error) {
	dir, err := ownfile.MakeFolder(filepath.Dir(path), 0o750, os.Geteuid())
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	l := &logFile{path: filepath.Join(dir, filepath.Base(path))}
	if err := l.open(); err != nil {
		return nil, err
	}
	for _, closed := range []struct {
		path string
		mode fs.FileMode
	}{{dir, 0o750}, {l.path, 0o640}} { // of an earlier version
		if info, err := os.Stat(closed.path); err == nil && info.Mode().Perm()&^closed.mode != 0 {
			_ = os.Chmod(closed.path, info.Mode().Perm()&closed.mode)
		}
	}
	return l, nil
}

func (l *logFile) open() error {
	// What hooks print may be secret. The file's mode is that of those that follow it.
	f, err := ownfile.Open(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640, os.Geteuid())
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("log file: %w", err), f.Close())
	}
	l.file, l.size = f, info.Size()
	return nil
}

func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil && l.size+int64(len(line)) > longestLog && l.size > 0 {
		l.rotate()
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(line)
	l.size += int64(n)
	if err != nil {
		return n, fmt.Errorf("log file: %w", err)
	}
	return n, nil
}

// rotate starts the file again. One that cannot be moved goes on to be written.
func (l *logFile) rotate() {
	_ = l.file.Close()
	l.file = nil
	for i := oldLogs; i > 1; i-- {
		_ = os.Rename(l.old(i-1), l.old(i)) // there may be none
	}
	_ = os.Rename(l.path, l.old(1))
}

func (l *logFile) old(i int) string { return fmt.Sprintf("%s.%d", l.path, i) }

// Close closes it until the next line.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	return nil
}

// dashboardLevel is from which level on the log goes beside the lines of a plain dashboard. These have the events, which
// the log would repeat, unless the user asks for it.
func dashboardLevel(level zerolog.Level, asked bool) zerolog.Level {
	if asked {
		return level
	}
	return max(level, zerolog.WarnLevel)
}

// onTerminal reports whether the process belongs to a terminal, whose end is then its own.
func onTerminal() bool {
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if term.IsTerminal(int(f.Fd())) {
			return true
		}
	}
	return false
}

// endSignals are those that end the program well. A hangup does where its terminal is gone; a service goes on, and so does
// whatever nohup has started.
func endSignals(hangupIgnored, onTerminal bool) []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if onTerminal && !hangupIgnored {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// watchHangups gives a service's hangups, until stop.
func watchHangups() (hangups chan os.Signal, stop func()) {
	hangups = make(chan os.Signal, 1)
	if onTerminal() || signal.Ignored(syscall.SIGHUP) {
		return hangups, func() { close(hangups) }
	}
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups, func() {
		signal.Stop(hangups)
		close(hangups)
	}
}
