package template

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template/internal/ext4"
)

// The bounds of a look into an image: a system's files are found by some dozens of reads.
const (
	insideTime  = 20 * time.Second
	insideReads = 400
	insideBlock = 64 * 1024
)

// insight is what was seen in an image's file systems.
type insight struct {
	cloud CloudInit
	baked []string // what each VM would have in common, with the remedy; and what could not be looked into
}

// lookInside reports what an image has baked in that each of its VMs would have, and whether it has cloud-init, as far as its
// file systems can be read. That it could not look is reported, too, and keeps nobody from using the image: only the end of ctx
// is an error.
func lookInside(ctx context.Context, s *source, dir string) (insight, error) {
	limited, cancel := context.WithTimeout(ctx, insideTime)
	defer cancel()
	disk := &diskReader{capacity: int64(s.disk.capacity), blocks: map[int64][]byte{}}
	disk.read = func(at, size int64) ([]byte, error) { return diskBytes(limited, s, dir, uint64(at), uint64(size)) }
	found := inside(disk)
	if ctx.Err() != nil {
		return insight{}, context.Cause(ctx)
	}
	return found, nil
}

// diskReader reads the disk in an image by blocks, so many at most, and keeps them.
type diskReader struct {
	read     func(at, size int64) ([]byte, error)
	capacity int64
	blocks   map[int64][]byte
}

func (d *diskReader) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at >= d.capacity {
		return 0, io.EOF
	}
	done := 0
	for done < len(p) {
		n := (at + int64(done)) / insideBlock
		b, ok := d.blocks[n]
		if !ok {
			if len(d.blocks) == insideReads {
				return done, fmt.Errorf("found no end after %d reads", insideReads)
			}
			var err error
			if b, err = d.read(n*insideBlock, insideBlock); err != nil {
				return done, err
			}
			d.blocks[n] = b
		}
		from := (at + int64(done)) % insideBlock
		if from >= int64(len(b)) {
			return done, io.EOF
		}
		done += copy(p[done:], b[from:])
	}
	return done, nil
}

// inside looks for a system's files in each file system of a disk.
func inside(disk *diskReader) insight {
	head := make([]byte, min(headSize, disk.capacity))
	if _, err := disk.ReadAt(head, 0); err != nil {
		return insight{baked: []string{"its file systems were not looked into: " + err.Error()}}
	}
	parts := layoutOf(head).Partitions
	if len(parts) == 0 {
		parts = []Partition{{Size: uint64(disk.capacity)}} // a file system on the whole disk
	}
	var found insight
	var unseen []string
	system := false
	for _, p := range parts {
		place := fmt.Sprintf("partition %d", p.Number)
		if p.Number == 0 {
			place = "the disk"
		}
		kind, seen, err := insidePartition(io.NewSectionReader(disk, int64(p.Start), int64(p.Size)))
		switch {
		case errors.Is(err, fs.ErrNotExist), kind == "", kind == "vfat", kind == "swap":
			// no system's root, or nothing that is known
		case err != nil:
			unseen = append(unseen, fmt.Sprintf("%s (%s): %s", place, kind, err))
		default:
			system = true
			found.baked = append(found.baked, seen.baked...)
			if found.cloud != CloudInitPresent { // one system of several with it is enough
				found.cloud = seen.cloud
			}
		}
	}
	switch {
	case system:
		return found
	case len(unseen) > 0:
		found.baked = []string{"its file systems were not looked into: " + strings.Join(unseen, ", ") + "; " + uniqueRemedy}
	default:
		found.baked = []string{"no system was found in its file systems to look into; " + uniqueRemedy}
	}
	return found
}

const uniqueRemedy = "see to it that no machine id and no SSH host keys are in it"

// insidePartition looks into what begins in part; the error is fs.ErrNotExist where that is no system's root.
func insidePartition(part *io.SectionReader) (kind string, seen insight, err error) {
	first := make([]byte, min(fileSystemHead, part.Size()))
	if _, err := part.ReadAt(first, 0); err != nil && !errors.Is(err, io.EOF) {
		return "unknown", seen, err
	}
	kind, _ = fileSystemOf(first)
	if !strings.HasPrefix(kind, "ext") {
		return kind, seen, ext4.ErrUnsupported
	}
	e, err := ext4.Open(part)
	if err != nil {
		return kind, seen, err
	}
	if _, err := e.ReadNames("/etc"); err != nil {
		return kind, seen, err
	}
	return kind, insight{cloud: cloudInitIn(e), baked: bakedIn(e)}, nil
}

// reader is what is asked of a file system.
type reader interface {
	ReadFile(path string, limit int64) ([]byte, error)
	ReadNames(path string) ([]string, error)
}

// bakedIn reports what of a system's files must be unique, and is not.
func bakedIn(r reader) []string {
	const (
		idFile  = "/etc/machine-id"
		idLimit = 4096
		sshDir  = "/etc/ssh"
		sysprep = "virt-sysprep --operations machine-id,ssh-hostkeys -a IMAGE does it"
	)
	var found []string
	id, err := r.ReadFile(idFile, idLimit)
	switch text := strings.TrimSpace(string(id)); {
	case errors.Is(err, fs.ErrNotExist), err == nil && (text == "" || text == "uninitialized"):
	case err != nil:
		found = append(found, fmt.Sprintf("%s was not looked into: %s; it must be empty", idFile, err))
	default:
		found = append(found, fmt.Sprintf("%s is filled, so all of its VMs would have the same, and by it mostly the same address; "+
			"empty it in the image (truncate -s 0 %s), and import that: %s", idFile, idFile, sysprep))
	}
	names, err := r.ReadNames(sshDir)
	keys := slices.DeleteFunc(names, func(n string) bool {
		return !strings.HasPrefix(n, "ssh_host_") || !strings.HasSuffix(n, "_key")
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(keys) == 0:
	case err != nil:
		found = append(found, fmt.Sprintf("%s was not looked into: %s; it must have no ssh_host_*_key", sshDir, err))
	default:
		slices.Sort(keys)
		found = append(found, fmt.Sprintf("%s has host keys (%s), which all of its VMs would have unless cloud-init makes new ones; "+
			"delete them in the image (rm %s/ssh_host_*), and import that: %s", sshDir, strings.Join(keys, ", "), sshDir, sysprep))
	}
	return found
}

var _ reader = (*ext4.FS)(nil)
