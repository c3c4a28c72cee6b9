package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

// Target is which libvirt is locked: what its URI is spelled like does not matter.
type Target struct {
	Names      []string // each is locked: of [a-z0-9-]
	SessionUID int      // of the user whose session it is; 0 for a host's
}

// LockFolder is the one of all who may use a host's libvirt. Root makes it, for the group where that is there.
const (
	LockFolder = "/run/vmscaler"
	lockGroup  = "libvirt"
	ownLocks   = "vmscaler" // below a user's runtime folder
)

// Lock is held by the one process that acts on a libvirt. It ends with the process, however that ends.
type Lock struct {
	folders lockFolders
	mu      sync.Mutex
	holder  Holder
	files   map[string][]*os.File // by name
}

// Acquire locks a target, or returns a *LockedError that names the process that has it.
func Acquire(target Target, h Holder) (*Lock, error) {
	return defaultLockFolders().acquire(target, h)
}

// Renew makes the lock that of target, which may have changed: a libvirt that starts again can have another name. What was
// held stays so if it is refused.
func (l *Lock) Renew(target Target) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range target.Names {
		if inPlace(l.files[name]) {
			continue
		}
		files, err := l.folders.take(name, target.SessionUID, l.holder)
		if err != nil {
			var locked *LockedError
			if errors.As(err, &locked) {
				return err
			}
			return fmt.Errorf("lock of %s: %w", l.holder.URI, err)
		}
		closeFiles(l.files[name]) // of a file that somebody deleted
		l.files[name] = files
		if err := describe(files, l.holder); err != nil {
			return err
		}
	}
	for name, files := range l.files {
		if !slices.Contains(target.Names, name) {
			closeFiles(files)
			delete(l.files, name)
		}
	}
	return nil
}

// Describe writes who holds the lock, for the one that is refused. Since when stays what it was at first.
func (l *Lock) Describe(h Holder) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.UID = l.folders.euid
	if !l.holder.Since.IsZero() {
		h.Since = l.holder.Since
	}
	l.holder = h
	var problems []error
	for _, files := range l.files {
		problems = append(problems, describe(files, h))
	}
	return errors.Join(problems...)
}

func describe(files []*os.File, h Holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("lock of %s: %w", h.URI, err)
	}
	for _, f := range files {
		if err := f.Truncate(0); err != nil {
			return fmt.Errorf("lock of %s: %w", h.URI, err)
		}
		if _, err := f.WriteAt(data, 0); err != nil {
			return fmt.Errorf("lock of %s: %w", h.URI, err)
		}
	}
	return nil
}

// Release gives the lock back.
func (l *Lock) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, files := range l.files {
		closeFiles(files)
		delete(l.files, name)
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Truncate(0)
		_ = f.Close()
	}
}

// inPlace reports whether locks are held, and in the files that others find.
func inPlace(files []*os.File) bool {
	for _, f := range files {
		there, err := os.Lstat(f.Name())
		held, heldErr := f.Stat()
		if err != nil || heldErr != nil || !os.SameFile(there, held) {
			return false
		}
	}
	return len(files) > 0
}
