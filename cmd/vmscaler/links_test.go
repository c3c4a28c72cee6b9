package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	docLink   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	docHead   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	docCode   = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	headClean = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the names by which the headings of a text in Markdown are linked to, as GitHub makes them.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, head := range docHead.FindAllStringSubmatch(regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, ""), -1) {
		all[strings.ReplaceAll(headClean.ReplaceAllString(strings.ToLower(head[1]), ""), " ", "-")] = true
	}
	return all
}

// TestLinks: what the docs link to inside the project is there, the heading as well, and each page is linked to by another.
func TestLinks(t *testing.T) {
	const root = "../.."
	var pages []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if name := entry.Name(); entry.IsDir() && strings.HasPrefix(name, ".") && name != ".." && name != "." {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{filepath.Join(root, "README.md"): true}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range docLink.FindAllStringSubmatch(docCode.ReplaceAllString(string(text), ""), -1) {
			to, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			target := page
			if to != "" {
				target = filepath.Join(filepath.Dir(page), to)
			}
			found, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr == nil && info.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s links to %s, which is not there", page, link[1])
				continue
			}
			if target != page {
				linked[target] = true
			}
			if anchor != "" && filepath.Ext(target) == ".md" && !anchors(string(found))[anchor] {
				t.Errorf("%s links to %s, and %s has no such heading", page, link[1], target)
			}
		}
	}
	for _, page := range pages {
		if !linked[page] {
			t.Errorf("no page links to %s", page)
		}
	}
}
