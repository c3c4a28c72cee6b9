package template

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A tool is a host program or file, with the package that carries it. The
// package names are the same on Debian and Ubuntu.
type tool struct {
	name string // a program in searchPath, or the absolute path of a file
	pkg  string
}

// mbrCode is the boot code that starts the active partition.
const mbrCode = "/usr/lib/syslinux/mbr/mbr.bin"

var buildTools = []tool{
	{"apt-get", "apt"},
	{"dpkg-deb", "dpkg"},
	{"mke2fs", "e2fsprogs"},
	{"debugfs", "e2fsprogs"},
	{"mformat", "mtools"},
	{"mcopy", "mtools"},
	{"syslinux", "syslinux"},
	{mbrCode, "syslinux-common"},
	{"qemu-img", "qemu-utils"},
	{"xz", "xz-utils"}, // kernel modules are .ko.xz in Debian from 13 on
	{"zstd", "zstd"},   // and .ko.zst in Ubuntu from 24.04 on
}

// findTool returns the path of a host tool.
func findTool(name string) (string, error) {
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = nil
		for _, dir := range filepath.SplitList(searchPath) {
			candidates = append(candidates, filepath.Join(dir, name))
		}
	}
	for _, path := range candidates {
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// checkTools names every missing tool at once, with the command that installs
// them, so that the user is not sent back several times.
func checkTools(tools []tool, find func(string) (string, error)) error {
	var names, pkgs []string
	for _, t := range tools {
		if _, err := find(t.name); err != nil {
			names = append(names, t.name)
			pkgs = append(pkgs, t.pkg)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(pkgs)
	return fmt.Errorf("missing on this host: %s (install with: sudo apt-get install %s)",
		strings.Join(names, ", "), strings.Join(slices.Compact(pkgs), " "))
}
