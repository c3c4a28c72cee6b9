package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

// Kernels that BuildConfig.Kernel may name. Any package called linux-image-*
// may be named too.
const (
	KernelCloud   = "cloud"   // smallest and fastest: no drivers for real hardware
	KernelGeneric = "generic" // the distribution's ordinary kernel
)

// guestPackages are what the guest is made of besides the kernel. Debian and
// Ubuntu use the same names.
var guestPackages = []string{"busybox-static", "qemu-guest-agent", "stress-ng"}

// kernelPackage is the package that depends on the distribution's newest kernel
// of a flavour.
//
// Ubuntu has one kernel image for both flavours: linux-image-virtual depends on
// linux-image-VERSION-generic, which depends on linux-modules-VERSION-generic,
// and that has all virtio drivers. linux-image-generic has the same kernel and
// drags in hundreds of megabytes of firmware besides, so it is never used.
//
// Tried: Debian 12. NOT tried, written from the published package data: Ubuntu
// 22.04 and 24.04. What is known to differ there is taken care of where it
// matters: modules are .ko.zst, more virtio drivers are built in, the kernel is
// in the package mode 0600 (owner can still read it), the C library may live
// below /usr only.
func kernelPackage(distro, kernel string) (string, error) {
	switch {
	case strings.HasPrefix(kernel, "linux-image-"):
		return kernel, nil
	case kernel != KernelCloud && kernel != KernelGeneric:
		return "", fmt.Errorf("kernel %q: want %q, %q or the name of a linux-image-* package", kernel, KernelCloud, KernelGeneric)
	case distro == "ubuntu":
		return "linux-image-virtual", nil
	case distro == "debian" && kernel == KernelCloud:
		return "linux-image-cloud-amd64", nil
	case distro == "debian":
		return "linux-image-amd64", nil
	}
	return "", fmt.Errorf(
		"distribution %q: templates can be built on Debian and Ubuntu only; on others, import a disk image",
		distro,
	)
}

// distribution reads os-release(5): "debian", "ubuntu" (also for what is derived
// from them), or the distribution's own ID.
func distribution(osRelease string) string {
	vars := map[string]string{}
	for line := range strings.Lines(osRelease) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			vars[key] = strings.Trim(value, `"'`)
		}
	}
	for _, id := range append([]string{vars["ID"]}, strings.Fields(vars["ID_LIKE"])...) {
		if id == "ubuntu" || id == "debian" {
			return id
		}
	}
	return vars["ID"]
}

// dpkgStatus is the package database that apt resolves against: nothing but one
// package that stands for what an installation runs and an image does not
// contain. It saves a third of the download. Should one of these bring a library
// that the guest's programs need, the build says so.
const dpkgStatus = `Package: vmscaler-image-build
Status: install ok installed
Version: 1
Architecture: amd64
Maintainer: none
Description: stands for what an installation runs
Provides: adduser, debconf, debconf-2.0, dpkg (= 999), init-system-helpers (= 999), initramfs-tools (= 999), ` +
	"kmod (= 999), linux-base (= 999), linux-initramfs-tool, lsb-base (= 999), perl, perl-base (= 999), udev (= 999)\n"

// aptConfig points apt at folders of its own below dir, with a package database
// of its own, so that it resolves every dependency, needs no root and changes
// nothing on the host. Sources, keys, proxies and pins stay the host's.
//
// It has to be given with -c, which apt reads last: the host's hooks (snapd,
// appstream, image cleaning ...) must be cleared after they were set.
func aptConfig(dir, lists, archives string) string {
	return fmt.Sprintf(`#clear APT::Update;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::State::lists "%[2]s";
Dir::Cache "%[1]s/cache";
Dir::Cache::archives "%[3]s";
Dir::Log "%[1]s/log";
`, dir, lists, archives)
}

// hostLists is apt's own copy of the package lists, readable for everyone.
const hostLists = "/var/lib/apt/lists"

