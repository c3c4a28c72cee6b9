// Package ownfile opens files in places that no other user can change: what is read there is what this user, or root,
// has put there. It follows no link, waits for no FIFO, and knows nothing of what the files mean. What it writes is whole.
package ownfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// UnsafeError reports that others could have made, or could change, what is at a path.
type UnsafeError struct {
	Path string
	Why  string // such as "everyone may write to it (mode 0777)"
	UID  int    // its owner's
}

func (e *UnsafeError) Error() string { return e.Path + ": " + e.Why }

// place is what something is to what is opened.
type place int

const (
	itself   place = iota
	shared         // a folder of root's for a group
	onTheWay       // a folder above
)

// strangers reports why someone other than root and the user euid could change what this mode and owner describe; "" is
// nobody. A group whose number is its user's has no other members. The group of a shared folder of root's, or of one above,
// is one that root has chosen; and a folder above may be open to all where the sticky bit keeps each to what is its own.
func strangers(mode fs.FileMode, uid, gid, euid int, as place) string {
	perm := mode.Perm()
	switch {
	case uid != 0 && uid != euid:
		return fmt.Sprintf("it belongs to user id %d, want this user (%d) or root", uid, euid)
	case as == onTheWay && mode&fs.ModeSticky != 0:
		return ""
	case perm&0o002 != 0:
		return fmt.Sprintf("everyone may write to it (mode %#o); `chmod o-w` it", perm)
	case perm&0o020 != 0 && uid != gid && (uid != 0 || as == itself):
		return fmt.Sprintf("its group (id %d) may write to it (mode %#o); `chmod g-w` it", gid, perm)
	}
	return ""
}

// Folder is the path of a folder without links, in which nobody but root and the user euid can exchange or add files: it
// and all above it are theirs.
func Folder(path string, euid int) (string, error) { return folder(path, euid, itself) }

func folder(path string, euid int, as place) (string, error) {
	target, err := filepath.Abs(path)
	if err == nil {
		target, err = filepath.EvalSymlinks(target)
	}
	if err != nil {
		return "", fmt.Errorf("folder: %w", err)
	}
	names := []string{""}
	if target != "/" {
		names = append(names, strings.Split(target[1:], "/")...)
	}
	at := "/"
	for i, name := range names {
		at = filepath.Join(at, name)
		info, err := os.Lstat(at)
		if err != nil {
			return "", fmt.Errorf("folder: %w", err)
		}
		if !info.IsDir() {
			return "", &UnsafeError{Path: at, Why: "it is not a folder"}
		}
		here := as
		if i < len(names)-1 {
			here = onTheWay
		}
		if uid, gid, ok := owners(info); ok {
			if why := strangers(info.Mode(), uid, gid, euid, here); why != "" {
				return "", &UnsafeError{at, why, uid}
			}
		}
	}
	return target, nil
}

// MakeFolder is Folder for one that is made, with all above it, where it is missing.
func MakeFolder(path string, perm fs.FileMode, euid int) (string, error) {
	if err := os.MkdirAll(path, perm); err != nil {
		return "", fmt.Errorf("folder: %w", err)
	}
	return Folder(path, euid)
}

// MakeShared is MakeFolder, and allows a folder of root's that a group may write to.
func MakeShared(path string, perm fs.FileMode, euid int) (string, error) {
	if err := os.MkdirAll(path, perm); err != nil {
		return "", fmt.Errorf("folder: %w", err)
	}
	return folder(path, euid, shared)
}

// Open opens a regular file, with flags as of os.OpenFile, in a folder as of [Folder]. It must belong to the user euid or
// root, be writable by nobody else, and have one name only.
func Open(path string, flag int, perm fs.FileMode, euid int) (*os.File, error) {
	return open(path, flag, perm, euid, itself)
}

// OpenShared is Open in a folder as of [MakeShared]: where a group may write to it, the file may be of any of that group.
func OpenShared(path string, flag int, perm fs.FileMode, euid int) (*os.File, error) {
	return open(path, flag, perm, euid, shared)
}

func open(path string, flag int, perm fs.FileMode, euid int, as place) (*os.File, error) {
	dir, err := folder(filepath.Dir(path), euid, as)
	if err != nil {
		return nil, err
	}
	path = filepath.Join(dir, filepath.Base(path))
	f, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, perm)
	if errors.Is(err, unix.ELOOP) {
		return nil, &UnsafeError{Path: path, Why: "it is a link"}
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	if err := checkFile(f, dir, euid, as); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func checkFile(f *os.File, dir string, euid int, as place) error {
	info, err := f.Stat()
	if err != nil {
		return err //nolint:wrapcheck // names the file
	}
	above, err := os.Lstat(dir)
	if err != nil {
		return err //nolint:wrapcheck // names the folder
	}
	uid, gid, ok := owners(info)
	if !ok {
		return nil // no Unix
	}
	_, group, _ := owners(above)
	var why string
	switch stat, _ := info.Sys().(*syscall.Stat_t); {
	case !info.Mode().IsRegular():
		why = "it is not a regular file"
	case stat != nil && stat.Nlink > 1:
		why = fmt.Sprintf("it has %d names (hard links), want one", stat.Nlink)
	case as == shared && above.Mode().Perm()&0o020 != 0 && info.Mode().Perm()&0o002 == 0 &&
		(gid == group || info.Mode().Perm()&0o020 == 0):
		return nil // of one of the folder's group
	default:
		why = strangers(info.Mode(), uid, gid, euid, itself)
	}
	if why != "" {
		return &UnsafeError{f.Name(), why, uid}
	}
	return nil
}

// owners are the user and group that something belongs to.
func owners(info fs.FileInfo) (uid, gid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}
