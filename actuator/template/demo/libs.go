package demo

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// loader is the program interpreter that every dynamic amd64 program names.
const loader = "lib64/ld-linux-x86-64.so.2"

// libraryDirs are the loader's default folders on Debian and Ubuntu, relative
// to the root; the copy below /usr is where newer releases keep everything.
var libraryDirs = []string{
	"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib",
}

// libraries returns the shared libraries that programs need, direct and
// indirect, as soname -> path. It reads the ELF headers as the loader does:
// asking the loader itself (--list) would run a downloaded program and would
// fall back to the host's libraries when one is missing from root.
func libraries(root string, programs ...string) (map[string]string, error) {
	found := map[string]string{}
	todo := slices.Clone(programs)
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		needed, err := importedLibraries(path)
		if err != nil {
			return nil, err
		}
		for _, soname := range needed {
			if found[soname] != "" {
				continue
			}
			lib := findLibrary(root, soname)
			if lib == "" {
				return nil, fmt.Errorf("%s, needed by %s, is in none of the packages", soname, filepath.Base(path))
			}
			found[soname] = lib
			todo = append(todo, lib)
		}
	}
	return found, nil
}

func importedLibraries(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("read libraries of %s: %w", path, err)
	}
	return needed, nil
}

func findLibrary(root, soname string) string {
	for _, dir := range libraryDirs {
		path := filepath.Join(root, dir, soname)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path
		}
	}
	return ""
}
