package hosttool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Tool is a host program or file, with the package that carries it. The
// package names are the same on Debian and Ubuntu.
type Tool struct {
	Name    string // a program in searchPath, or the absolute path of a file
	Package string
}

// Find returns the path of a host tool.
func Find(name string) (string, error) {
	candidates := []string{name}
	if !filepath.IsAbs(name) {
		candidates = nil
		for _, dir := range filepath.SplitList(SearchPath) {
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

// Check names every missing tool at once, with the command that installs
// them, so that the user is not sent back several times.
func Check(tools []Tool, find func(string) (string, error)) error {
	var names, pkgs []string
	for _, t := range tools {
		if _, err := find(t.Name); err != nil {
			names = append(names, t.Name)
			pkgs = append(pkgs, t.Package)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(pkgs)
	return fmt.Errorf("missing on this host: %s (install with: sudo apt-get install %s)",
		strings.Join(names, ", "), strings.Join(slices.Compact(pkgs), " "))
}
