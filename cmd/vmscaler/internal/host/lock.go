package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// Holder is the process that acts on a libvirt.
type Holder struct {
	PID     int    `json:"pid"`
	UID     int    `json:"uid"`
	Command string `json:"command"` // such as "vmscaler run"
	URI     string `json:"uri"`
	BusURL  string `json:"bus_url,omitempty"` // where its bus listens
	// StateDir is its state folder, where the credentials of its bus are if that is its own.
	StateDir string `json:"state_dir,omitempty"`
	// Groups are those that it acts for; null where it does not say.
	Groups []string  `json:"groups,omitempty"`
	Since  time.Time `json:"since"`
}

// LockedError reports that another process acts on the same libvirt.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	if e.Holder.PID == 0 {
		return fmt.Sprintf("%s acts on %s already", e.Holder.Command, e.Holder.URI)
	}
	return fmt.Sprintf("%s (process %d, since %s) acts on %s already", e.Holder.Command, e.Holder.PID,
		e.Holder.Since.Local().Format(time.DateTime), e.Holder.URI)
}

// Target is which libvirt is locked: what its URI is spelled like does not matter.
type Target struct {
	Names      []string // each is locked: of [a-z0-9-]
	SessionUID int      // of the user whose session it is; 0 for a host's
}

// lockFolders are where locks are.
type lockFolders struct {
	// shared is of all who may use the host's libvirt. own is of this user, and for those who cannot write to shared.
	shared, own string
	users       string // the own folders of users, by their ids
	group       string // whose members may use the host's libvirt
	single      bool   // shared is the only one
	euid        int
}

// LockFolder is the one of all who may use a host's libvirt. Root makes it, for the group where that is there.
const (
	LockFolder = "/run/vmscaler"
	lockGroup  = "libvirt"
	ownLocks   = "vmscaler" // below a user's runtime folder
)

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

func (l lockFolders) acquire(target Target, h Holder) (*Lock, error) {
	h.UID = l.euid
	lock := &Lock{folders: l, holder: h, files: map[string][]*os.File{}}
	if err := lock.Renew(target); err != nil {
		lock.Release()
		return nil, err
	}
	return lock, nil
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

// Describe writes who holds the lock, for the one that is refused.
func (l *Lock) Describe(h Holder) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.UID = l.folders.euid
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
		return nil, fmt.Errorf("no folder for it (%w): let root make one with `sudo install -d -m 2775 -g %s %s`", ownErr, lockGroup, l.shared)
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
		return nil, fmt.Errorf("%w: whether another user's vmscaler acts there cannot be seen; `sudo chgrp %s %s %s` if that may be known", err, lockGroup, l.shared, path)
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

// wholeFile is a lock for writing. It is of the kind that belongs to the open file, not to the process, and that can be
// looked for without taking it: whoever looks for the holder must not keep one from starting.
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

// FindHolder is the process that acts on one of the URIs, if there is one. A URI is compared as text, in one spelling:
// whoever looks for the process may have no right to ask libvirt.
func FindHolder(uris ...string) (Holder, bool) {
	return defaultLockFolders().find(uris)
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

// spelling is a URI as the user uid may write it, in the one way that libvirts of this machine are compared by.
func spelling(uri string, uid int) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	u.Scheme = strings.TrimSuffix(u.Scheme, "+unix")
	query := u.Query()
	socket := query.Get("socket")
	if u.Host == "" && uid == 0 && u.Path == "/session" && socket == "" {
		u.Path = "/system"
	}
	if dir := strings.TrimPrefix(filepath.Dir(socket), "/var"); socket == "" || u.Path == "/system" && dir == "/run/libvirt" {
		query.Del("socket")
		query.Del("mode")
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// readHolder is who a file of a lock that is held says that it is.
func readHolder(f *os.File, uri string) Holder {
	unknown := Holder{URI: uri, Command: "another vmscaler"}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 16<<10))
	if err != nil {
		return unknown
	}
	said := Holder{}
	switch {
	case json.Unmarshal(data, &said) != nil, said.PID <= 0, !printable(append(said.Groups, said.Command, said.URI, said.BusURL, said.StateDir)...),
		errors.Is(unix.Kill(said.PID, 0), unix.ESRCH): // what stands there is of one that has ended
		return unknown
	case said.URI == "":
		said.URI = uri
	}
	return said
}

// printable reports whether texts can go to a terminal as they are.
func printable(texts ...string) bool {
	for _, text := range texts {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return false
		}
	}
	return true
}
