package template

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/checksum"
	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
	"github.com/vmscaler/vmscaler/actuator/template/internal/unpack"
)

// Image is what a template is imported from.
type Image struct {
	File   string // on this machine
	Source string // where it was had from, for the template's record; "": File

	Digests checksum.Digests // what those of its file are to be, as it is published; any that is not known
}

// Report is called with how an import goes. Each may be nil.
type Report struct {
	Step     func(what string)                    // before each step
	Progress func(what string, done, total int64) // bytes of what takes long
	Warn     func(what string)                    // what keeps nobody from using the template, and is to be known
}

func (r Report) step(what string) {
	if r.Step != nil {
		r.Step(what)
	}
}

func (r Report) warn(what string) {
	if r.Warn != nil {
		r.Warn(what)
	}
}

func (r Report) progress(what string) func(done, total int64) {
	if r.Progress == nil {
		return func(int64, int64) {}
	}
	return func(done, total int64) { r.Progress(what, done, total) }
}

// maxUnpacked is how large a packed image may become, holes included.
const maxUnpacked = 256 << 30

// Import makes a template of a disk image file that the user has: qcow2 as it is; raw, VMDK, VDI, VHD and VHDX converted on the
// way; each may be packed by gzip, xz or zstd. The file itself is only read. Whoever made the image, it is refused unless it is
// whole, needs nothing but itself, and has what a BIOS or UEFI starts; and before anything is written, the room for it is looked
// for. What was written is gone again when it fails, or ctx ends.
func Import(ctx context.Context, conn *libvirt.Connect, to Target, image Image, report Report) (Info, error) {
	i := importing{conn: conn, to: to, image: image, report: report, maxUnpacked: maxUnpacked}
	if err := i.run(ctx); err != nil {
		return Info{}, fmt.Errorf("import template %s: %w", to.Name, err)
	}
	return Lookup(conn, to.Pool, to.Name)
}

// importing is one import.
type importing struct {
	conn        *libvirt.Connect
	to          Target
	image       Image
	report      Report
	maxUnpacked int64

	dir string // for what is there for a while
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
	origin, err := i.origin(ctx, s)
	if err != nil {
		return err
	}
	image, err := i.unpacked(ctx, s)
	if err != nil {
		return err
	}
	origin.SourceFormat = image.disk.format
	if image != s {
		origin.SourceFormat += "." + string(s.disk.packed)
		defer func() { err = errors.Join(err, image.close()) }()
	}
	need, by, err := i.check(ctx, image)
	if err != nil {
		return err
	}
	origin.Firmware = by
	final, err := i.converted(ctx, image, need)
	if err != nil {
		return err
	}
	if final != image {
		defer func() { err = errors.Join(err, final.close()) }()
	}
	seen, err := lookInside(ctx, final, i.dir)
	if err != nil {
		return err
	}
	for _, w := range seen.baked {
		i.report.warn(w)
	}
	origin.CloudInit = seen.cloud
	final.origin = &origin
	i.report.step("uploading")
	return uploadSource(ctx, i.conn, i.to, final, i.report.progress("uploading"))
}

// origin is what is to be kept of where an image came from. The error is also that its digest is another one than it should be.
func (i *importing) origin(ctx context.Context, s *source) (record, error) {
	from := i.image.Source
	if from == "" {
		var err error
		if from, err = filepath.Abs(s.path); err != nil {
			return record{}, err
		}
	}
	sums := checksum.NewDigester()
	if _, err := io.Copy(sums, counted(ctx, s.reader(), s.size, i.report.progress("reading"))); err != nil {
		return record{}, fmt.Errorf("%s: %w", s.path, err)
	}
	found := sums.Digests()
	if wrong := found.Differs(i.image.Digests); wrong != "" {
		return record{}, fmt.Errorf("%s is not the file that was published: %s", s.path, wrong)
	}
	return record{Source: from, SourceSHA256: found.SHA256, Imported: time.Now().UTC().Truncate(time.Second)}, nil
}

