package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/check"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard"
	"github.com/vmscaler/vmscaler/decider/explain"
)

// hostile has what a terminal would obey, and what misleads a reader.
const hostile = "x\x1b]0;OWNED\x07\x1b[1A\x1b[2K\rvmscaler: all is well\u009b31m\u202eb\u2066\x7f\x00\x9b"

// obeyed is the first thing in a text that is not to be seen as itself.
func obeyed(text string) (rune, bool) {
	for _, r := range text {
		if r != '\n' && r != '\t' && r != utf8.RuneError && !unicode.IsGraphic(r) {
			return r, true
		}
	}
	return 0, !utf8.ValidString(text)
}

// Whatever names and errors say, no command's output has anything that a terminal obeys.
func TestOutputIsHarmless(t *testing.T) {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for name, show := range map[string]func(w io.Writer) error{
		"an error":      func(w io.Writer) error { _, err := io.WriteString(w, errorLines(errors.New(hostile))); return err },
		"a list of VMs": func(w io.Writer) error { _, err := fmt.Fprintf(w, "%s\t%s\n", hostile, hostile); return err },
		"an event": func(w io.Writer) error {
			_, err := fmt.Fprintln(w, dashboard.EventLine(hostileEvent(at), time.UTC))
			return err
		},
		"a decision": func(w io.Writer) error {
			_, err := fmt.Fprintln(w, dashboard.DecisionLine(hostileDecision(at), time.UTC))
			return err
		},
		"a person's say": func(w io.Writer) error {
			_, err := fmt.Fprintln(w, dashboard.ControlsText(bus.Controls{DryRun: true, By: hostile}, time.UTC))
			return err
		},
		"an explanation": func(w io.Writer) error {
			return printExplanation(w, explain.New(new(hostileDecision(at)), nil, time.UTC), &printer.Output{})
		},
		"a status": func(w io.Writer) error {
			_, err := fmt.Fprintln(w, strings.Join(dashboard.StatusLines(bus.Status{
				V: 1, Time: at, Stages: []bus.Health{{Stage: hostile, Instance: hostile, Message: hostile}},
				Groups: []bus.GroupStatus{{Group: "web", Samples: []bus.Sample{{
					Host: hostile, Time: at,
					VMs: []bus.VM{{Name: hostile, Error: hostile}},
				}}}},
			}, time.UTC, true), "\n"))
			return err
		},
		"health": func(w io.Writer) error {
			_, sick := evaluateHealth([]string{"actuator"}, map[string]bus.Health{"a": {
				Stage: "actuator", Instance: hostile,
				Message: hostile + "\nvmscaler: x",
			}})
			if len(sick) != 1 || strings.Contains(sick[0], "\n") {
				t.Errorf("health has lines of its own: %q", sick)
			}
			_, err := fmt.Fprintln(w, strings.Join(sick, "\n"))
			return err
		},
		"check": func(w io.Writer) error {
			return check.Print(bare(w), []check.Finding{{Level: check.OK, Area: hostile, Text: hostile, Remedy: hostile}}, false)
		},
		"the log": func(w io.Writer) error {
			log, err := (&globals{logLevel: "info"}).logger(bare(w), false)
			log.Info().Str("vm", hostile).Err(errors.New(hostile)).Bytes("output", []byte(hostile)).Msg(hostile)
			return err
		},
	} {
		var out bytes.Buffer
		if err := show(harmless{&out}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if r, bad := obeyed(out.String()); bad || !strings.Contains(out.String(), "OWNED") {
			t.Errorf("%s prints %q (%U)", name, out.String(), r)
		}
	}
}

func hostileEvent(at time.Time) bus.Event {
	return bus.Event{Group: "web", VM: hostile, Event: hostile, Error: hostile, Sentence: hostile, Time: at}
}

func hostileDecision(at time.Time) bus.Decision {
	return bus.Decision{
		Group: "web", Time: at, Rule: hostile, Guard: hostile, Sentence: hostile, Direction: hostile,
		Desired: 1, HasSample: true,
	}
}

// An agent's error goes the whole way: into a stage's health, over the bus, to the command that prints it, and to the log.
func TestGuestReachesNoTerminal(t *testing.T) {
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: t.TempDir()}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := server.Connect(string(bus.RoleActuator), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	var lines bytes.Buffer
	log, err := (&globals{logLevel: "info"}).logger(&lines, false)
	if err != nil {
		t.Fatal(err)
	}
	reporter := client.NewReporter(conn, "actuator", "test", log)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- reporter.Run(ctx) }()
	for _, said := range []string{vm.ErrorText(errors.New(hostile)), hostile} { // as the stages say it, and as nobody should
		reporter.Report(errors.New("web-1: " + said))
		_, err = command(t, "health", "actuator", "--nats-url", server.URL())
		if err == nil || !strings.Contains(err.Error(), "OWNED") {
			t.Fatalf("health says %v", err)
		}
		if text := errorLines(err); strings.Count(text, "\n") != 1 {
			t.Errorf("health prints %q, want one line", text)
		} else if r, bad := obeyed(text); bad {
			t.Errorf("health prints %q (%U)", text, r)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if r, bad := obeyed(lines.String()); bad || !strings.Contains(lines.String(), "OWNED") {
		t.Errorf("the log has %q (%U)", lines.String(), r)
	}
}
