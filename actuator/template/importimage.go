package template

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"libvirt.org/go/libvirt"
)

// Import makes a template of a disk image file that the user has: qcow2 as it
// is, raw converted on the way. The file itself is only read.
func Import(ctx context.Context, conn *libvirt.Connect, pool, name, file string, progress func(done, total int64)) (err error) {
	disk, err := inspectFile(file)
	if err != nil {
		return fmt.Errorf("import template %s: %w", name, err)
	}
	if disk.format == "raw" {
		// Before the conversion, which may take minutes.
		if err := refuseExisting(conn, pool, name); err != nil {
			return fmt.Errorf("import template %s: %w", name, err)
		}
		var dir string
		if dir, err = os.MkdirTemp("", "vmscaler-import-"); err != nil {
			return fmt.Errorf("import template %s: %w", name, err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if file, err = toQcow2(ctx, file, dir); err != nil {
			return fmt.Errorf("import template %s: %w", name, err)
		}
	}
	return Upload(ctx, conn, pool, name, file, progress)
}

// toQcow2 converts a raw image. The format is always given: were QEMU to guess,
// a guest could have written another format's header into its first sector.
func toQcow2(ctx context.Context, raw, dir string) (string, error) {
	if err := checkTools([]tool{{"qemu-img", "qemu-utils"}}, findTool); err != nil {
		return "", err
	}
	out := filepath.Join(dir, "disk.qcow2")
	if err := run(ctx, nil, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, out); err != nil {
		return "", err
	}
	return out, nil
}
