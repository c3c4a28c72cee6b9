package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// StateHolder is the process that has a state folder.
type StateHolder struct {
	PID   int       `json:"pid"`
	URL   string    `json:"url"`            // where its bus listens
	Cert  string    `json:"cert,omitempty"` // file with the certificate that it shows; "": it has no TLS
	Since time.Time `json:"since"`
}

// StateLockedError means that another bus has the state folder.
type StateLockedError struct {
	Dir    string
	Holder StateHolder
}

func (e *StateLockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("another bus has the state folder %s", e.Dir)
	}
	return fmt.Sprintf("a bus (process %d, since %s, at %s) has the state folder %s already", e.Holder.PID,
		e.Holder.Since.Local().Format(time.DateTime), e.Holder.URL, e.Dir)
}

// stateFolder is a locked state folder. JetStream does not lock its own: two servers on one lose messages.
type stateFolder struct {
	dir  string
	lock *os.File
}

func stateLockPath(dir string) string { return filepath.Join(dir, "bus.lock") }

// openState makes the folder where it is missing, and takes it for this process until close, however that ends. It
// must belong to the user who runs the bus.
func openState(dir string, euid int) (*stateFolder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != euid {
		return nil, fmt.Errorf(
			"state folder %s belongs to user id %d, want %d, who runs the bus: name another with --state-dir, or chown it",
			dir,
			stat.Uid,
			euid,
		)
	}
	f, err := ownfile.Open(stateLockPath(dir), os.O_RDWR|os.O_CREATE, 0o644, euid)
	if err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile()); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, &StateLockedError{dir, readStateHolder(dir)}
		}
		return nil, fmt.Errorf("state folder: lock %s: %w", stateLockPath(dir), err)
	}
	if err := f.Truncate(0); err != nil { // what a killed process has left
		_ = f.Close()
		return nil, fmt.Errorf("state folder: %w", err)
	}
	return &stateFolder{dir, f}, nil
}

// wholeFile is a write lock of the kind that belongs to the open file description (OFD), not to the process, and that can be
// tested without acquiring it: looking for a bus must not keep one from starting.
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// describe writes the holder into the folder, for processes that look for the bus.
func (s *stateFolder) describe(url, cert string) error {
	data, err := json.Marshal(StateHolder{PID: os.Getpid(), URL: url, Cert: cert, Since: time.Now().UTC()})
	if err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if err := s.lock.Truncate(0); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if _, err := s.lock.WriteAt(data, 0); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	return nil
}

// Close releases the folder.
func (s *stateFolder) Close() {
	_ = s.lock.Truncate(0)
	_ = s.lock.Close()
}

// FindState returns the process whose bus uses a state folder, if there is one.
func FindState(dir string) (StateHolder, bool) {
	f, err := os.OpenFile(stateLockPath(dir), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return StateHolder{}, false
	}
	lock := wholeFile()
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock)
	_ = f.Close()
	if err != nil || lock.Type == unix.F_UNLCK {
		return StateHolder{}, false
	}
	return readStateHolder(dir), true
}

func readStateHolder(dir string) StateHolder {
	var h StateHolder
	f, err := os.OpenFile(stateLockPath(dir), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return h
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 16<<10)) // fails on what is no file
	if err != nil || json.Unmarshal(data, &h) != nil {
		return StateHolder{}
	}
	return h
}
