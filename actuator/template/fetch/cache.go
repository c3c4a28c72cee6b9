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
)

// entry is where one address has its files in the cache.
type entry struct {
	path       string // the whole file
	origin     string // what the server said of that
	part       string // what there is of it while it is not whole
	partOrigin string
	lock       string
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// entryOf names files by the address, and by what a person recognizes.
func entryOf(dir, url string) entry {
	const maxName = 100
	sum := sha256.Sum256([]byte(url))
	name := unsafeInName.ReplaceAllString(BaseName(url), "_")
	path := filepath.Join(dir, hex.EncodeToString(sum[:6])+"-"+name[:min(len(name), maxName)])
	return entry{
		path: path, origin: path + ".origin", part: path + ".part", partOrigin: path + ".part.origin", lock: path + ".lock",
	}
}

// origin is what is known of a file in the cache, whole or not.
type origin struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"` // a strong one
	LastModified string `json:"last_modified,omitempty"`
	Size         int64  `json:"size,omitempty"` // 0: unknown
}

// validator is what tells the server which version of a file is meant; "" where there is nothing.
func (o origin) validator() string {
	if o.ETag != "" {
		return o.ETag
	}
	return o.LastModified
}

// openFolder makes the cache folder, in which nobody else may put anything.
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

// errBusy is that another process has the entry.
var errBusy = errors.New("another process fetches it; wait for that one to end")

// hold takes the lock of an entry until release is called.
func (e entry) hold() (release func() error, err error) {
	for {
		f, err := os.OpenFile(e.lock, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(errBusy, f.Close())
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", e.lock, err), f.Close())
		}
		if same, err := isStill(f, e.lock); err != nil || !same {
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, err
			}
			continue // the one before has deleted it meanwhile
		}
		return func() error { return errors.Join(os.Remove(e.lock), f.Close()) }, nil
	}
}

// isStill reports whether an open file has its name yet.
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

// readOrigin returns nothing where there is none, or none that can be read: the file is fetched again then.
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
	temp := path + ".new"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

// drop deletes what there is of files, and is content where there is nothing.
func drop(paths ...string) error {
	var all error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			all = errors.Join(all, err)
		}
	}
	return all
}

// freeIn is how many bytes may be written to a folder.
func freeIn(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * st.Bsize, nil
}
