package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// variable is one of the file's with its default, such as ${VMSCALER_LOCK_DIR:-/run/vmscaler}.
var variable = regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`)

// Each container but the bus's has the key of its own role and no other.
func TestContainersHaveOneKeyEach(t *testing.T) {
	data, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	file := string(data)
	for _, role := range []bus.Role{bus.RoleCollector, bus.RoleDecider, bus.RoleActuator, bus.RoleDashboard} {
		name := string(role)
		keys := 0
		service := block(t, file, "services", name)
		mounts := map[string]string{} // Compose refuses two at one place
		for _, v := range listed(service) {
			volume, _, _ := strings.Cut(v, ":")
			_, at, _ := strings.Cut(variable.ReplaceAllString(v, "$1"), ":")
			if at = strings.TrimSuffix(at, ":ro"); mounts[at] != "" {
				t.Errorf("%s has %s and %s at %s", name, mounts[at], v, at)
			}
			mounts[at] = v
			if volume == "state" {
				t.Errorf("%s has the state folder, with the keys of all roles", name)
			}
			if strings.HasSuffix(volume, "-key") {
				keys++
				if v != name+"-key:/run/credentials:ro" {
					t.Errorf("%s has %s", name, v)
				}
			}
		}
		if keys != 1 {
			t.Errorf("%s has %d keys, want 1", name, keys)
		}
		if command := "command: [" + name + ", --nats-nkey, /run/credentials/" + name + ".nk]"; !strings.Contains(service, command) {
			t.Errorf("%s has no line %s", name, command)
		}
		block(t, file, "volumes", name+"-key")
		if !slices.Contains(listed(block(t, file, "services", "bus")), name+"-key:/var/lib/vmscaler/credentials/"+name) {
			t.Errorf("the bus does not write the key of %s", name)
		}
	}
}

// block is what stands below a key of a part of the file. No YAML library reads the file's lists of things to merge.
func block(t *testing.T, file, part, key string) string {
	t.Helper()
	_, rest, found := strings.Cut(file, "\n"+part+":\n")
	if end := regexp.MustCompile(`(?m)^\S`).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	_, rest, foundKey := strings.Cut("\n"+rest, "\n  "+key+":\n")
	if !found || !foundKey {
		t.Fatalf("the file has no %s.%s", part, key)
	}
	if end := regexp.MustCompile(`(?m)^ {0,2}\S`).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

// listed are the entries of a block's lists.
func listed(block string) (entries []string) {
	for line := range strings.Lines(block) {
		if entry, is := strings.CutPrefix(strings.TrimSpace(line), "- "); is {
			entries = append(entries, entry)
		}
	}
	return entries
}
