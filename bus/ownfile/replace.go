package ownfile

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// renaming is called when the new file is whole, and not yet in the place of the old one. Tests replace it.
var renaming = func() {}

// Replace writes a file that only its owner can read, in a folder that is made where it is missing. At any moment, also when it
// is cut off by a power loss, the old file is there or the new one; what is left of one that was cut off is at [Unfinished],
// where no link is followed. Two must not write the same file at a time. An error names the file.
func Replace(path string, data []byte) error {
	dir, temp := filepath.Dir(path), Unfinished(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err //nolint:wrapcheck // names the folder
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err //nolint:wrapcheck // names the file
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		renaming()
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err //nolint:wrapcheck // names the file
	}
	return SyncFolder(dir)
}

// Unfinished is where Replace writes a file before it gets its name.
func Unfinished(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

// SyncFolder has it outlive a power loss that a file got its name there, or lost it.
func SyncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err //nolint:wrapcheck // names the folder
	}
	return errors.Join(f.Sync(), f.Close())
}
