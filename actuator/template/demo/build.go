package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

// Config is what to build. Only Output is required.
type Config struct {
	Output   string // file to make; must not exist yet
	Kernel   string // KernelCloud (default), KernelGeneric, or a linux-image-* package
	CacheDir string // keeps downloaded packages for the next build; empty: nothing is kept
	TempDir  string // where the work is done, some 400 MiB (generic kernel: 700 MiB); empty: os.TempDir()

	Progress func(step string) // called at each stage, from Build's goroutine or apt-get's reader; may be nil
}

// Build makes a small bootable disk image from the host distribution's packages
// and returns its path. It needs no root. Besides the image, and packages in
// CacheDir, it leaves nothing behind, however it ends.
func Build(ctx context.Context, cfg Config) (path string, err error) {
	if runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("build template: only amd64 guests can be built, this is %s; import a disk image instead", runtime.GOARCH)
	}
	if cfg.Output == "" {
		return "", errors.New("build template: no output file given")
	}
	if _, err := os.Lstat(cfg.Output); err == nil {
		return "", fmt.Errorf("build template: %s: %w", cfg.Output, fs.ErrExist)
	}
	if cfg.Kernel == "" {
		cfg.Kernel = KernelCloud
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", fmt.Errorf("build template: %w", err)
	}
	kernel, err := kernelPackage(distribution(string(release)), cfg.Kernel)
	if err != nil {
		return "", fmt.Errorf("build template: %w", err)
	}
	if err := hosttool.Check(buildTools, hosttool.Find); err != nil {
		return "", fmt.Errorf("build template: %w", err)
	}
	work, err := os.MkdirTemp(cfg.TempDir, "vmscaler-build-")
	if err != nil {
		return "", fmt.Errorf("build template: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if err := build(ctx, cfg, work, kernel); err != nil {
		return "", fmt.Errorf("build template: %w", err)
	}
	return cfg.Output, nil
}

func build(ctx context.Context, cfg Config, work, kernel string) error {
	// apt-get downloads as a user of its own when it runs as root.
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	packages := append([]string{kernel}, guestPackages...)
	debs, err := download(ctx, filepath.Join(work, "apt"), cfg.CacheDir, packages, cfg.Progress)
	if err != nil {
		return err
	}
	cfg.Progress(fmt.Sprintf("unpacking %d packages", len(debs)))
	root := filepath.Join(work, "packages")
	if err := unpack(ctx, debs, root); err != nil {
		return err
	}

	cfg.Progress("assembling the guest")
	vmlinuz, modulesDir, err := findKernel(root)
	if err != nil {
		return err
	}
	modules, err := findModules(modulesDir)
	if err != nil {
		return err
	}
	module := func(name string) ([]byte, error) { return modules.read(ctx, name) }
	early, err := loadOrder(rootModules, nil, modules.tree(ctx))
	if err != nil {
		return err
	}
	late, err := loadOrder(deviceModules, early, modules.tree(ctx))
	if err != nil {
		return err
	}
	tree := filepath.Join(work, "root")
	if err := stageRoot(ctx, root, tree, late, module); err != nil {
		return fmt.Errorf("assemble root file system: %w", err)
	}
	boot := map[string]string{
		"/vmlinuz":      vmlinuz,
		"/initrd.gz":    filepath.Join(work, "initrd.gz"),
		"/syslinux.cfg": filepath.Join(work, "syslinux.cfg"),
	}
	if err := stageBoot(tree, boot, early, module); err != nil {
		return fmt.Errorf("assemble boot files: %w", err)
	}

	cfg.Progress("writing the disk")
	bootImage, disk := filepath.Join(work, "boot.img"), filepath.Join(work, "disk.img")
	if err := makeBootPartition(ctx, bootImage, boot); err != nil {
		return fmt.Errorf("write boot partition: %w", err)
	}
	if err := assembleDisk(ctx, disk, bootImage, tree); err != nil {
		return fmt.Errorf("write disk: %w", err)
	}

	cfg.Progress("compressing the disk")
	return publish(cfg.Output, func(partial string) error { return compressDisk(ctx, disk, partial) })
}

// stageBoot writes the boot partition's files that are not the kernel.
func stageBoot(tree string, boot map[string]string, order []string, module func(string) ([]byte, error)) (err error) {
	busybox, err := os.ReadFile(filepath.Join(tree, "usr/bin/busybox"))
	if err != nil {
		return err
	}
	script, err := guestFile("initrd-init")
	if err != nil {
		return err
	}
	entries, err := initrdEntries(busybox, script, order, module)
	if err != nil {
		return err
	}
	config, err := guestFile("syslinux.cfg")
	if err != nil {
		return err
	}
	if err := os.WriteFile(boot["/syslinux.cfg"], config, 0o644); err != nil {
		return err
	}
	f, err := os.Create(boot["/initrd.gz"])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return writeInitrd(f, entries)
}

// findKernel returns the one kernel among the packages and its modules. It is in
// boot, or beside its modules: installing Debian's packages since Linux 7 copies it.
func findKernel(root string) (vmlinuz, modules string, err error) {
	var found []string
	for _, pattern := range []string{"boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", "", err
		}
		found = append(found, paths...)
	}
	if len(found) != 1 {
		return "", "", fmt.Errorf("the packages have %d kernels, want one", len(found))
	}
	version, ok := strings.CutPrefix(filepath.Base(found[0]), "vmlinuz-")
	if !ok {
		version = filepath.Base(filepath.Dir(found[0]))
	}
	for _, dir := range []string{"lib/modules", "usr/lib/modules"} {
		path := filepath.Join(root, dir, version)
		if st, err := os.Stat(filepath.Join(path, "modules.builtin")); err == nil && st.Mode().IsRegular() {
			return found[0], path, nil
		}
	}
	return "", "", fmt.Errorf("the packages have no modules for kernel %s", version)
}

// publish has a file made under a temporary name beside its place, and moves it
// there when it is complete: nobody ever sees half an image under its name. It is
// read-only from then on, since clones will build on it.
func publish(output string, produce func(partial string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(output), "."+filepath.Base(output)+".partial-*")
	if err != nil {
		return err
	}
	partial := f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	if err := produce(partial); err != nil {
		return err
	}
	if err := os.Chmod(partial, 0o444); err != nil {
		return err
	}
	return os.Rename(partial, output)
}

// mbrCode is the boot code that starts the active partition.
const mbrCode = "/usr/lib/syslinux/mbr/mbr.bin"

var buildTools = []hosttool.Tool{
	{Name: "apt-get", Package: "apt"},
	{Name: "dpkg-deb", Package: "dpkg"},
	{Name: "mke2fs", Package: "e2fsprogs"},
	{Name: "debugfs", Package: "e2fsprogs"},
	{Name: "mformat", Package: "mtools"},
	{Name: "mcopy", Package: "mtools"},
	{Name: "syslinux", Package: "syslinux"},
	{Name: mbrCode, Package: "syslinux-common"},
	{Name: "qemu-img", Package: "qemu-utils"},
	{Name: "xz", Package: "xz-utils"}, // kernel modules are .ko.xz in Debian from 13 on
	{Name: "zstd", Package: "zstd"},   // and .ko.zst in Ubuntu from 24.04 on
}
