package main

import (
	"go/build"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vmscaler/vmscaler"

// TestImports keeps the stages apart: what passes between them are messages. cmd may import everything, a stage
// imports bus and its own subpackages, and bus imports nothing of ours. libvirt is the business of those who dial,
// read and act.
func TestImports(t *testing.T) {
	mayUse := map[string][]string{
		"bus":       {},
		"collector": {"bus"},
		"decider":   {"bus"},
		"actuator":  {"bus"},
		"dashboard": {"bus"},
		"cmd":       {"bus", "collector", "decider", "actuator", "dashboard"},
	}
	mayUseLibvirt := map[string]bool{"collector": true, "actuator": true, "cmd": true}
	const natsServer = "github.com/nats-io/nats-server"
	seen := map[string]int{}

	for dir, imports := range packages(t, "../..") {
		room, _, _ := strings.Cut(dir, "/")
		allowed, known := mayUse[room]
		if !known {
			continue // a helper beside the program: no room may import it, see below
		}
		seen[room]++
		for _, p := range imports {
			if strings.HasPrefix(p, "libvirt.org/") && !mayUseLibvirt[room] {
				t.Errorf("%s imports %s: %s must work without libvirt", dir, p, room)
			}
			if strings.HasPrefix(p, natsServer) && dir != "bus/server" {
				t.Errorf("%s imports %s: the server is bus/server's alone", dir, p)
			}
			if dir == "bus" && strings.Contains(p, ".") {
				t.Errorf("bus imports %s: the contract needs the standard library alone", p)
			}
			ours, is := strings.CutPrefix(p, module+"/")
			if !is {
				continue
			}
			other, _, _ := strings.Cut(ours, "/")
			ok := other == room
			for _, a := range allowed {
				ok = ok || other == a
			}
			if !ok {
				t.Errorf("%s imports %s: %s may import %v", dir, p, room, allowed)
			}
		}
	}
	for room := range mayUse {
		if seen[room] == 0 {
			t.Errorf("no package in %s was looked at", room)
		}
	}
}

// packages are all packages below root, by their folder, with what they import outside their tests, under any build
// tags.
func packages(t *testing.T, root string) map[string][]string {
	t.Helper()
	context := build.Default
	context.UseAllFiles = true
	found := map[string][]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := path.Base(dir); dir != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
			return fs.SkipDir
		}
		if files, err := filepath.Glob(filepath.Join(root, dir, "*.go")); err != nil || len(files) == 0 {
			return err
		}
		p, err := context.ImportDir(filepath.Join(root, dir), 0)
		if err != nil {
			// Tests alone import what they like.
			if _, none := err.(*build.NoGoError); none { //nolint:errorlint // go/build returns it bare
				return nil
			}
			return err
		}
		found[dir] = p.Imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The program has the time zones with it, as schedules name some and not every host has their database.
func TestZonesAreInTheProgram(t *testing.T) {
	if imports := packages(t, "../..")["cmd/vmscaler"]; !slices.Contains(imports, "time/tzdata") {
		t.Errorf("cmd/vmscaler imports %v, not time/tzdata", imports)
	}
}
