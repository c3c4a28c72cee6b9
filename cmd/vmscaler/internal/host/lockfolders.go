package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// lockFolders are where locks are.
type lockFolders struct {
	// shared is of all who may use the host's libvirt. own is of this user, and for those who cannot write to shared.
	shared, own string
	users       string // the own folders of users, by their ids
	group       string // whose members may use the host's libvirt
	single      bool   // shared is the only one
	euid        int
}

func defaultLockFolders() lockFolders {
	f := lockFolders{shared: LockFolder, users: "/run/user", group: lockGroup, euid: os.Geteuid()}
	runtime, home := os.Getenv("XDG_RUNTIME_DIR"), ""
	if h, err := os.UserHomeDir(); err == nil {
		home = h
	}
	switch {
	case os.Getenv("VMSCALER_LOCK_DIR") != "":
		return lockFolders{shared: os.Getenv("VMSCALER_LOCK_DIR"), single: true, euid: f.euid} // of tests
	case f.euid == 0:
	case runtime != "":
		f.own = filepath.Join(runtime, ownLocks)
	case home != "":
		f.own = filepath.Join(home, ".local", "state", "vmscaler", "locks")
	}
	return f
}

func (l lockFolders) acquire(target Target, h Holder) (*Lock, error) {
	h.UID = l.euid
	lock := &Lock{folders: l, holder: h, files: map[string][]*os.File{}}
	if err := lock.Renew(target); err != nil {
		lock.Release()
		return nil, err
	}
	return lock, nil
}

// take locks a name. Who cannot write to the shared folder locks in an own one, and then looks at the shared one; root locks
// in the shared one, and then looks at those of the users. So of two that come at one time at least one sees the other.
func (l lockFolders) take(name string, session int, h Holder) (files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeFiles(files)
			files = nil
		}
	}()
	ownErr := errors.New("neither XDG_RUNTIME_DIR nor HOME is set")
	if l.own != "" {
		f, err := l.lockIn(l.own, name, 0o700, 0, h)
		switch {
		case err == nil:
			files = append(files, f)
		case errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, fs.ErrNotExist):
			ownErr = err // as in a container: the shared one may do
		default:
			return files, err
		}
	}
	f, err := l.lockShared(name, session, h)
	if err != nil {
		return files, err
	}
	if f != nil {
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf(
			"no folder for it (%w): let root make one with `sudo install -d -m 2775 -g %s %s`",
			ownErr,
			lockGroup,
			l.shared,
		)
	}
	return files, l.lookAtUsers(name, session, h)
}

// lockShared locks in the folder of all, and only looks there where this user may not write: nil then.
func (l lockFolders) lockShared(name string, session int, h Holder) (*os.File, error) {
	if l.euid == 0 || l.single {
		if err := l.makeShared(); err != nil {
			return nil, err
		}
		return l.lockIn(l.shared, name, 0o755, session, h)
	}
	if _, err := os.Lstat(l.shared); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // there is none
	}
	f, err := l.lockIn(l.shared, name, 0o755, 0, h)
	if !errors.Is(err, fs.ErrPermission) {
		return f, err
	}
	path := filepath.Join(l.shared, name+".lock")
	switch held, err := l.look(path); {
	case errors.Is(err, fs.ErrNotExist): // only those who may write there could make it
		return nil, nil // nobody holds it
	case err != nil:
		return nil, fmt.Errorf(
			"%w: whether another user's vmscaler acts there cannot be seen; `sudo chgrp %s %s %s` if that may be known",
			err,
			lockGroup,
			l.shared,
			path,
		)
	case held != nil:
		return nil, &LockedError{*held}
	}
	return nil, nil // nobody holds it
}

// makeShared makes root's folder for the group that may use libvirt, where it is there.
func (l lockFolders) makeShared() error {
	err := os.Mkdir(l.shared, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil // its owner has said who may write there
	}
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	mode := fs.FileMode(0o755) // without the group it is root's alone
	if gid, ok := groupID(l.group); ok && l.euid == 0 && os.Chown(l.shared, 0, gid) == nil {
		mode = fs.ModeSetgid | 0o775
	}
	if err := os.Chmod(l.shared, mode); err != nil { // the umask
		return fmt.Errorf("make folder: %w", err)
	}
	return nil
}