// unpacked is the image in a packed file; that itself if it is none.
func (i *importing) unpacked(ctx context.Context, s *source) (*source, error) {
	if s.disk.packed == unpack.None {
		return s, nil
	}
	i.report.step("unpacking")
	path := filepath.Join(i.dir, "unpacked")
	out, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	in := counted(ctx, s.reader(), s.size, i.report.progress("unpacking"))
	_, err = unpack.File(ctx, s.disk.packed, in, out, unpack.Bounds{
		Size: i.maxUnpacked, Room: func() (int64, error) { return room(i.dir, i.to.keep()) },
	})
	err = errors.Join(err, out.Close())
	switch {
	case errors.Is(err, unpack.ErrTooLarge):
		return nil, fmt.Errorf("%s: %w; set TMPDIR to a folder with more room, or unpack it elsewhere", s.path, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w; get it again, and compare its size (%d bytes) and checksum", s.path, err, s.size)
	}
	if err := s.unchanged(); err != nil {
		return nil, err
	}
	image, err := openSourceAs(path, s.path)
	if err != nil {
		return nil, err
	}
	if image.disk.packed != unpack.None {
		return nil, errors.Join(fmt.Errorf("%s is packed twice: in the %s there is a %s; unpack it first",
			s.path, s.disk.kind(), image.disk.kind()), image.close())
	}
	return image, nil
}

// check looks at an image, and for the room that it will take. It tells how many bytes the image has as qcow2, at most, and what
// starts it.
func (i *importing) check(ctx context.Context, s *source) (need uint64, by Firmware, err error) {
	p, err := openPool(i.conn, i.to.Pool)
	if err != nil {
		return 0, "", err
	}
	defer p.Free()
	need = uint64(s.size)
	if s.disk.format != "qcow2" {
		if s.disk.format != "raw" {
			if err := checkForeign(ctx, s); err != nil {
				return 0, "", err
			}
		}
		if need, err = convertedSize(ctx, s); err != nil {
			return 0, "", err
		}
		keep := uint64(0)
		if sameFileSystem(i.dir, poolFolder(p)) {
			keep = i.to.keep() + need // both are there for a while
		}
		if err := folderFits(i.dir, need, keep); err != nil {
			return 0, "", fmt.Errorf("%s: %w", s.path, err)
		}
	}
	if err := poolFits(ctx, p, i.to.Pool, need, i.to.keep()); err != nil {
		return 0, "", fmt.Errorf("%s: %w", s.path, err)
	}
	if s.disk.format == "qcow2" {
		if err := checkQcow2(ctx, s); err != nil {
			return 0, "", err
		}
	}
	head, err := bootSectors(ctx, s, i.dir)
	if err != nil {
		return 0, "", err
	}
	if by, err = firmwareOf(head); err != nil {
		return 0, "", fmt.Errorf("%s %w", s.path, err)
	}
	return need, by, nil
}

// converted is an image as qcow2; that itself if it is so. The format is always given: were QEMU to guess, a guest could have
// written another format's header into its first sector.
func (i *importing) converted(ctx context.Context, s *source, need uint64) (*source, error) {
	if s.disk.format == "qcow2" {
		return s, nil
	}
	i.report.step("converting")
	out := filepath.Join(i.dir, "disk.qcow2")
	const more = 64 * mibBytes // in case that it is measured otherwise than it is written
	progress := i.report.progress("converting")
	done := &percents{tell: func(percent float64) { progress(int64(percent/100*float64(need)), int64(need)) }}
	err := convertLimits(need+more).qemuImgTo(ctx, s.file, done, "convert", "-p", "-O", "qcow2", imageSpec(s.disk.format), out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	if err := s.unchanged(); err != nil {
		return nil, err
	}
	return openSourceAs(out, s.path)
}
