package fetch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// entry is the set of files that the cache has for one URL.
type entry struct {
	path       string // the complete file
	origin     string // JSON: which version of the file it is
	part       string // the partial file, while the download is incomplete
	partOrigin string
	lock       string
}

// There is how many bytes of the file at a URL a cache folder has, of all of it or of a part.
func There(dir, address string) int64 {
	at := entryOf(dir, address)
	for _, path := range []string{at.path, at.part} {
		if st, err := os.Stat(path); err == nil {
			return st.Size()
		}
	}
	return 0
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// entryOf names the files by a hash of the URL, which is unique, and by its last element, which a person recognizes.
func entryOf(dir, url string) entry {
	const maxName = 100
	sum := sha256.Sum256([]byte(url))
	name := unsafeInName.ReplaceAllString(BaseName(url), "_")
	path := filepath.Join(dir, hex.EncodeToString(sum[:6])+"-"+name[:min(len(name), maxName)])
	return entry{
		path: path, origin: path + ".origin", part: path + ".part", partOrigin: path + ".part.origin", lock: path + ".lock",
	}
}

// origin says which version of a file is in the cache, complete or partial.
type origin struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"` // strong, or ""
	LastModified string `json:"last_modified,omitempty"`
	Size         int64  `json:"size,omitempty"` // 0: unknown
}

// validator identifies the version for the If-Range header; "" if the server sent nothing to identify it by.
func (o origin) validator() string {
	if o.ETag != "" {
		return o.ETag
	}
	return o.LastModified
}

// openFolder makes the cache folder. It refuses one that others can write to: they could plant files there that become templates.
func openFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the cache folder: %w", err)
	}
	st, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("look at the cache folder: %w", err)
	}
	const others = 0o022
	owner := st.Sys().(*syscall.Stat_t).Uid
	if !st.IsDir() || int(owner) != os.Geteuid() || st.Mode().Perm()&others != 0 {
		return fmt.Errorf("cache folder %s: found %s of user %d, want a folder of user %d that nobody else may write to",
			dir, st.Mode(), owner, os.Geteuid())
	}
	return nil
}

// errLocked is returned while another process has the entry locked.
var errLocked = errors.New("another process fetches it; wait for that one to end")

// hold locks an entry until release is called.
func (e entry) hold() (release func() error, err error) {
	for {
		f, err := os.OpenFile(e.lock, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(errLocked, f.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", e.lock, err), f.Close())
		}
		if same, err := isStill(f, e.lock); err != nil || !same {
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, err
			}
			continue // the previous holder has deleted the lock file
		}
		return func() error { return errors.Join(os.Remove(e.lock), f.Close()) }, nil
	}
}

// isStill reports whether an open file still has its name: a lock on a deleted file excludes nobody.
func isStill(f *os.File, path string) (bool, error) {
	open, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(open, there), err
}

// readOrigin returns the zero value if there is no origin, or an unreadable one: then the file is downloaded again.
func readOrigin(path string) origin {
	var o origin
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &o) != nil {
		return origin{}
	}
	return o
}

func (o origin) write(path string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return ownfile.Replace(path, text)
}

// drop deletes files; those that do not exist are no error.
func drop(paths ...string) error {
	var all error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// freeIn returns the free space of a folder's file system, in bytes, for users without privileges.
func freeIn(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
