package template

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

// Image is what a template is imported from.
type Image struct {
	File   string // on this machine
	Source string // where it was had from, for the template's record; "": File
}

// Report is told how an import goes. Each may be nil.
type Report struct {
	Step     func(what string)       // before each step
	Progress func(done, total int64) // bytes of the upload
	Warn     func(what string)       // what keeps nobody from using the template, and is to be known
}

func (r Report) step(what string) {
	if r.Step != nil {
		r.Step(what)
	}
}

// Import makes a template of a disk image file that the user has: qcow2 as it
// is, raw converted on the way. The file itself is only read. Whoever made the image, it is refused unless it is whole, needs
// nothing but itself, and has what a BIOS or UEFI starts; and before anything is written, the room for it is looked for. What was
// written is gone again when it fails, or ctx ends.
func Import(ctx context.Context, conn *libvirt.Connect, to Target, image Image, report Report) (Info, error) {
	i := importing{conn: conn, to: to, image: image, report: report}
	if err := i.run(ctx); err != nil {
		return Info{}, fmt.Errorf("import template %s: %w", to.Name, err)
	}
	return Lookup(conn, to.Pool, to.Name)
}

// importing is one import.
type importing struct {
	conn   *libvirt.Connect
	to     Target
	image  Image
	report Report
	dir    string // for what is there for a while
}

func (i *importing) run(ctx context.Context) (err error) {
	s, err := openSource(i.image.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := refuseExisting(i.conn, i.to.Pool, i.to.Name); err != nil {
		return err
	}
	if err := hosttool.Check([]hosttool.Tool{{Name: "qemu-img", Package: "qemu-utils"}}, hosttool.Find); err != nil {
		return err
	}
	if i.dir, err = os.MkdirTemp("", "vmscaler-import-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(i.dir)) }()

	i.report.step("checking")
	by, err := i.check(ctx, s)
	if err != nil {
		return err
	}
	origin, err := i.origin(ctx, s, by)
	if err != nil {
		return err
	}
	final := s
	if s.disk.format == "raw" {
		i.report.step("converting")
		if final, err = toQcow2(ctx, s, i.dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, final.close()) }()
	}
	final.origin = &origin
	i.report.step("uploading")
	return uploadSource(ctx, i.conn, i.to, final, i.report.Progress)
}

// origin is what is to be kept of where an image came from.
func (i *importing) origin(ctx context.Context, s *source, by Firmware) (record, error) {
	from := i.image.Source
	if from == "" {
		var err error
		if from, err = filepath.Abs(s.path); err != nil {
			return record{}, err
		}
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, &untilDone{ctx, s.reader()}); err != nil {
		return record{}, fmt.Errorf("%s: %w", s.path, err)
	}
	return record{
		Source: from, SourceFormat: s.disk.format, SourceSHA256: hex.EncodeToString(digest.Sum(nil)),
		Imported: time.Now().UTC().Truncate(time.Second), Firmware: by,
	}, nil
}

// untilDone reads until ctx ends.
type untilDone struct {
	ctx context.Context
	in  io.Reader
}

func (r *untilDone) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.in.Read(p)
}

// check looks at an image, and for the room that it will take. It tells what starts it.
func (i *importing) check(ctx context.Context, s *source) (Firmware, error) {
	p, err := openPool(i.conn, i.to.Pool)
	if err != nil {
		return "", err
	}
	defer p.Free()
	need := uint64(s.size)
	if s.disk.format == "raw" {
		if need, err = convertedSize(ctx, s); err != nil {
			return "", err
		}
		keep := uint64(0)
		if sameFileSystem(i.dir, poolFolder(p)) {
			keep = i.to.keep() + need // both are there for a while
		}
		if err := folderFits(i.dir, need, keep); err != nil {
			return "", fmt.Errorf("%s: %w", s.path, err)
		}
	}
	if err := poolFits(ctx, p, i.to.Pool, need, i.to.keep()); err != nil {
		return "", fmt.Errorf("%s: %w", s.path, err)
	}
	if s.disk.format == "qcow2" {
		if err := checkQcow2(ctx, s); err != nil {
			return "", err
		}
	}
	head, err := bootSectors(ctx, s, i.dir)
	if err != nil {
		return "", err
	}
	by, err := firmwareOf(head)
	if err != nil {
		return "", fmt.Errorf("%s %w", s.path, err)
	}
	return by, nil
}

// toQcow2 converts a raw image. The format is always given: were QEMU to guess,
// a guest could have written another format's header into its first sector.
func toQcow2(ctx context.Context, raw *source, dir string) (*source, error) {
	out := filepath.Join(dir, "disk.qcow2")
	err := hosttool.RunWith(ctx, hosttool.Command{
		Name: "qemu-img", Args: []string{"convert", "-f", "raw", "-O", "qcow2", sourcePath, out}, Files: []*os.File{raw.file},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", raw.path, err)
	}
	if err := raw.unchanged(); err != nil {
		return nil, err
	}
	return openSource(out)
}
