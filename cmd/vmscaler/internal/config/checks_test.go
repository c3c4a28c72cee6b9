package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A check has defaults by its type, and a command is a line for a shell or a program with its arguments.
func TestChecks(t *testing.T) {
	base := bus.Check{
		For: bus.CheckForBoth, Timeout: 5 * time.Second, Interval: 5 * time.Second, Failures: 3, Successes: 1,
	}
	with := func(change func(*bus.Check)) bus.Check {
		c := base
		change(&c)
		return c
	}
	ok := []bus.Statuses{{From: 200, To: 299}}
	for text, want := range map[string]bus.Check{
		"{type: agent}": with(func(c *bus.Check) { c.Type = bus.CheckAgent }),
		"{type: tcp, port: 22, for: health, grace: 30s}": with(func(c *bus.Check) {
			c.Type, c.Port, c.For, c.Grace = bus.CheckTCP, 22, bus.CheckForHealth, 30*time.Second
		}),
		"{type: http}": with(func(c *bus.Check) {
			c.Type, c.Scheme, c.Port, c.Path, c.Status = bus.CheckHTTP, bus.SchemeHTTP, 80, "/", ok
		}),
		"{type: http, scheme: https, insecure: true, body: up, host_header: example.org}": with(func(c *bus.Check) {
			c.Type, c.Scheme, c.Port, c.Path, c.Status = bus.CheckHTTP, bus.SchemeHTTPS, 443, "/", ok
			c.Insecure, c.Body, c.Host = true, "up", "example.org"
		}),
		"{type: http, port: 8080, path: '/healthz?deep=1', status: [200, 300-399]}": with(func(c *bus.Check) {
			c.Type, c.Scheme, c.Port, c.Path = bus.CheckHTTP, bus.SchemeHTTP, 8080, "/healthz?deep=1"
			c.Status = []bus.Statuses{{From: 200, To: 200}, {From: 300, To: 399}}
		}),
		"{type: command, command: 'pidof nginx'}": with(func(c *bus.Check) {
			c.Type, c.Command = bus.CheckCommand, []string{"/bin/sh", "-c", "pidof nginx"}
		}),
		"{type: command, command: [/usr/bin/pg_isready, '-q']}": with(func(c *bus.Check) {
			c.Type, c.Command = bus.CheckCommand, []string{"/usr/bin/pg_isready", "-q"}
		}),
		"{type: cloud-init}": with(func(c *bus.Check) {
			c.Type, c.For, c.Timeout = bus.CheckCloudInit, bus.CheckForReady, 5*time.Minute
		}),
	} {
		cfg := parse(t, "groups: [{name: web, checks: ["+text+"]}]")
		if got := cfg.Groups[0].Checks; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
		again := parse(t, string(cfg.YAML()))
		same(t, again, cfg)
	}
}

// A group without checks is the same to older programs as one of theirs.
func TestNoChecksInTheHash(t *testing.T) {
	none, empty := bus.DefaultGroup(), parse(t, "groups: [{name: autoscale, checks: []}]").Groups[0]
	none.Checks = nil
	if none.Hash() != empty.Hash() {
		t.Error("an empty list of checks changes the hash")
	}
	if some := parse(t, "groups: [{name: autoscale, checks: [{type: agent}]}]").Groups[0]; some.Hash() == none.Hash() {
		t.Error("a check does not change the hash")
	}
}

// The examples of the page about checks are right.
func TestChecksPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "checks.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 2 {
		t.Fatalf("%d examples were found", len(examples))
	}
	for _, e := range examples {
		if cfg := parse(t, e[1]); len(cfg.Groups[0].Checks) == 0 {
			t.Errorf("no checks in\n%s", e[1])
		}
	}
	for _, c := range bus.CheckTypes() {
		if !strings.Contains(string(page), "| `"+string(c)+"` |") {
			t.Errorf("the page has no row for %s", c)
		}
	}
	for _, key := range checkFields(&bus.Check{}).keys() {
		if !strings.Contains(string(page), "`"+key+"`") && key != "type" {
			t.Errorf("the page does not name %s", key)
		}
	}
}
