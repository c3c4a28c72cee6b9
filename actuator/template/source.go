package template

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// headSize is how much of an image is looked at: the header of a format, or the partition table of a disk.
const headSize = 64 * 1024

// A source is an image file that is to become a template. It is open from its first look to its last byte, so that what was
// looked at is what is sent.
type source struct {
	file    *os.File
	path    string // as the user gave it
	size    int64
	changed time.Time
	head    []byte // its first bytes, which were judged, and are sent as they were then
	disk    diskFile
	origin  *record // what is kept of where it came from; nil: nothing is
}

// openSource opens an image and reads what kind it is. A symbolic link is followed, as it is with every other program that a
// person gives a file to. What is no regular file is never opened, since that can wait forever (a FIFO) or do something (a
// device).
func openSource(path string) (*source, error) { return openSourceAs(path, path) }

// openSourceAs is openSource of a file that was made of another one, which is what errors name.
func openSourceAs(path, called string) (*source, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := mustBeRegular(path, st); err != nil {
		return nil, err
	}
	// It may have been replaced since; O_NONBLOCK is for a FIFO then, and means nothing for a regular file.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	s := &source{file: f, path: called}
	if err := s.look(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *source) look() error {
	st, err := s.file.Stat()
	if err != nil {
		return err
	}
	if err := mustBeRegular(s.path, st); err != nil {
		return err
	}
	s.size, s.changed = st.Size(), st.ModTime()
	s.head = make([]byte, min(headSize, s.size))
	if _, err := s.file.ReadAt(s.head, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read image: %w", err)
	}
	s.disk, err = inspect(s.head, s.file, s.size)
	var wrong *formatError
	switch {
	case errors.As(err, &wrong) && wrong.convert != "":
		return fmt.Errorf("%s: %w; convert it first: qemu-img convert -f %s -O qcow2 %q NEW.qcow2", s.path, err, wrong.convert, s.path)
	case err != nil:
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}

func (s *source) close() error { return s.file.Close() }

// reader is all of the image, with the head that was judged.
func (s *source) reader() io.Reader {
	head := int64(len(s.head))
	return io.MultiReader(bytes.NewReader(s.head), io.NewSectionReader(s.file, head, s.size-head))
}

// unchanged reports whether the file is still the one that was looked at, as when a VM writes to it all the while.
func (s *source) unchanged() error {
	st, err := s.file.Stat()
	if err != nil {
		return err
	}
	if st.Size() != s.size || !st.ModTime().Equal(s.changed) {
		return fmt.Errorf("%s was changed while it was read; stop what writes to it, and try again", s.path)
	}
	return nil
}

func mustBeRegular(path string, st fs.FileInfo) error {
	var kind, remedy string
	switch st.Mode().Type() {
	case 0:
		return nil
	case fs.ModeDir:
		kind = "a folder"
	case fs.ModeNamedPipe:
		kind = "a named pipe"
		remedy = "; write what comes from it into a file first"
	case fs.ModeDevice:
		kind = "a block device"
		remedy = fmt.Sprintf("; copy it into a file first: qemu-img convert -f raw -O qcow2 %q NEW.qcow2", path)
	case fs.ModeDevice | fs.ModeCharDevice:
		kind = "a character device"
	case fs.ModeSocket:
		kind = "a socket"
	default:
		kind = "of an unknown kind"
	}
	return fmt.Errorf("%s %w%s", path, &formatError{reason: "is " + kind + ", not a regular file"}, remedy)
}
