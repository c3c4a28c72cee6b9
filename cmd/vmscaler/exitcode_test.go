package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{context.Canceled, 1},
		{context.DeadlineExceeded, 1},
		{bus.Refuse(bus.RefusedFailed, "x"), 1},
		{bus.Refuse(bus.RefusedTooBig, "x"), 1},
		{bus.Refuse("418", "of a later version"), 1},
		{usageError{errors.New("x")}, 2},
		{bus.Refuse(bus.RefusedMalformed, "x"), 2},
		{bus.Refuse(bus.RefusedUnknown, "x"), 2},
		{bus.Refuse(bus.RefusedState, "x"), 3},
		{&host.LockedError{}, 3},
		{&host.SecondSetError{}, 3},
		{&server.StateLockedError{}, 3},
		{&template.InUseError{}, 3},
		{template.ErrExists, 3},
		{console.ErrTaken, 3},
		{console.ErrNoScreen, 3},
		{refused("x"), 3},
		{unknown("x"), 2},
		{&vm.UnknownError{}, 2},
		{template.ErrNotFound, 2},
		{withCode(exitTimeout, context.DeadlineExceeded), 4},
		{bus.Refuse(bus.RefusedBusy, "x"), 5},
		{&notRunningError{cause: errors.New("x")}, 5},
		{&app.NoBusError{}, 5},
		{&client.NobodyError{}, 5},
		{&client.SilentError{}, 5},
		{&unansweredError{bus.VerbPause, &client.SilentError{}}, 5},
		{&host.DialError{Kind: host.ErrDown}, 5},
		{&app.NeedCredentialsError{}, 6},
		{&client.DeniedError{Err: errors.New("x")}, 6},
		{&host.DialError{Kind: host.ErrPermission}, 6},
		{nats.ErrAuthorization, 6},
		{fs.ErrPermission, 6},
		{libvirt.Error{Code: libvirt.ERR_ACCESS_DENIED}, 6},
		{libvirt.Error{Code: libvirt.ERR_NO_DOMAIN}, 1},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%T %v: %d, want %d", tt.err, tt.err, got, tt.want)
		}
		if tt.err == nil {
			continue
		}
		if got := exitCode(fmt.Errorf("in words: %w", tt.err)); got != tt.want {
			t.Errorf("%T, wrapped: %d, want %d", tt.err, got, tt.want)
		}
	}
}

// The page for those who call the program from scripts has the codes that there are, in the words of the help.
func TestExitCodesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/running.md")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\d) \| ([^|]+) \| .+ \|$`).FindAllStringSubmatch(string(page), -1) {
		found = append(found, row[1]+" "+row[2])
	}
	var want []string
	for code, means := range exitCodes() {
		want = append(want, fmt.Sprint(code, " ", means))
	}
	if !slices.Equal(found, want) {
		t.Errorf("the page has %q, want %q", found, want)
	}
	if help := rootCommand().Long; !strings.Contains(help, "Exit codes: "+strings.Join(want, ", ")) {
		t.Errorf("the help says %s", help)
	}
}
