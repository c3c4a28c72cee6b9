package template

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

// Import makes a template of a disk image file that the user has: qcow2 as it
// is, raw converted on the way. The file itself is only read. Whoever made the image, it is refused unless it is whole, needs nothing
// but itself, and has what a BIOS starts; and before anything is written, the room for it is looked for. What was written is gone
// again when it fails, or ctx ends.
//
// step is told what is done, before each step of it; it and progress may be nil.
func Import(
	ctx context.Context,
	conn *libvirt.Connect,
	to Target,
	file string,
	step func(string),
	progress func(done, total int64),
) error {
	if step == nil {
		step = func(string) {}
	}
	if err := importImage(ctx, conn, to, file, step, progress); err != nil {
		return fmt.Errorf("import template %s: %w", to.Name, err)
	}
	return nil
}

func importImage(
	ctx context.Context,
	conn *libvirt.Connect,
	to Target,
	file string,
	step func(string),
	progress func(done, total int64),
) (err error) {
	s, err := openSource(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := refuseExisting(conn, to.Pool, to.Name); err != nil {
		return err
	}
	if err := hosttool.Check([]hosttool.Tool{{Name: "qemu-img", Package: "qemu-utils"}}, hosttool.Find); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "vmscaler-import-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	step("checking")
	if err := check(ctx, conn, to, s, dir); err != nil {
		return err
	}
	image := s
	if s.disk.format == "raw" {
		step("converting")
		if image, err = toQcow2(ctx, s, dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, image.close()) }()
	}
	step("uploading")
	return uploadSource(ctx, conn, to, image, progress)
}

// check looks at an image, and for the room that it will take.
func check(ctx context.Context, conn *libvirt.Connect, to Target, s *source, dir string) error {
	p, err := openPool(conn, to.Pool)
	if err != nil {
		return err
	}
	defer p.Free()
	need := uint64(s.size)
	if s.disk.format == "raw" {
		if need, err = convertedSize(ctx, s); err != nil {
			return err
		}
		keep := uint64(0)
		if sameFileSystem(dir, poolFolder(p)) {
			keep = to.keep() + need // both are there for a while
		}
		if err := folderFits(dir, need, keep); err != nil {
			return fmt.Errorf("%s: %w", s.path, err)
		}
	}
	if err := poolFits(ctx, p, to.Pool, need, to.keep()); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if s.disk.format == "qcow2" {
		if err := checkQcow2(ctx, s); err != nil {
			return err
		}
	}
	head, err := bootSectors(ctx, s, dir)
	if err != nil {
		return err
	}
	if err := bootable(head); err != nil {
		return fmt.Errorf("%s %w", s.path, err)
	}
	return nil
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
