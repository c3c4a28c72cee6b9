package actuator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Holder is the process that holds the lock of a libvirt URI.
type Holder struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // such as "vmscaler run"
	URI     string `json:"uri"`
	BusURL  string `json:"bus_url,omitempty"` // where its bus listens
	// StateDir is its state folder, where the credentials of its bus are if that is its own.
	StateDir string `json:"state_dir,omitempty"`
	// Groups are those that it acts for; null where it does not say.
	Groups []string  `json:"groups,omitempty"`
	Since  time.Time `json:"since"`
}

// LockedError says that another process acts on the same libvirt.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("%s acts on %s already", e.Holder.Command, e.Holder.URI)
	}
	return fmt.Sprintf("%s (process %d, since %s) acts on %s already", e.Holder.Command, e.Holder.PID,
		e.Holder.Since.Local().Format("15:04:05"), e.Holder.URI)
}

// Lock is held by the one process that acts on a libvirt URI. It ends with the process, however that ends.
type Lock struct{ file *os.File }

// LockPath is the lock's file for a libvirt URI. On a system URI all users of the host share it; on a session URI
// it is the user's own.
func LockPath(uri string) string {
	dir := "/run/lock" // writable for all, on Debian and Ubuntu
	if d := os.Getenv("VMSCALER_LOCK_DIR"); d != "" {
		dir = d // tests have a folder of their own
	} else if strings.Contains(uri, "/session") {
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("vmscaler-%d", os.Getuid()))
		if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
			dir = d
		}
	}
	sum := sha256.Sum256([]byte(uri))
	return filepath.Join(dir, "vmscaler-"+hex.EncodeToString(sum[:4])+".lock")
}

// Acquire takes the lock of h.URI, or returns a *LockedError that names the process that has it.
func Acquire(h Holder) (*Lock, error) {
	path := LockPath(h.URI)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock of %s: %w", h.URI, err)
	}
	f, err := openLock(path)
	if err != nil {
		return nil, fmt.Errorf("lock of %s: %w", h.URI, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &LockedError{readHolder(path, h.URI)}
		}
		return nil, fmt.Errorf("lock of %s: %s: %w", h.URI, path, err)
	}
	l := &Lock{f}
	return l, l.Describe(h)
}

// openLock opens the file for writing where that is allowed, and otherwise, when another user made it, for
// reading, which is enough to lock it.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	}
	if errors.Is(err, os.ErrPermission) {
		f, err = os.Open(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	return f, nil
}

// Describe writes who holds the lock, for the one that is refused. In a file of another user it cannot be written;
// the one that is refused then learns less.
func (l *Lock) Describe(h Holder) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("lock of %s: %w", h.URI, err)
	}
	if err := l.file.Truncate(0); err == nil {
		_, _ = l.file.WriteAt(data, 0)
	}
	return nil
}

// Release gives the lock back.
func (l *Lock) Release() {
	_ = l.file.Truncate(0)
	_ = l.file.Close()
}

// FindHolder is the process that holds the lock of one of the URIs, if there is one.
func FindHolder(uris ...string) (Holder, bool) {
	for _, uri := range uris {
		path := LockPath(uri)
		f, err := os.Open(path)
		if err != nil {
			continue // never locked
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return readHolder(path, uri), true
		}
	}
	return Holder{}, false
}

func readHolder(path, uri string) Holder {
	h := Holder{URI: uri, Command: "another vmscaler"}
	data, err := os.ReadFile(path)
	if err != nil {
		return h
	}
	said := h
	// In a file of another user the holder cannot write: what stands there can be of one that has ended.
	if json.Unmarshal(data, &said) != nil || said.PID <= 0 || errors.Is(unix.Kill(said.PID, 0), unix.ESRCH) {
		return h
	}
	return said
}