// download fetches the packages with all their dependencies and returns the
// .deb files. It tries the host's package lists first; when these are missing
// or too old (the archive has dropped the versions they name), it fetches lists
// of its own.
func download(ctx context.Context, dir, cache string, packages []string, progress func(string)) ([]string, error) {
	archives := filepath.Join(dir, "archives")
	if cache != "" {
		abs, err := filepath.Abs(cache)
		if err != nil {
			return nil, fmt.Errorf("package cache: %w", err)
		}
		archives = abs
	}
	ownLists := filepath.Join(dir, "lists")
	for _, d := range []string{
		filepath.Join(dir, "state"), filepath.Join(dir, "cache"), filepath.Join(dir, "log"),
		filepath.Join(ownLists, "partial"), filepath.Join(archives, "partial"),
	} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("prepare apt folders: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), []byte(dpkgStatus), 0o644); err != nil {
		return nil, fmt.Errorf("prepare apt folders: %w", err)
	}

	progress("resolving packages")
	fetch := func(lists string) error {
		conf := filepath.Join(dir, "apt.conf")
		if err := os.WriteFile(conf, []byte(aptConfig(dir, lists, archives)), 0o644); err != nil {
			return err
		}
		if lists == ownLists {
			progress("refreshing package lists")
			if err := hosttool.Run(ctx, nil, "apt-get", "-c", conf, "-q", "update"); err != nil {
				return err
			}
		}
		watch := &hosttool.LineWriter{Line: func(line string) {
			if size, ok := downloadSize(line); ok {
				progress("downloading packages (" + size + ")")
			}
		}}
		args := append([]string{"-c", conf, "-q", "-y", "--download-only", "install"}, packages...)
		return hosttool.Run(ctx, watch, "apt-get", args...)
	}
	err := fetch(hostLists)
	if err != nil && ctx.Err() == nil {
		if errOwn := fetch(ownLists); errOwn != nil {
			err = errors.Join(err, fmt.Errorf("with new package lists: %w", errOwn))
		} else {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf(
			"download %s: %w\nthe packages come from the archive that apt uses on this host: see that it is reached; or do without, and "+
				"import an image of yours with `vmscaler template import NAME FILE`",
			strings.Join(packages, " "),
			err,
		)
	}
	return resolvedDebs(ctx, dir, archives, packages)
}

// resolvedDebs names the files of exactly the packages that apt chose: a cache
// folder may hold older versions too.
func resolvedDebs(ctx context.Context, dir, archives string, packages []string) ([]string, error) {
	var out bytes.Buffer
	args := append([]string{"-c", filepath.Join(dir, "apt.conf"), "-qq", "-s", "install"}, packages...)
	if err := hosttool.Run(ctx, &out, "apt-get", args...); err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	var debs []string
	for line := range strings.Lines(out.String()) {
		name, ok := simulatedDeb(line)
		if !ok {
			continue
		}
		path := filepath.Join(archives, name)
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("downloaded package: %w", err)
		}
		debs = append(debs, path)
	}
	if len(debs) == 0 {
		return nil, errors.New("apt-get named no packages")
	}
	return debs, nil
}

// simulatedDeb turns a line of apt-get -s into the file name that apt gives the
// package: "Inst udev (252.39-1 Debian:12/oldstable [amd64])" is
// udev_252.39-1_amd64.deb; the colon of an epoch is written %3a.
func simulatedDeb(line string) (string, bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[0] != "Inst" || !strings.HasPrefix(fields[2], "(") {
		return "", false
	}
	_, arch, ok := strings.Cut(line, "[")
	if !ok {
		return "", false
	}
	arch, _, ok = strings.Cut(arch, "]")
	version := strings.ReplaceAll(fields[2][1:], ":", "%3a")
	return fields[1] + "_" + version + "_" + arch + ".deb", ok
}

// downloadSize picks the size from "Need to get 54.0 MB of archives." or
// "Need to get 2,048 kB/54.0 MB of archives."
func downloadSize(line string) (string, bool) {
	rest, ok := strings.CutPrefix(line, "Need to get ")
	if !ok {
		return "", false
	}
	size, _, ok := strings.Cut(rest, " of archives")
	size, _, _ = strings.Cut(size, "/")
	return size, ok
}

// unpack extracts packages into root. Maintainer scripts are not run.
func unpack(ctx context.Context, debs []string, root string) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("unpack packages: %w", err)
	}
	for _, deb := range debs {
		if err := hosttool.Run(ctx, nil, "dpkg-deb", "-x", deb, root); err != nil {
			return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
		}
	}
	return nil
}
