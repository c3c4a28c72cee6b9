package main

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMakeTargets: what the documentation names exists, and CI runs each target that `make help` lists, or CONTRIBUTING.md
// says when it last passed, as far as that was recorded. Once `make bench` had not worked for days, as nobody ran it.
func TestMakeTargets(t *testing.T) {
	root := filepath.Join("..", "..")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	names := func(text, pattern string) map[string]bool {
		found := map[string]bool{}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			for _, name := range strings.Fields(m[1]) {
				found[name] = true
			}
		}
		return found
	}

	makefile := read("Makefile")
	targets := names(makefile, `(?m)^([a-z][a-z-]*):(?:[^=]|$)`)
	listed := names(makefile, `(?m)^([a-z][a-z-]*):.*## `)
	if len(listed) < 10 || len(targets) < len(listed) {
		t.Fatalf("the Makefile lists %v of %v", listed, targets)
	}

	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"README.md", "CONTRIBUTING.md"}
	for _, page := range pages {
		all = append(all, filepath.Join("docs", filepath.Base(page)))
	}
	for _, page := range all {
		text := read(page)
		documented := names(text, "`(?:[A-Z_]+=[^ `]+ )*make ([a-z][a-z -]*)[^`]*`")
		maps.Copy(documented, names(code(text), `(?m)^(?:\$ )?(?:[A-Z_]+=\S+ )*make ([a-z][a-z-]*)`))
		for _, name := range slices.Sorted(maps.Keys(documented)) {
			if !targets[name] {
				t.Errorf("%s names `make %s`, which the Makefile does not have", page, name)
			}
		}
	}

	ci := names(read(".ci/run"), `(?m)^targets="([a-z -]+)"$`)
	_, table, _ := strings.Cut(read("CONTRIBUTING.md"), "### Not run by CI")
	table, _, _ = strings.Cut(table, "\n#")
	byHand := names(
		table,
		"(?m)^\\| `make ([a-z][a-z-]*)` \\|.*\\| (?:20[0-9]{2}-[0-9]{2}-[0-9]{2} on .*|20[0-9]{2}-[0-9]{2}-[0-9]{2} with .*|not "+
			"recorded) \\|$",
	)
	if !ci["test"] || len(byHand) == 0 {
		t.Fatalf("CI runs %v, and by hand are run %v", ci, byHand)
	}
	for name := range listed {
		if name != "help" && ci[name] == byHand[name] {
			t.Errorf(
				"make %s: run by CI: %v; in CONTRIBUTING.md's table of what CI does not run, %v; want one of both",
				name,
				ci[name],
				byHand[name],
			)
		}
	}
	for name := range maps.All(byHand) {
		if !listed[name] {
			t.Errorf("CONTRIBUTING.md has `make %s`, which the Makefile does not list", name)
		}
	}
	for name := range ci {
		if !targets[name] {
			t.Errorf("CI runs `make %s`, which the Makefile does not have", name)
		}
	}
}

// code is what stands in a page's blocks of code.
func code(page string) string {
	var blocks strings.Builder
	inside := false
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside
		case inside:
			blocks.WriteString(line)
		}
	}
	return blocks.String()
}