// lockIn makes and locks a file that nobody can open who may not write to its folder; but root's on the session of a user may
// be read by that user.
func (l lockFolders) lockIn(dir, name string, perm fs.FileMode, session int, h Holder) (*os.File, error) {
	dir, err := ownfile.MakeShared(dir, perm, l.euid)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the folder
	}
	mode := fs.FileMode(0o600)
	if info.Mode()&fs.ModeSetgid != 0 && info.Mode().Perm()&0o020 != 0 {
		mode = 0o660
	}
	path := filepath.Join(dir, name+".lock")
	f, err := ownfile.OpenShared(path, os.O_RDWR|os.O_CREATE, mode, l.euid)
	if err != nil {
		return nil, unsafeLock(err)
	}
	if gid, ok := groupOf(session); ok && l.euid == 0 && f.Chown(-1, gid) == nil {
		mode = 0o640
	}
	if info, err := f.Stat(); err == nil && info.Mode().Perm() != mode {
		_ = f.Chmod(mode) // the umask; only its owner can
	}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile())
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = &LockedError{readHolder(f, h.URI)}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	if !inPlace([]*os.File{f}) {
		_ = f.Close()
		return nil, fmt.Errorf("%s was exchanged in the meantime: try again", path)
	}
	return f, nil
}

// wholeFile is a write lock of the kind that belongs to the open file description (OFD), not to the process, and that can be
// tested without acquiring it: looking for the holder must not keep one from starting.
func wholeFile() *unix.Flock_t { return &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart} }

// unsafeLock adds what to do.
func unsafeLock(err error) error {
	var unsafe *ownfile.UnsafeError
	if errors.As(err, &unsafe) && strings.HasSuffix(unsafe.Path, ".lock") {
		return fmt.Errorf("%w: vmscaler did not make it so; look who did, and remove it", err)
	}
	return err
}

// groupOf is the first group of a user, but not root's.
func groupOf(uid int) (int, bool) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil || uid == 0 {
		return 0, false
	}
	gid, err := strconv.Atoi(u.Gid)
	return gid, err == nil
}

// lookAtUsers refuses what a user holds who cannot write to the shared folder: of a session its user, of the host's those who
// may use it. Anybody else could keep vmscaler from starting.
func (l lockFolders) lookAtUsers(name string, session int, h Holder) error {
	if l.euid != 0 || l.users == "" {
		return nil
	}
	var uids []string
	if session != 0 {
		uids = []string{strconv.Itoa(session)}
	} else {
		entries, err := os.ReadDir(l.users)
		if err != nil {
			return nil //nolint:nilerr // no users have such folders
		}
		for _, e := range entries {
			if isMember(e.Name(), l.group) {
				uids = append(uids, e.Name())
			}
		}
	}
	for _, uid := range uids {
		id, err := strconv.Atoi(uid)
		if err != nil {
			continue
		}
		theirs := lockFolders{euid: id}
		if held, err := theirs.look(filepath.Join(l.users, uid, ownLocks, name+".lock")); err == nil && held != nil {
			held.URI = h.URI
			return &LockedError{*held}
		}
	}
	return nil
}

func groupID(name string) (int, bool) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	gid, err := strconv.Atoi(g.Gid)
	return gid, err == nil
}

// isMember reports whether a user, by id, is in a group.
func isMember(uid, group string) bool {
	g, err := user.LookupGroup(group)
	if err != nil {
		return false
	}
	u, err := user.LookupId(uid)
	if err != nil {
		return false
	}
	ids, err := u.GroupIds()
	return err == nil && slices.Contains(ids, g.Gid)
}

// look is who holds the lock in a file, nil nobody.
func (l lockFolders) look(path string) (*Holder, error) {
	f, err := ownfile.OpenShared(path, os.O_RDONLY, 0, l.euid)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lock := wholeFile()
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, lock); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if lock.Type == unix.F_UNLCK {
		return nil, nil // nobody
	}
	h := readHolder(f, "")
	return &h, nil
}

func (l lockFolders) find(uris []string) (Holder, bool) {
	var held []Holder
	for _, dir := range []string{l.shared, l.own} {
		files, err := filepath.Glob(filepath.Join(dir, "*.lock"))
		if err != nil || dir == "" {
			continue
		}
		for _, path := range files {
			if h, err := l.look(path); err == nil && h != nil {
				held = append(held, *h)
			}
		}
	}
	for _, uri := range uris {
		for _, h := range held {
			// A session is its user's, and only a URI with a socket says whose.
			same := spelling(uri, l.euid) == spelling(h.URI, h.UID)
			if same && (h.UID == l.euid || !strings.HasPrefix(spelling(uri, l.euid), "qemu:///session")) {
				return h, true
			}
		}
	}
	return Holder{}, false
}
